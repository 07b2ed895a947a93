// Panel 2: one step of denoising, by the network and by the optimal denoiser.

import { drawFrame, drawSigned, largest, rootMeanSquare } from "./draw.js";
import { posteriorMean, responsibilities } from "./exact.js";
import { newest } from "./network.js";
import { Random } from "./random.js";
import { percent } from "./scene.js";
import { PIXELS } from "./world.js";

export const FRAME = [32, 32];

// The noisy frame that panels 2 and 4 show: a possible next frame and seeded noise.
export function observation({ sigma, seed, future }, futures) {
  const clean = (futures[future] ?? futures[0]).frame, noise = new Random(seed).frame(PIXELS);
  return { clean, y: clean.map((x, i) => x + sigma * noise[i]) };
}

export function joined(frames) {
  const c = new Float32Array(frames.length * frames[0].length);
  frames.forEach((frame, k) => c.set(frame, k * frame.length));
  return c;
}

export function denoisePanel(panel, state, current, networks, tell) {
  const at = (name) => panel.querySelector(`[data-part="${name}"]`);
  at("noise").addEventListener("click", () => state.set({ seed: state.values.seed + 1 }));
  at("clean-is").addEventListener("change", (event) => state.set({ future: Number(event.target.value) }));

  const answer = newest(async () => {
    const { sigma } = state.values, { past, futures } = current(), { clean, y } = observation(state.values, futures);
    const exact = posteriorMean(y, futures, sigma);
    let network;
    try {
      network = await networks.call("denoise", { network: "leaves-32", y, c: joined(past), size: FRAME });
    } catch (problem) {
      return tell(problem);
    }
    drawFrame(at("network"), network);
    drawFrame(at("exact"), exact);
    const error = network.map((v, i) => v - exact[i]), score = network.map((v, i) => (v - y[i]) / sigma ** 2);
    drawSigned(at("difference"), error, 0.25);
    drawSigned(at("score"), score, largest(score));
    at("difference-is").value = `scale ± 0.25 grey, root mean square ${rootMeanSquare(network, exact).toFixed(3)}`;
    at("score-is").value = `scale ± ${largest(score).toPrecision(2)} per grey`;
    const r = responsibilities(y, futures, sigma);
    at("posterior").value = futures.length > 1
      ? `Given this noisy frame, ${"AB"[futures[0].front]} is in front with a probability of ${percent(r[0])}.`
      : "There is one possible next frame.";
    panel.dataset.shown = sigma;
  });

  return function show() {
    const { futures } = current(), { clean, y } = observation(state.values, futures);
    at("clean-is").value = futures[state.values.future] ? state.values.future : 0;
    at("clean-is").disabled = futures.length < 2;
    drawFrame(at("clean"), clean);
    drawFrame(at("noisy"), y);
    answer();
  };
}
