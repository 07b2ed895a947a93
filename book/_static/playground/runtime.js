// The runtime, ONNX Runtime for WebAssembly, on one thread. Runs in the worker.

import * as ort from "../onnxruntime/ort.wasm.min.mjs";

const HERE = new URL("../onnxruntime/", import.meta.url);

export async function start() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.mjs", HERE).href };
  ort.env.wasm.wasmBinary = await unpacked(new URL("ort-wasm-simd-threaded.wasm.gz", HERE));
}

export async function open(url) {
  return ort.InferenceSession.create(new Uint8Array(await fetched(url)));
}

// inputs: arrays by name, frames one after another; all frames have the given height and width.
export async function run(session, inputs, [height, width]) {
  const tensors = Object.entries(inputs).map(([name, values]) => {
    const channels = name === "c" ? inputs.c.length / inputs.y.length : 1; // the batch is one frame
    return [name, new ort.Tensor("float32", values, [1, channels, height, width])];
  });
  const outputs = await session.run(Object.fromEntries(tensors));
  return Object.fromEntries(Object.entries(outputs).map(([name, tensor]) => [name, tensor.data]));
}

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} cannot be loaded (${response.status})`);
  return response.arrayBuffer();
}

// Some servers have unpacked the file already: what is packed begins with 1f 8b.
async function unpacked(url) {
  const content = await fetched(url), [first, second] = new Uint8Array(content, 0, 2);
  if (first !== 0x1f || second !== 0x8b) return content;
  return new Response(new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}
