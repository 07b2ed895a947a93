"""What several test files share."""

import math

import pytest
from hypothesis import settings
from scipy import stats

settings.register_profile("the same examples in every run", derandomize=True)
settings.load_profile("the same examples in every run")


@pytest.fixture
def law_density():
    """Density of log σ under a law of the noise prior, from scipy; a peak spans the whole range."""

    def density(law, sigma, low, high):
        flat = stats.loguniform.pdf(sigma, low, high) * sigma
        if law == "log-uniform":
            return flat
        if law == "uniform":
            return stats.uniform.pdf(sigma, low, high - low) * sigma
        length = math.log(high / low)
        return (flat + stats.triang.pdf(math.log(sigma), 0.5, math.log(low), length)) / 2

    return density
