// Panel 1: two disks, the two past frames, and all next frames that the past allows.

import { Disks } from "./disks.js";
import { drawFrame } from "./draw.js";
import { drawMeeting } from "./meetings.js";
import { Random } from "./random.js";
import { determined, futures, past } from "./world.js";

// Past and futures of the scene, worked out once for all panels.
export function describe(values) {
  const possible = futures(values);
  return { past: past(values), futures: possible, determined: determined(values) };
}

export function scenePanel(panel, state, current) {
  const at = (name) => panel.querySelector(`[data-part="${name}"]`);
  const change = (k, changes) => {
    state.set({ disks: state.values.disks.map((disk, j) => (j === k ? { ...disk, ...changes } : disk)) });
  };
  const disks = new Disks(at("disks"), change);
  for (const input of panel.querySelectorAll("input[data-disk]")) {
    input.addEventListener("input", () => change(Number(input.dataset.disk), { [input.dataset.field]: Number(input.value) }));
  }
  at("new").addEventListener("click", () => {
    state.set({ ...drawMeeting(new Random(Date.now())), future: 0 });
  });
  at("front").addEventListener("change", (event) => state.set({ front: Number(event.target.value) }));

  return function show() {
    const { values } = state, { past: frames, futures: possible, determined: sure } = current();
    disks.show(values.disks);
    for (const input of panel.querySelectorAll("input[data-disk]")) {
      const value = values.disks[input.dataset.disk][input.dataset.field];
      input.value = value;
      input.nextElementSibling.value = value.toFixed(input.dataset.field === "r" ? 1 : 2);
    }
    at("front").value = values.front;
    drawFrame(at("before"), frames[0]);
    drawFrame(at("last"), frames[1]);
    drawFrame(at("stage"), frames[1]);
    [0, 1].forEach((k) => {
      const future = possible[k], slot = at(`future-${k}`);
      slot.closest("figure").classList.toggle("play-empty", !future);
      if (future) drawFrame(slot, future.frame);
      at(`odds-${k}`).value = future ? `${"AB"[future.front]} in front: ${percent(future.probability)}` : "No second future";
    });
    if (possible.length === 1) at("odds-0").value = "The only future";
    at("note").value = note(possible.length, sure);
  };
}

export function percent(p) {
  return `${(100 * p).toFixed(p > 0.995 || p < 0.005 ? 1 : 0)} %`;
}

function note(count, sure) {
  if (!sure) return "The past does not show everything here: a disk is hidden by half, or both have one grey. The odds are those for known disks.";
  if (count === 1) return "The past decides this scene. Move the disks so that they touch for the first time in the next frame.";
  return "The past leaves this open: it does not show which disk is in front.";
}
