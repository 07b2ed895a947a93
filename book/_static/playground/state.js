// What the reader has set, and its form in a link: #a=x,y,vx,vy,r,g&b=...&sigma=0.8 and so on.

export const DEFAULT = {
  disks: [
    { x: 14, y: 15, vx: 1.6, vy: 0.4, r: 5.6, g: 0.15 },
    { x: 21.5, y: 17.5, vx: -1.6, vy: -0.2, r: 4.8, g: 0.9 },
  ],
  front: 0, // which disk covers the other where the past shows it
  future: 0, // the possible next frame that noise is added to
  sigma: 1,
  seed: 1, // of the noise
  pixel: [16, 18], // row and column
};
const FIELDS = ["x", "y", "vx", "vy", "r", "g"];
const LEAST = { x: 0, y: 0, vx: -2.5, vy: -2.5, r: 3, g: 0 }, MOST = { x: 31, y: 31, vx: 2.5, vy: 2.5, r: 7, g: 1 };

export class State {
  constructor(values = DEFAULT) {
    this.values = structuredClone(values);
    this.listeners = [];
  }

  // Listeners are told the names of what has changed.
  listen(listener) {
    this.listeners.push(listener);
  }

  set(changes) {
    Object.assign(this.values, structuredClone(changes));
    for (const listener of this.listeners) listener(new Set(Object.keys(changes)));
  }
}

export function toLink({ disks, front, future, sigma, seed, pixel }) {
  const [a, b] = disks.map((disk) => FIELDS.map((name) => round(disk[name], 2)).join(","));
  return `#a=${a}&b=${b}&front=${front}&future=${future}&sigma=${round(sigma, 3)}&seed=${seed}&pixel=${pixel.join(",")}`;
}

// The panel that a link asks for, as in #sigma=0.8&show=denoise, or null.
export function shownFirst(hash) {
  return new URLSearchParams(hash.slice(1)).get("show");
}

// Anything that is missing, or is no number within its range, stays as it is by default. Null for a link without a scene.
export function fromLink(hash) {
  if (!hash.includes("=")) return null; // the name of a section
  const given = new URLSearchParams(hash.slice(1)), found = structuredClone(DEFAULT);
  ["a", "b"].forEach((name, k) => {
    const numbers = (given.get(name) ?? "").split(",").map(parseFloat);
    FIELDS.forEach((field, j) => { found.disks[k][field] = within(numbers[j], LEAST[field], MOST[field], found.disks[k][field]); });
  });
  const number = (name, least, most) => within(parseFloat(given.get(name)), least, most, found[name]);
  found.front = Math.round(number("front", 0, 1));
  found.future = Math.round(number("future", 0, 1));
  found.sigma = number("sigma", 0.02, 5);
  found.seed = Math.round(number("seed", 0, 2 ** 31));
  const pixel = (given.get("pixel") ?? "").split(",").map(parseFloat);
  found.pixel = found.pixel.map((old, k) => Math.round(within(pixel[k], 0, 31, old)));
  return found;
}

export function within(value, least, most, otherwise = least) {
  return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}
