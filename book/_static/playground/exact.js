// The optimal denoiser that knows sigma, for finitely many futures, as in scorevid/denoisers/exact.py.

// r_k, proportional to w_k exp(-|y - x_k|^2 / 2 sigma^2). The difference of two squares is summed as a product, in which
// pixels that two futures share cancel.
export function responsibilities(y, futures, sigma) {
  const first = futures[0].frame;
  const logits = futures.map(({ frame, probability }) => {
    let excess = 0;
    for (let i = 0; i < y.length; i++) excess += (frame[i] - first[i]) * (frame[i] - y[i] + first[i] - y[i]);
    return Math.log(probability) - excess / (2 * sigma ** 2);
  });
  const most = Math.max(...logits), weights = logits.map((v) => Math.exp(v - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((v) => v / total);
}

// E[x | y, c, sigma] = sum_k r_k x_k.
export function posteriorMean(y, futures, sigma) {
  const r = responsibilities(y, futures, sigma);
  return y.map((_, i) => futures.reduce((sum, { frame }, k) => sum + r[k] * frame[i], 0));
}

// Optimal weights of pixel i on y: row i of Cov[x | y, c] / sigma^2, by the second-order Tweedie identity.
export function optimalRow(y, futures, sigma, i) {
  const r = responsibilities(y, futures, sigma), mean = posteriorMean(y, futures, sigma);
  return y.map((_, j) => {
    const product = ({ frame }, k) => r[k] * (frame[i] - mean[i]) * (frame[j] - mean[j]);
    return futures.reduce((sum, future, k) => sum + product(future, k), 0) / sigma ** 2;
  });
}
