// From a denoiser to samples, as in scorevid/sampling: our solver (solvers.py, Multistep) and the stochastic ascent of
// Kadkhodaie and Simoncelli (ascent.py).
//
// denoise takes a list of frames and returns (a promise of) their estimates. noise returns a frame of normal deviates for
// each of n samples. watch is called after each step with the estimates so far.

const LEAST_RATIO = 1e-3, MOST_RATIO = 1 - 1e-3;

export async function multistep(denoise, noise, { steps = 12, beta = 1, sigma0 = 5, sigmaL = 0.01 } = {}, watch = () => {}) {
  const centre = await denoise(noise().map((z) => z.map((v) => 0.5 + sigma0 * v)));
  let y = noise().map((z, s) => z.map((v, i) => centre[s][i] + sigma0 * v));
  const targets = Array.from({ length: steps }, (_, k) => sigma0 * (sigmaL / sigma0) ** ((k + 1) / steps));
  let before = null;
  for (const target of [...targets, null]) {
    const estimate = await denoise(y), sigma = estimate.map((x, s) => residualLevel(x, y[s]));
    watch(estimate);
    if (target === null) return estimate;
    const fresh = beta < 1 ? noise() : null;
    y = y.map((old, s) => {
      const r = Math.min(MOST_RATIO, Math.max(LEAST_RATIO, target / sigma[s]));
      const length = -Math.log(r), kept = r ** (1 / beta);
      // D is extrapolated over the log sigma that residuals have measured; a residual may not have fallen at all
      const passed = before && Math.max(0.1 * length, Math.log(before.sigma[s] / sigma[s]));
      const slope = before ? (length / (1 - kept) - beta) / passed : 0;
      const gamma = sigma[s] * Math.sqrt(Math.max(0, r ** 2 - kept ** 2));
      return old.map((v, i) => {
        const d = estimate[s][i], mean = before ? d + slope * (d - before.estimate[s][i]) : d;
        return kept * v + (1 - kept) * mean + (fresh ? gamma * fresh[s][i] : 0);
      });
    });
    before = { estimate, sigma };
  }
}

export async function ascent(denoise, noise, { beta = 0.01, sigma0 = 1, sigmaL = 0.01, h0 = 0.01, most = 2000 } = {}, watch = () => {}) {
  let y = noise().map((z) => z.map((v) => 0.5 + sigma0 * v));
  let active = y.map((_, s) => s);
  const latest = [...y];
  for (let t = 1; ; t++) {
    const estimate = await denoise(active.map((s) => y[s]));
    const sigma = estimate.map((x, k) => residualLevel(x, y[active[k]]));
    active.forEach((s, k) => { latest[s] = estimate[k]; });
    const going = active.map((s, k) => [s, k]).filter(([, k]) => sigma[k] > sigmaL && t <= most);
    watch(latest);
    if (!going.length) return latest;
    const h = stepSize(t, h0), fresh = beta < 1 ? noise() : null;
    for (const [s, k] of going) {
      const gamma = sigma[k] * Math.sqrt((1 - beta * h) ** 2 - (1 - h) ** 2);
      y[s] = y[s].map((v, i) => v + h * (estimate[k][i] - v) + (fresh ? gamma * fresh[s][i] : 0));
    }
    active = going.map(([s]) => s);
  }
}

// Updates of the ascent from sigma0 to sigmaL with an exact denoiser.
export function expectedSteps({ beta = 0.01, sigma0 = 1, sigmaL = 0.01, h0 = 0.01, most = 2000 } = {}) {
  let t = 0;
  for (let level = sigma0; level > sigmaL && t < most; t++) level *= 1 - beta * stepSize(t + 1, h0);
  return t;
}

function stepSize(t, h0) {
  return (h0 * t) / (1 + h0 * (t - 1));
}

function residualLevel(estimate, y) {
  let sum = 0;
  for (let i = 0; i < y.length; i++) sum += (estimate[i] - y[i]) ** 2;
  return Math.sqrt(sum / y.length);
}
