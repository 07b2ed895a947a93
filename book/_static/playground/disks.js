// Two disks that can be moved by mouse, touch and arrow keys, drawn over the last past frame. An arrow shows the velocity,
// enlarged; its tip can be moved as well.

import { SPEED } from "./world.js";
import { within } from "./state.js";

const ENLARGED = 4; // arrow over motion per frame
const NAMES = ["A", "B"];
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Disks {
  // svg: its view box is that of the frame. change: called with a disk's number and what has changed of it.
  constructor(svg, change) {
    this.svg = svg;
    this.change = change;
    this.parts = NAMES.map((name, k) => {
      const body = add(svg, "circle", { class: `play-disk play-${name}`, tabindex: 0, role: "button" });
      const line = add(svg, "line", { class: `play-arrow play-${name}` });
      const tip = add(svg, "circle", { class: `play-tip play-${name}`, r: 1.4, tabindex: 0, role: "button" });
      const label = add(svg, "text", { class: `play-name play-${name}` });
      label.textContent = name;
      this.movable(body, k, (disk, dx, dy) => ({ x: within(disk.x + dx, 0, 31), y: within(disk.y + dy, 0, 31) }), 0.5);
      this.movable(tip, k, (disk, dx, dy) => limited(disk.vx + dx / ENLARGED, disk.vy + dy / ENLARGED), 0.1 * ENLARGED);
      return { body, line, tip, label };
    });
  }

  show(disks) {
    this.disks = disks;
    disks.forEach((disk, k) => {
      const { body, line, tip, label } = this.parts[k], x = disk.x - disk.vx, y = disk.y - disk.vy;
      const end = { x: x + ENLARGED * disk.vx, y: y + ENLARGED * disk.vy };
      set(body, { cx: x, cy: y, r: disk.r });
      set(line, { x1: x, y1: y, x2: end.x, y2: end.y });
      set(tip, { cx: end.x, cy: end.y });
      set(label, { x: x - disk.r - 0.4, y: y - disk.r + 1 });
      const at = `column ${disk.x.toFixed(1)}, row ${disk.y.toFixed(1)}`;
      body.setAttribute("aria-label", `Disk ${NAMES[k]}, in the next frame at ${at}. Arrow keys move it.`);
      const velocity = `${disk.vx.toFixed(1)} across and ${disk.vy.toFixed(1)} down`;
      tip.setAttribute("aria-label", `Velocity of disk ${NAMES[k]}, ${velocity}, in pixels a frame. Arrow keys change it.`);
    });
  }

  // What follows the pointer while it is down, or arrow keys while it has the focus.
  movable(element, k, moved, step) {
    let from = null;
    element.addEventListener("pointerdown", (event) => {
      from = this.place(event);
      element.setPointerCapture(event.pointerId);
      element.focus({ preventScroll: true });
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = this.place(event);
      this.change(k, moved(this.disks[k], to.x - from.x, to.y - from.y));
      from = to;
    });
    for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { from = null; });
    element.addEventListener("keydown", (event) => {
      const way = KEYS[event.key];
      if (!way) return;
      this.change(k, moved(this.disks[k], step * way[0], step * way[1]));
      event.preventDefault();
    });
  }

  place(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    return { x, y };
  }
}

function limited(vx, vy) {
  const share = Math.min(1, SPEED / Math.max(1e-9, Math.hypot(vx, vy)));
  return { vx: share * vx, vy: share * vy };
}

function add(parent, name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  set(element, attributes);
  return parent.appendChild(element);
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
