// Panel 4: local linear weights of one pixel. The network is homogeneous and piecewise linear, so its output at a pixel is
// the sum of all inputs, each times its weight; the weights are one row of the Jacobian, from one backward pass.

import { FRAME, joined, observation } from "./denoise.js";
import { drawFrame, drawSigned, largest } from "./draw.js";
import { optimalRow } from "./exact.js";
import { newest } from "./network.js";
import { PIXELS, SIZE } from "./world.js";

const KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const sum = (values) => values.reduce((total, v) => total + v, 0);

export function weightsPanel(panel, state, current, networks, tell) {
  const at = (name) => panel.querySelector(`[data-part="${name}"]`);
  let inView = false;

  const row = newest(async () => {
    const { pixel: [i, j], sigma } = state.values, { past, futures } = current(), pixel = i * SIZE + j;
    const { y } = observation(state.values, futures), c = joined(past);
    let found;
    try {
      found = await networks.call("row", { network: "leaves-32", y, c, size: FRAME, pixel });
    } catch (problem) {
      return tell(problem);
    }
    const maps = { before: found.on_c.subarray(0, PIXELS), last: found.on_c.subarray(PIXELS), noisy: found.on_y };
    const best = optimalRow(y, futures, sigma, pixel), most = largest(best, ...Object.values(maps));
    for (const [name, map] of Object.entries({ ...maps, best })) {
      drawSigned(at(`on-${name}`), map, most);
      at(`sum-${name}`).value = signed(sum(map));
    }
    const answer = sum(c.map((v, k) => v * found.on_c[k])) + sum(y.map((v, k) => v * found.on_y[k]));
    at("answer").value = `Pixel in row ${i}, column ${j}: the weighted sum of all three frames is ${answer.toFixed(3)} grey. `
      + `Colours reach ± ${most.toPrecision(2)}.`;
    panel.dataset.shown = `${i},${j}`;
  });

  const move = (i, j) => state.set({ pixel: [i, j].map((v) => Math.min(SIZE - 1, Math.max(0, v))) });
  const stage = at("stage");
  const point = (event) => {
    const box = stage.getBoundingClientRect(), along = (v, from, size) => Math.floor(((v - from) / size) * SIZE);
    move(along(event.clientY, box.top, box.height), along(event.clientX, box.left, box.width));
  };
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    point(event);
  });
  stage.addEventListener("pointermove", (event) => event.buttons && point(event));
  stage.addEventListener("keydown", (event) => {
    if (!KEYS[event.key]) return;
    const [i, j] = state.values.pixel, [di, dj] = KEYS[event.key];
    move(i + di, j + dj);
    event.preventDefault();
  });

  function show() {
    const [i, j] = state.values.pixel;
    drawFrame(at("frame"), observation(state.values, current().futures).y);
    const cross = at("cross");
    cross.setAttribute("x", j - 0.5);
    cross.setAttribute("y", i - 0.5);
    stage.setAttribute("aria-label", `Noisy frame, pixel in row ${i}, column ${j}. Arrow keys move the pixel.`);
    if (inView) row();
  }
  new IntersectionObserver(([{ isIntersecting }]) => { // a second network is loaded when it is needed
    inView = isIntersecting;
    if (inView) show();
  }).observe(panel);
  return show;
}

function signed(value) {
  return (value < 0 ? "−" : "") + Math.abs(value).toFixed(2);
}
