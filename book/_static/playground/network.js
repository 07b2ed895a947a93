// The page's side of the worker: each call is a promise of its answer.

export class Networks {
  constructor() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data }) => this.answer(data);
    this.worker.onerror = (event) => {
      this.broken = new Error(event.message ?? "the worker cannot start");
      for (const { reject } of this.waiting.values()) reject(this.broken);
      this.waiting.clear();
    };
  }

  answer({ id, result, error, progress }) {
    const { resolve, reject, watch } = this.waiting.get(id) ?? {};
    if (progress) return watch?.(progress);
    this.waiting.delete(id);
    return error === undefined ? resolve?.(result) : reject?.(new Error(error));
  }

  // task and what it needs, as in worker.js. watch: called with progress.
  call(task, what, watch) {
    const id = ++this.count;
    const answer = new Promise((resolve, reject) => {
      if (this.broken) reject(this.broken);
      else this.waiting.set(id, { resolve, reject, watch });
    });
    this.worker.postMessage({ id, task, ...what });
    return Object.assign(answer, { id });
  }

  stop(id) {
    return this.call("stop", { what: id });
  }
}

// Runs a job again and again for the newest request, one at a time: what was asked for meanwhile but once is dropped.
export function newest(job) {
  let running = false, wanted = false;
  return async function request() {
    wanted = true;
    if (running) return;
    running = true;
    try {
      while (wanted) {
        wanted = false;
        await job();
      }
    } finally {
      running = false;
    }
  };
}
