// Random numbers from a seed, so that a link shows the same noise to everyone.

export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
    this.kept = null; // of each pair of normal deviates, the one not yet given
  }

  // Uniform in [low, high): mulberry32.
  uniform(low = 0, high = 1) {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return low + (high - low) * (((t ^ (t >>> 14)) >>> 0) / 4294967296);
  }

  // Standard normal: Box and Muller.
  normal() {
    if (this.kept !== null) {
      const kept = this.kept;
      this.kept = null;
      return kept;
    }
    const length = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.kept = length * Math.sin(angle);
    return length * Math.cos(angle);
  }

  // A frame of n normal deviates.
  frame(n) {
    return Float32Array.from({ length: n }, () => this.normal());
  }
}
