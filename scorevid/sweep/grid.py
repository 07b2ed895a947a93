"""Settings of a sweep: ``name=value,value`` read as papermill reads a parameter, and the grid of all combinations."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from itertools import product

KINDS = {"int": int, "float": float, "bool": bool, "str": str, "list": list}  # that an annotation can ask for
_PLAIN = "values are words, numbers, or lists of them in brackets"
_SPECIAL = {"True": True, "False": False, "None": None}


def read_grid(settings: Sequence[str], annotations: Mapping[str, str]) -> dict[str, list]:
    """Values of each parameter of the sweep, by name, in the order in which they were given.

    settings: texts "name=value,value". A value is read as papermill reads one (True, False, None, an int, a float such
    as .01 or 1e-3, else a string); quotes make it a string, brackets a list of values. annotations: of each parameter
    of the notebook, by name: "int", "float", "bool", "str" or "list", and anything else where any value will do. Where
    a float is due an int becomes one, and where a string is due the text stays as it is.

    Raises ValueError for a setting that cannot be read, without values, with one value twice, or with a value of
    another kind than is due; for an unknown name, one that is given twice, and for no setting at all.
    """
    if not settings:
        raise ValueError("say what to sweep: --set name=value,value")
    grid: dict[str, list] = {}
    for text in settings:
        name, equals, values = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ValueError(f"a setting reads name=value,value, got {text!r}")
        if name not in annotations:
            near = difflib.get_close_matches(name, annotations, n=1)
            hint = f", did you mean {near[0]}?" if near else "."
            takes = ", ".join(annotations) or "no parameter: none is in a cell tagged parameters"
            raise ValueError(f"unknown parameter {name}{hint} The notebook takes {takes}")
        if name in grid:
            raise ValueError(f"{name} is set twice; give all its values at once: --set {name}=value,value")
        grid[name] = _read_values(text, values, annotations[name])
    return grid


def combinations(grid: Mapping[str, list]) -> list[dict]:
    """All combinations of the grid's values, the last name varying fastest."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def same_grid(a: Mapping[str, list], b: Mapping[str, list]) -> bool:
    """Whether two grids hold the same combinations, in whatever order."""
    return _unordered(a) == _unordered(b)


def _unordered(grid: Mapping[str, list]) -> dict[str, list[str]]:
    return {name: sorted(map(json.dumps, values)) for name, values in grid.items()}


def _read_values(text: str, values: str, annotation: str) -> list:
    import yaml  # its flow lists know commas from commas within quotes and brackets

    if not values.strip():
        raise ValueError(f"{text!r} has no values")
    try:
        node = yaml.compose(f"[{values}]", Loader=yaml.SafeLoader)
        beyond = yaml.TagToken, yaml.AnchorToken, yaml.AliasToken
        if any(isinstance(token, beyond) for token in yaml.scan(f"[{values}]")):
            raise ValueError(f"{_PLAIN}; quote what begins with !, & or *")
        if values.rstrip().endswith(","):
            raise ValueError("it ends with a comma")
        kind = KINDS.get(annotation.partition("[")[0])
        found = [_fit(_value(entry, kind), kind) for entry in node.value]
    except yaml.YAMLError as problem:
        raise ValueError(f"cannot read {text!r}: {getattr(problem, 'problem', None) or problem}") from None
    except ValueError as problem:
        raise ValueError(f"cannot read {text!r}: {problem}") from None
    for i, value in enumerate(found):
        if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in found[:i]):
            raise ValueError(f"{text!r} has the value {value!r} twice")
    return found


def _value(node, kind: type | None):
    """The value of a node of YAML; plain words are read by papermill's rules, which are simpler than YAML's."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return [_value(entry, None) for entry in node.value]
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError(_PLAIN)
    if node.style or kind is str:  # in quotes, or asked for as it is
        return node.value
    if not node.value:
        raise ValueError("a value is empty; a string of no letters is ''")
    return _scalar(node.value)


def _scalar(text: str):
    if text in _SPECIAL:
        return _SPECIAL[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _fit(value, kind: type | None):
    """The value as the kind that is due."""
    if kind is float and type(value) is int:
        return float(value)
    if kind is not None and type(value) is not kind:
        raise ValueError(f"{kind.__name__} is due, got {value!r}")
    return value
