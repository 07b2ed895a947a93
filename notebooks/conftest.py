"""Regression tests of the chapters, ``pytest --nbval notebooks/``: what a claim measured is left out of the comparison."""

from pathlib import Path

collect_ignore = ["sweeps"]  # no chapters, many minutes each


def pytest_configure(config):
    if getattr(config.option, "nbval", False) and not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "nbval.cfg")
