"""Settings of a sweep: ``name=value,value`` read as papermill reads a parameter, and the grid of all combinations."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product

KINDS = {"int": int, "float": float, "bool": bool, "str": str, "list": list}  # that an annotation can ask for
_PLAIN = "values are words, numbers, or lists of them in brackets"
_SPECIAL = {"True": True, "False": False, "None": None}


def read_grid(settings: Sequence[str], annotations: Mapping[str, str]) -> dict[str, list]:
    """Values of each parameter of the sweep, by name, in the order in which they were given.

    settings: texts "name=value,value". A value is read as papermill reads one (True, False, None, an int, a float such
    as .01 or 1e-3, else a string); quotes make it a string, brackets a list of values. annotations: of each parameter
    of the notebook, by name: "int", "float", "bool", "str" or "list", and anything else where any value will do. Where
    a float is expected an int becomes one, and where a string is expected the text stays as it is.

    Raises ValueError for no setting at all, and for one that cannot be read, has no values, one twice or one of another
    kind, or whose name is unknown or given twice.
    """
    if not settings:
        raise ValueError("say what to sweep: --set name=value,value")
    grid: dict[str, list] = {}
    for text in settings:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"a setting must be name=value,value, got {text!r}")
        if name not in annotations:
            near = difflib.get_close_matches(name, annotations, n=1)
            hint = f", did you mean {near[0]}?" if near else "."
            takes = ", ".join(annotations) or "no parameter: none is in a cell tagged parameters"
            raise ValueError(f"unknown parameter {name}{hint} The notebook takes {takes}")
        if name in grid:
            raise ValueError(f"{name} is set twice; give all its values at once: --set {name}=value,value")
        try:
            grid[name] = _read_values(values, KINDS.get(annotations[name].partition("[")[0]))
        except ValueError as problem:
            raise ValueError(f"cannot read {text!r}: {problem}") from None
    return grid


def combinations(grid: Mapping[str, list]) -> list[dict]:
    """All combinations of the grid's values, the last name varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def same_grid(a: Mapping[str, list], b: Mapping[str, list]) -> bool:
    """Whether two grids hold the same combinations, in whatever order."""
    first, second = ({name: sorted(map(json.dumps, values)) for name, values in grid.items()} for grid in (a, b))
    return first == second


def _read_values(values: str, kind: type | None) -> list:
    import yaml  # its flow lists know commas from commas within quotes and brackets

    if not values.strip():
        raise ValueError("it has no values")
    try:
        node = yaml.compose(f"[{values}]", Loader=yaml.SafeLoader)
        special = yaml.TagToken, yaml.AnchorToken, yaml.AliasToken
        if any(isinstance(token, special) for token in yaml.scan(f"[{values}]")):
            raise ValueError(f"{_PLAIN}; quote what begins with !, & or *")
    except yaml.YAMLError as problem:
        raise ValueError(getattr(problem, "problem", None) or str(problem)) from None
    if values.rstrip().endswith(","):
        raise ValueError("it ends with a comma")
    found = [_value(entry, kind) for entry in node.value]
    for i, value in enumerate(found):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in found[:i]):
            raise ValueError(f"it has the value {value!r} twice")
    return found


def _value(node, kind: type | None):
    """The value of a node of YAML, of that kind; plain words are read by papermill's rules, which are simpler than YAML's."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        value = [_value(entry, None) for entry in node.value]
    elif not isinstance(node, yaml.ScalarNode):
        raise ValueError(_PLAIN)
    elif node.style or kind is str:  # in quotes, or asked for as it is
        value = node.value
    elif not node.value:
        raise ValueError("a value is empty; a string of no letters is ''")
    else:
        value = _SPECIAL.get(node.value, node.value)
        for number in (float, int) if value is node.value else ():
            with suppress(ValueError):
                value = number(node.value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind not in (None, type(value)):
        raise ValueError(f"{kind.__name__} is expected, got {value!r}")
    return value
