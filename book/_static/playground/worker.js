// Runs the networks apart from the page, which stays free meanwhile. Messages are { id, task, ... }; answers are
// { id, result }, { id, error }, or { id, progress } on the way.

import { Random } from "./random.js";
import { open, run, start } from "./runtime.js";
import { ascent, multistep } from "./solver.js";

const started = start();
const sessions = new Map(); // by file, promises of what has been opened
const stopped = new Set(); // ids of runs that are to end
let last = Promise.resolve();

function session(file) {
  if (!sessions.has(file)) {
    const opened = started.then(() => open(new URL(`networks/${file}.onnx`, import.meta.url)));
    opened.catch(() => sessions.delete(file)); // to be tried again when it is next asked for
    sessions.set(file, opened);
  }
  return sessions.get(file);
}

// One evaluation after another: the runtime has one thread. Between two of them messages are read. A timer would do for
// that as well, but browsers make it wait for four milliseconds.
function inTurn(job) {
  last = last.catch(() => {}).then(messages).then(job);
  return last;
}

function messages() {
  return new Promise((go) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => { port1.close(); go(); };
    port2.postMessage(null);
  });
}

async function denoise(network, y, c, size) {
  const opened = await session(network);
  return (await inTurn(() => run(opened, { y, c }, size))).x_hat;
}

const tasks = {
  open: async ({ network }) => { await session(network); },

  denoise: ({ network, y, c, size }) => denoise(network, y, c, size),

  // Row of the Jacobian of one pixel: the backward pass of a frame that is one there.
  row: async ({ network, y, c, size, pixel }) => {
    const at = new Float32Array(y.length);
    at[pixel] = 1;
    const opened = await session(`${network}.backward`);
    return inTurn(() => run(opened, { y, c, at }, size));
  },

  // noise: frames to be used in their order, for tests; otherwise noise is drawn from the seed.
  sample: async ({ id, network, c, size, n, method, settings, seed, noise }) => {
    const random = new Random(seed), pixels = size[0] * size[1];
    const fresh = () => Array.from({ length: n }, () => noise?.shift() ?? random.frame(pixels));
    const each = async (frames) => {
      const estimates = [];
      for (const y of frames) {
        if (stopped.has(id)) throw new Error("stopped");
        estimates.push(await denoise(network, y, c, size));
      }
      return estimates;
    };
    let step = 0;
    const watch = (estimates) => { postMessage({ id, progress: { step: step++, estimates } }); };
    const begun = performance.now();
    const samples = await { multistep, ascent }[method](each, fresh, settings, watch);
    return { samples, seconds: (performance.now() - begun) / 1000 };
  },

  stop: ({ what }) => { stopped.add(what); },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, result: await tasks[data.task](data) });
  } catch (problem) {
    postMessage({ id: data.id, error: String(problem?.message ?? problem) });
  }
};
