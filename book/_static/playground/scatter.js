// Log odds of the choices against the exact log odds, a point for each scene, method and settings; on the diagonal they agree.

import { logit } from "./choices.js";

const MOST = 4; // log odds at the edges

export class Scatter {
  constructor(svg) {
    this.svg = svg; // its view box goes from -MOST to MOST, upwards negative
    this.points = new Map();
  }

  // Samples of one scene by one method with the same settings are counted together. key: of scene and settings.
  add({ key, method, probability, first, second }) {
    const name = `${method} ${key}`, point = this.points.get(name) ?? { method, probability, first: 0, second: 0 };
    point.first += first;
    point.second += second;
    this.points.set(name, point);
    this.draw();
  }

  clear() {
    this.points.clear();
    this.draw();
  }

  draw() {
    this.svg.querySelectorAll(".play-point").forEach((old) => old.remove());
    for (const { method, probability, first, second } of this.points.values()) {
      const x = within(logit(probability)), y = -within(Math.log((first + 0.5) / (second + 0.5)));
      const round = method === "multistep"; // the ascent has squares
      const shape = document.createElementNS(this.svg.namespaceURI, round ? "circle" : "rect");
      const place = round ? { cx: x, cy: y, r: 0.13 } : { x: x - 0.12, y: y - 0.12, width: 0.24, height: 0.24 };
      for (const [attribute, value] of Object.entries(place)) shape.setAttribute(attribute, value);
      shape.setAttribute("class", `play-point play-${method}`);
      this.svg.append(shape);
    }
  }

  summary() {
    const points = [...this.points.values()], n = points.length;
    if (!n) return "No scene has been sampled yet.";
    const right = points.filter(({ probability, first, second }) => (first - second) * (probability - 0.5) > 0).length;
    return `${n} ${n === 1 ? "point" : "points"}; in ${right} the likelier future was chosen more often.`;
  }
}

function within(value) {
  return Math.min(MOST, Math.max(-MOST, value));
}
