// Which of two futures a sample chose, as in scorevid/measures/choices.py.

// Where a sample lies between the two: 1 at the first, 0 at the second.
export function projection(sample, [a, b]) {
  let along = 0, square = 0;
  for (let i = 0; i < sample.length; i++) {
    const difference = a.frame[i] - b.frame[i];
    along += (sample[i] - b.frame[i]) * difference;
    square += difference ** 2;
  }
  return along / square;
}

// Counts of the first, the second, and of blends between them.
export function count(samples, futures) {
  const counts = { first: 0, second: 0, blends: 0 };
  for (const sample of samples) {
    const u = projection(sample, futures);
    counts[u > 0.75 ? "first" : u < 0.25 ? "second" : "blends"] += 1;
  }
  return counts;
}

export function logit(p) {
  return Math.log(p / (1 - p));
}
