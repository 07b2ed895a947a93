"""Settings of a sweep, against values written out by hand."""

import pytest

from scorevid.sweep.grid import combinations, read_grid, same_grid

ANNOTATIONS = {"beta": "float", "steps": "int", "centre": "str", "sharp": "bool", "sigmas": "list", "free": "None"}


@pytest.mark.parametrize(
    ("text", "name", "due"),
    [
        ("beta=.01,.1,.5", "beta", [0.01, 0.1, 0.5]),
        ("beta=1,1e-3", "beta", [1.0, 0.001]),  # YAML would call the second a string
        ("steps = 3, -4", "steps", [3, -4]),
        ("centre=prediction,grey", "centre", ["prediction", "grey"]),
        ("centre=007,'a,b',True,''", "centre", ["007", "a,b", "True", ""]),
        ("sharp=True,False", "sharp", [True, False]),
        ("sigmas=[.1,1],[3]", "sigmas", [[0.1, 1], [3]]),
        ("free=1,.5,None,False,yes,'1',[a]", "free", [1, 0.5, None, False, "yes", "1", ["a"]]),
        ("free=a=b", "free", ["a=b"]),
        ("free=1,True", "free", [1, True]),
    ],
)
def test_values_are_read_as_papermill_reads_them(text, name, due):
    found = read_grid([text], ANNOTATIONS)
    assert found == {name: due} and list(map(type, found[name])) == list(map(type, due))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "say what to sweep"),
        (["beta"], "name=value,value, got 'beta'"),
        (["=1"], "name=value,value"),
        (["bata=1"], "unknown parameter bata, did you mean beta"),
        (["zzz=1"], "unknown parameter zzz. The notebook takes beta, steps"),
        (["beta=1", "beta=2"], "beta is set twice"),
        (["beta="], "has no values"),
        (["beta=1,"], "ends with a comma"),
        (["beta=1,,2"], "cannot read 'beta=1,,2'"),
        (["beta=1,[2"], "cannot read"),
        (["beta=1]"], "cannot read"),
        (["beta=.1,0.1"], "has the value 0.1 twice"),
        (["beta=1,1.0"], "twice"),
        (["beta=much"], "float is expected, got 'much'"),
        (["steps=1.5"], "int is expected, got 1.5"),
        (["steps=True"], "int is expected, got True"),
        (["sharp=1"], "bool is expected, got 1"),
        (["sigmas=1"], "list is expected, got 1"),
        (["free={a: 1}"], "words, numbers, or lists"),
        (["free=!!python/name:os.system ''"], "words, numbers, or lists"),
        (["free=&a 1,*a"], "words, numbers, or lists"),
    ],
)
def test_what_cannot_be_swept_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        read_grid(settings, ANNOTATIONS)


def test_without_any_parameter_the_message_says_why():
    with pytest.raises(ValueError, match="takes no parameter: none is in a cell tagged parameters"):
        read_grid(["beta=1"], {})


def test_all_combinations_with_the_last_varying_fastest():
    assert combinations({"a": [1, 2], "b": ["x", "y"]}) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_the_order_does_not_make_another_grid_and_a_value_does():
    grid = {"a": [1, 2], "b": ["x"]}
    assert same_grid(grid, {"b": ["x"], "a": [2, 1]})
    for other in ({"a": [1, 2]}, {"a": [1], "b": ["x"]}, {"a": [1, 3], "b": ["x"]}, {"a": [1, 2], "b": ["y"]}):
        assert not same_grid(grid, other)
