// Sets up the panels of the page and shows again what a change concerns.

import { denoisePanel } from "./denoise.js";
import { levelSliders } from "./levels.js";
import { Networks } from "./network.js";
import { samplePanel } from "./sample.js";
import { describe, scenePanel } from "./scene.js";
import { State, fromLink, shownFirst, toLink } from "./state.js";
import { videoPanel } from "./video.js";
import { weightsPanel } from "./weights.js";

const panel = (name) => document.getElementById(`play-${name}`);
const first = shownFirst(location.hash);
const state = new State(fromLink(location.hash) ?? undefined);
const networks = new Networks();
let scene = describe(state.values);
const current = () => scene;

// What went wrong, where it can be read; a run that the reader has stopped is no problem.
function tell(problem) {
  if (problem.message === "stopped") return;
  panel("status").value = `Something went wrong: ${problem.message}`;
}

const showLevel = levelSliders(document, state);
const shows = {
  scene: scenePanel(panel("scene"), state, current),
  denoise: denoisePanel(panel("denoise"), state, current, networks, tell),
  sample: samplePanel(panel("sample"), state, current, networks, tell),
  weights: weightsPanel(panel("weights"), state, current, networks, tell),
};
videoPanel(panel("video"), networks, tell);

const CONCERNED = { // what is shown again when one of these changes
  disks: ["scene", "denoise", "sample", "weights"],
  front: ["scene", "denoise", "sample", "weights"],
  future: ["denoise", "weights"],
  sigma: ["denoise", "weights"],
  seed: ["denoise", "weights"],
  pixel: ["weights"],
};

state.listen((changed) => {
  if (changed.has("disks") || changed.has("front")) scene = describe(state.values);
  showLevel();
  const concerned = new Set([...changed].flatMap((name) => CONCERNED[name]));
  for (const name of concerned) shows[name]();
  keepLink();
});

let keeping = null;
function keepLink() {
  clearTimeout(keeping);
  keeping = setTimeout(() => history.replaceState(null, "", toLink(state.values)), 300); // browsers allow few a second
}

addEventListener("hashchange", () => {
  const given = fromLink(location.hash);
  if (given) state.set(given);
});

showLevel();
for (const show of Object.values(shows)) {
  show();
  await new Promise((go) => setTimeout(go)); // the page may be read and scrolled in between
}
panel(first)?.scrollIntoView();
performance.mark("usable");
networks.call("open", { network: "leaves-32" }).then(() => {
  panel("status").value = "The network is ready.";
  document.documentElement.dataset.playground = "ready";
  performance.mark("ready");
}, tell);
