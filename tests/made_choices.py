"""Choices that are made with a known line of log odds, for the tests that look for it."""

import numpy as np
from scipy import special


def choices(intercept, slope, scenes=400, samples=8, seed=0):
    """Scenes of probabilities p (B,), and how often A and B were chosen, by a known line of log odds."""
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.05, 0.95, scenes)
    first = generator.binomial(samples, special.expit(intercept + slope * special.logit(p)))
    return p, first, samples - first


def laws(scenes, error=0.0, seed=0):
    """Laws of 2 to 5 futures, padded to 5, and laws of the frequency error ``error`` from them in each scene: (B, 5) both."""
    generator = np.random.default_rng(seed)
    possible = np.arange(5) < generator.integers(2, 6, (scenes, 1))
    w = np.where(possible, generator.gamma(3.0, size=(scenes, 5)), 0)
    w = 0.2 * possible / possible.sum(1, keepdims=True) + 0.8 * w / w.sum(1, keepdims=True)
    off = np.where(possible, generator.normal(size=w.shape), 0)
    off = np.where(possible, off - off.sum(1, keepdims=True) / possible.sum(1, keepdims=True), 0)
    off /= np.sqrt((off**2).sum(1, keepdims=True) / 2)
    off = np.where(((w + error * off) < 0).any(1, keepdims=True), -off, off)
    return w, w + error * off
