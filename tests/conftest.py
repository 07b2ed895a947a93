"""What several test files share."""

import math
from pathlib import Path

import pytest
from hypothesis import settings
from scipy import stats

settings.register_profile("the same examples in every run", derandomize=True)
settings.load_profile("the same examples in every run")

SLOWEST = (  # files that take a minute and more, the longest first
    "notebooks/test_notebooks.py",
    "training/test_trainer.py",
    "benchmarks/test_benchmarks.py",
    "book/test_book_scripts.py",
    "sweep/test_sweep_command.py",
    "notebooks/test_nbval.py",
    "notebooks/test_environment.py",
    "test_cli.py",
)


def pytest_collection_modifyitems(items):
    """Begin with these, so that none is left to the end where files are tested side by side."""
    here, places = Path(__file__).parent, {name: place for place, name in enumerate(SLOWEST)}

    def place(item):
        return places.get(item.path.relative_to(here).as_posix() if here in item.path.parents else "", len(places))

    items.sort(key=place)


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
