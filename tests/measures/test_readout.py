"""Decoding: what is there is found, what is not there is not, and no scene helps to decode itself."""

import builtins
import sys

import numpy as np
import pytest

from scorevid.measures.representations import decode
from scorevid.measures.representations.readout import area_under_curve, correlation

pytest.importorskip("sklearn")
N = 120


def features(seed=0, width=20):
    return np.random.default_rng(seed).normal(size=(N, width))


def test_a_linear_target_is_decoded():
    x = features()
    found = decode(x, x @ np.arange(20.0))
    assert found.kind == "r" and found.estimate.value > 0.999 and found.estimate.n == N
    assert found.estimate.low <= found.estimate.value <= found.estimate.high
    above = decode(x, x[:, 0] > 0.2)
    assert above.kind == "auc" and above.estimate.value > 0.95


def test_a_noisy_target_is_decoded_as_well_as_can_be():
    """Of signal and noise of equal variance no decoder has more than r = √½, up to chance."""
    x = features()
    found = decode(x, x[:, 0] + np.random.default_rng(1).normal(size=N)).estimate
    assert 0.45 < found.value < 0.8 and found.low < np.sqrt(0.5) < found.high + 0.1


@pytest.mark.parametrize("width", [20, 300])
def test_nothing_is_decoded_from_nothing(width):
    """Would catch a decoder that is judged by what it was fitted to, with more features than scenes at the latest."""
    x, t = features(width=width), np.random.default_rng(2).normal(size=N)
    assert decode(x, t).estimate.value < 0.25
    assert 0.3 < decode(x, t > 0).estimate.value < 0.7


def test_scenes_of_a_group_do_not_decode_one_another():
    """Each group has a place of its own, and a target by chance: decoded if its other scenes help, and not otherwise."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 6)
    x = rng.normal(size=(20, 40))[groups] + 0.01 * rng.normal(size=(N, 40))
    t = rng.normal(size=20)[groups]
    assert decode(x, t).estimate.value > 0.9
    grouped = decode(x, t, groups).estimate
    assert grouped.value < 0.5 and grouped.n == 20
    names = np.array([f"shot {k:02d}" for k in groups])
    assert decode(x, t, names).estimate == grouped


def test_features_of_any_scale_and_shape_and_a_seed():
    x = features()
    t = x[:, 3] + 0.5 * np.random.default_rng(1).normal(size=N)
    one, other = decode(x, t), decode(1e-6 * x.reshape(N, 4, 5), t)
    np.testing.assert_allclose(one.answers, other.answers, atol=1e-6)
    assert decode(x, t, seed=1).estimate != one.estimate


def test_area_under_the_curve_and_correlation():
    assert area_under_curve(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert area_under_curve(np.array([1.0, 2, 2, 0]), np.array([True, False, True, False])) == pytest.approx(0.625)
    assert np.isnan(area_under_curve(np.arange(3.0), np.ones(3, bool)))
    assert correlation(np.arange(4.0), -np.arange(4.0)) == pytest.approx(-1)
    assert np.isnan(correlation(np.ones(4), np.arange(4.0)))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"target": np.zeros(N)}, "vary"),
        ({"target": np.arange(N - 1.0)}, "features must be"),
        ({"target": np.arange(N) < 3}, "either kind"),
        ({"target": np.full(N, np.nan)}, "finite"),
        ({"features": np.zeros((0, 3))}, "features must be"),
        ({"groups": np.arange(N) % 4}, "groups"),
        ({"folds": 1}, "folds"),
    ],
)
def test_what_cannot_be_decoded_is_refused(change, message):
    arguments = {"features": features(), "target": np.arange(float(N))} | change
    with pytest.raises(ValueError, match=message):
        decode(**arguments)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(
        "importlib.import_module", lambda name: real(name) if not name.startswith("sklearn") else real("no_such_module")
    )
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorevid\[learn\]'"):
        decode(features(), np.arange(float(N)))
