// Panel 3: samples drawn by our solver or by the ascent, which future each chose, and how often over the scenes so far.

import { count } from "./choices.js";
import { FRAME, joined } from "./denoise.js";
import { drawFrame } from "./draw.js";
import { drawMeeting } from "./meetings.js";
import { Random } from "./random.js";
import { Scatter } from "./scatter.js";
import { percent } from "./scene.js";
import { expectedSteps } from "./solver.js";

const SAMPLES = 16;

export function samplePanel(panel, state, current, networks, tell) {
  const at = (name) => panel.querySelector(`[data-part="${name}"]`);
  const canvases = [...at("samples").querySelectorAll("canvas")];
  const scatter = new Scatter(at("scatter"));
  const unfilled = at("chosen").value; // what is said of a bar without choices
  let running = null, onwards = false;

  const method = () => panel.querySelector("input[name=play-method]:checked").value;
  function settings() {
    const beta = 10 ** Number(at("beta").value);
    return method() === "multistep" ? { steps: Number(at("steps").value), beta } : { beta };
  }

  function showSettings() {
    const { steps, beta } = settings();
    at("steps").disabled = steps === undefined;
    at("steps").nextElementSibling.value = steps ?? "–";
    at("beta").nextElementSibling.value = beta.toFixed(2);
    at("beta").setAttribute("aria-valuetext", beta.toFixed(2));
    const foreseen = steps ?? expectedSteps({ beta });
    at("progress").max = foreseen;
    at("foreseen").value = `About ${foreseen} steps of ${SAMPLES} evaluations.`;
  }

  async function draw() {
    const scene = current(), about = { ...settings() };
    const begun = { key: JSON.stringify([state.values.disks, about]), futures: scene.futures, method: method() };
    empty();
    running = networks.call("sample", {
      network: "leaves-32", c: joined(scene.past), size: FRAME, n: SAMPLES,
      method: begun.method, settings: about, seed: Math.floor(2 ** 32 * Math.random()),
    }, ({ step, estimates }) => {
      at("progress").value = step;
      estimates.forEach((frame, k) => drawFrame(canvases[k], frame));
      if (begun.futures.length > 1) bar(count(estimates, begun.futures), begun.futures[0].probability); // as far as it has come
    });
    at("seconds").value = "";
    buttons();
    const { samples, seconds } = await running;
    samples.forEach((frame, k) => drawFrame(canvases[k], frame));
    at("seconds").value = `${seconds.toFixed(1)} seconds.`;
    choices(samples, begun);
  }

  function choices(samples, { futures, key, method: how }) {
    if (futures.length < 2) {
      at("chosen").value = "There is one possible next frame, so there is nothing to choose.";
      return bar({ first: 0, second: 0, blends: 0 }, 1);
    }
    const counts = count(samples, futures), [a, b] = futures.map(({ front }) => "AB"[front]);
    bar(counts, futures[0].probability);
    at("chosen").value = `${counts.first} samples with ${a} in front, ${counts.second} with ${b}, ${counts.blends} blends; `
      + `the exact probability of ${a} is ${percent(futures[0].probability)}.`;
    scatter.add({ key, method: how, probability: futures[0].probability, ...counts });
    at("scenes").value = scatter.summary();
  }

  // Choices of another scene are not shown beside the probability of this one.
  function empty() {
    const { futures } = current();
    at("chosen").value = unfilled;
    bar({ first: 0, second: 0, blends: 0 }, futures.length > 1 ? futures[0].probability : 1);
  }

  function bar({ first, second, blends }, probability) {
    for (const [name, n] of Object.entries({ first, blends, second })) at(`bar-${name}`).style.width = `${(100 * n) / SAMPLES}%`;
    at("bar-odds").style.left = `${100 * probability}%`;
  }

  async function run(again) {
    onwards = again;
    try {
      do {
        if (onwards) state.set({ ...drawMeeting(new Random(Math.floor(2 ** 32 * Math.random()))), future: 0 });
        await draw();
      } while (onwards);
    } catch (problem) {
      tell(problem);
    }
    running = null;
    buttons();
  }

  function buttons() {
    at("draw").disabled = at("onwards").disabled = running !== null;
    at("stop").disabled = running === null;
  }

  at("draw").addEventListener("click", () => run(false));
  at("onwards").addEventListener("click", () => run(true));
  at("stop").addEventListener("click", () => {
    onwards = false;
    networks.stop(running.id);
  });
  at("clear").addEventListener("click", () => {
    scatter.clear();
    at("scenes").value = scatter.summary();
  });
  for (const input of panel.querySelectorAll("input")) input.addEventListener("input", showSettings);
  for (const input of panel.querySelectorAll("input[name=play-method]")) {
    input.addEventListener("change", () => { // each begins with a noise that suits it
      at("beta").value = method() === "multistep" ? 0 : -1;
      showSettings();
    });
  }
  showSettings();
  buttons();

  return empty;
}
