"""Choices that are made with a known line of log odds, for the tests that look for it."""

import numpy as np
from scipy import special


def choices(intercept, slope, scenes=400, samples=8, seed=0):
    """Scenes of probabilities p (B,), and how often A and B were chosen, by a known line of log odds."""
    generator = np.random.default_rng(seed)
    p = generator.uniform(0.05, 0.95, scenes)
    first = generator.binomial(samples, special.expit(intercept + slope * special.logit(p)))
    return p, first, samples - first
