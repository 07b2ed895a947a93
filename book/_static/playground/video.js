// Panel 5: the next frame of the reader's own video, from a file or the camera. Nothing leaves the page.

import { joined } from "./denoise.js";
import { drawFrame, rootMeanSquare } from "./draw.js";
import { format } from "./levels.js";
import { Random } from "./random.js";

const APART = 1000 / 24; // milliseconds from frame to frame, as in the video that the network was trained on

export function videoPanel(panel, networks, tell) {
  const at = (name) => panel.querySelector(`[data-part="${name}"]`);
  const video = at("video"), small = document.createElement("canvas");
  const context = small.getContext("2d", { willReadFrequently: true });
  let latest = [], timer = null, busy = false;

  const size = () => Number(panel.querySelector("input[name=play-size]:checked").value);
  const sigma = () => 10 ** Number(at("level").value);

  // The middle of the picture, as greys from 0 to 1.
  function grab(n) {
    const side = Math.min(video.videoWidth, video.videoHeight);
    small.width = small.height = n;
    context.imageSmoothingQuality = "high";
    context.drawImage(video, (video.videoWidth - side) / 2, (video.videoHeight - side) / 2, side, side, 0, 0, n, n);
    const { data } = context.getImageData(0, 0, n, n);
    return Float32Array.from({ length: n * n }, (_, i) => {
      return (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2]) / 255;
    });
  }

  async function tick() {
    const n = size();
    if (!video.videoWidth || video.readyState < 2) return;
    if (latest.length && latest[0].length !== n * n) latest = [];
    latest = [...latest, grab(n)].slice(-3);
    if (latest.length < 3 || busy) return;
    busy = true;
    try {
      await predict(latest, [n, n]);
    } catch (problem) {
      stop();
      tell(problem);
    }
    busy = false;
  }

  async function predict([before, last, next], shape) {
    const noise = new Random(1).frame(next.length), level = sigma(); // one noise for all frames, which would flicker
    const y = next.map((x, i) => x + level * noise[i]);
    const answer = await networks.call("denoise", { network: "natural-32-m2", y, c: joined([before, last]), size: shape });
    for (const [name, frame] of Object.entries({ before, last, noisy: y, answer, next })) drawFrame(at(name), frame, shape);
    const errors = [answer, last].map((frame) => rootMeanSquare(frame, next).toFixed(3));
    at("errors").value = `Error of the answer ${errors[0]} grey, of the last frame repeated ${errors[1]}.`;
    panel.dataset.shown = shape.join();
  }

  async function play() {
    video.muted = true;
    await video.play();
    latest = [];
    clearInterval(timer);
    timer = setInterval(tick, APART);
    at("stop").disabled = false;
  }

  function stop() {
    clearInterval(timer);
    video.pause();
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    if (video.src) URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
    at("stop").disabled = true;
  }

  at("file").addEventListener("change", async ({ target }) => {
    if (!target.files.length) return;
    stop();
    video.src = URL.createObjectURL(target.files[0]);
    try {
      await play();
    } catch {
      at("errors").value = "The browser cannot play this file.";
    }
  });
  at("camera").addEventListener("click", async () => {
    stop();
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: true });
      await play();
    } catch (problem) {
      at("errors").value = `There is no camera to use: ${problem.message}`;
    }
  });
  at("stop").addEventListener("click", stop);
  const showLevel = () => {
    at("level").nextElementSibling.value = format(sigma());
    at("level").setAttribute("aria-valuetext", format(sigma()));
  };
  at("level").addEventListener("input", showLevel);
  showLevel();
}
