"""Parameters of a notebook, checked before any work is done.

Papermill writes what it is given into a cell of its own after the one tagged ``parameters``, and only warns about a name
that no one asked for. So the next cell of every chapter names what it takes, and anything else is an error.
"""

from __future__ import annotations

import builtins
import difflib
import json
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from types import ModuleType

from scorevid import checks

_CHECKED = "_parameters_are_checked"  # left in the namespace: results found there later are no parameters
_OF_IPYTHON = {"In", "Out", "exit", "quit", "get_ipython", "open"}


def check_parameters(namespace: MutableMapping[str, object], /, **specs: tuple) -> None:
    """Raise ValueError, with what came and what is expected, unless the notebook's parameters are as specified.

    namespace: ``globals()`` of the notebook, called in the cell after its parameters. specs: for each parameter

    - ``(int, least, most)`` or ``(float, least, most)``: a number in that range; an int serves as a float;
    - ``(list, least, most)``: a list of at least one number, each in that range; written out as "[2, 3]", as ``papermill -p``
      hands it over, it is read and replaced in the namespace;
    - ``(str, "one", "other")``: one of these words;
    - ``(bool,)``.

    Every public name in the namespace must be one of the specs, but for modules, classes, functions, CONSTANTS, and what
    a startup file of IPython has put there. Such a name that hides a built-in one (from numpy import sum) is deleted.
    Only the first check that passes does this, so that the cell may be run again after results have been named.
    """
    startup = set() if _CHECKED in namespace else _of_startup(namespace)
    for name in startup & set(dir(builtins)):
        del namespace[name]
    own = {k for k, v in namespace.items() if not (k[0] == "_" or k in _OF_IPYTHON | startup) and _is_data(v)}
    constants = {k for k in own if k.isupper() and k.lower() not in specs}
    unknown = set() if _CHECKED in namespace else own - constants - specs.keys()
    for name in sorted(unknown):
        near = difflib.get_close_matches(name.lower(), specs, n=1)
        hint = f", did you mean {near[0]}?" if near else "."
        raise ValueError(f"unknown parameter {name}{hint} This notebook takes {', '.join(specs)}")
    for name, (kind, *limits) in specs.items():
        if name not in namespace:
            raise ValueError(f"the parameter {name} is missing")
        if kind is list and isinstance(namespace[name], str):
            with suppress(json.JSONDecodeError):
                namespace[name] = json.loads(namespace[name])
        _check(name, namespace[name], kind, limits)
    namespace[_CHECKED] = True


def _check(name: str, value: object, kind: type, limits: list) -> None:
    if kind is list:
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(f'{name} must be a list of numbers, such as "[2, 3]", got {value!r}')
        for entry in value:
            _check(f"each entry of {name}", entry, float, limits)
    elif kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be True or False, got {value!r}")
    elif kind is str:
        checks.one_of(name, value, limits)
    else:
        {int: checks.integer, float: checks.number}[kind](name, value, *limits)


def _of_startup(namespace: MutableMapping[str, object]) -> set[str]:
    """Names of the user's startup files that no cell has changed since: the shell hides them from its lists of names."""
    shell = namespace["get_ipython"]() if "get_ipython" in namespace else None
    hidden = getattr(shell, "user_ns_hidden", {})
    return {k for k, v in namespace.items() if k in hidden and hidden[k] is v and k[0] != "_"} - _OF_IPYTHON


def _is_data(value: object) -> bool:
    return not isinstance(value, ModuleType | type | Callable)
