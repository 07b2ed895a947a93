"""Parameters of a notebook: what is wrong with them is said before any work is done."""

import math
import types

import pytest

from scorevid.parameters import check_parameters

SPECS = {
    "n_scenes": (int, 1, 100),
    "sigma_0": (float, 0.1, 10.0),
    "odds": (list, 0.05, 0.95),
    "weights": (str, "leaves-32", "other"),
    "fast": (bool,),
}
GOOD = {"n_scenes": 8, "sigma_0": 4.0, "odds": [0.1, 0.9], "weights": "leaves-32", "fast": False}


def test_good_parameters_pass_in_silence_beside_imports_and_ipython():
    more = {
        "np": math,
        "PLACES": {},
        "f": lambda: 0,
        "Path": types.SimpleNamespace,
        "_": 3,
        "In": [],
        "Out": {},
        "open": open,
    }
    assert check_parameters(GOOD | more, **SPECS) is None
    check_parameters(GOOD | {"sigma_0": 4}, **SPECS)  # a whole number is a number


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_scenez": 8}, "unknown parameter n_scenez, did you mean n_scenes"),
        ({"zebra": 8}, "unknown parameter zebra.*takes n_scenes, sigma_0"),
        ({"n_scenes": -1}, r"n_scenes must lie in \[1, 100\], got -1"),
        ({"n_scenes": 8.0}, "n_scenes must be an integer, got 8.0"),
        ({"n_scenes": "8"}, "n_scenes must be an integer, got '8'"),
        ({"n_scenes": True}, "n_scenes must be an integer"),
        ({"sigma_0": float("nan")}, "sigma_0 must lie in"),
        ({"sigma_0": float("inf")}, "sigma_0 must lie in"),
        ({"odds": []}, "odds must be a list"),
        ({"odds": 0.5}, "odds must be a list"),
        ({"odds": [0.5, 1.0]}, "each entry of odds must lie in"),
        ({"weights": "leafs"}, "weights must be one of 'leaves-32', 'other', got 'leafs'"),
        ({"fast": 1}, "fast must be True or False"),
    ],
)
def test_wrong_parameters_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        check_parameters(GOOD | change, **SPECS)


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="sigma_0 is missing"):
        check_parameters({k: v for k, v in GOOD.items() if k != "sigma_0"}, **SPECS)
