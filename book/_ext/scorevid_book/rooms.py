"""The package as its code has it: ``{map}`` draws its rooms, ``{room} worlds`` is the reference of one or of some modules.

The map shows what is imported from where, read off the source: a room stands one level above the highest room that it
imports from. In the reference stand the docstring of the room's ``__init__``, the names that it exports with the comment
on each, and the documentation of its modules, in the order in which the ``__init__`` names them.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import scorevid

ROOT = Path(scorevid.__file__).parent
NAME = re.compile(r'^\s+"(\w+)",\s*(?:#\s*(.*))?$', re.M)  # a line of a room's map: a name, and what it is


@cache
def sources() -> dict[str, Path]:
    """The file of each public module, by its name below the package: "worlds.leaves.world", "cli"."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if parts and not any(part.startswith("_") for part in parts):
            found[".".join(parts)] = path
    return found


def room(module: str) -> str:
    """Where a module stands: in a room, or by itself."""
    return module.split(".")[0]


def imports(module: str) -> set[str]:
    """The modules of the package that a module imports when it runs: not for its types alone, and lazy maps apart."""
    found, tree = set(), ast.parse(sources()[module].read_text(encoding="utf-8"))
    checks = (node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    for_types = {node for check in checks for node in ast.walk(check)}
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == scorevid.__name__:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("scorevid.") for name in found} & set(sources())


@cache
def below() -> dict[str, list[str]]:
    """For each room, the others that its modules import from."""
    used: dict[str, set[str]] = {}
    for module in sources():
        used.setdefault(room(module), set()).update(map(room, imports(module)))
    return {name: sorted(others - {name}) for name, others in used.items()}


def level(name: str, above: tuple[str, ...] = ()) -> int:
    """How high a room stands."""
    return max((1 + level(other, (*above, name)) for other in below()[name] if other not in above), default=0)


def summary(module: str) -> str:
    """What a module is about: its docstring up to the first stop or colon, without markup."""
    text = ast.get_docstring(ast.parse(sources()[module].read_text(encoding="utf-8"))) or ""
    text = re.sub(r":[\w:]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`", r"`\1`", " ".join(text.split("\n\n")[0].split()))
    return re.split(r"(?<=[^.])[.:;](?:\s|$)", text)[0].replace("``", "`")


def modules(name: str) -> list[str]:
    """A room's modules: those that its map names first and in its order, then the others; or the module of that name."""
    inside = [module for module in sources() if module.startswith(f"{name}.")]
    text = sources()[name].read_text(encoding="utf-8")
    named = [f"{name}.{key}" for key in re.findall(r'^\s+"([\w.]+)": \[', text, re.M)]
    return sorted(inside, key=lambda m: (named.index(m) if m in named else len(named), m)) or [name]


def documented(name: str, members: bool = True) -> list[str]:
    """The docstring of a module, what it defines, and a table of the names that it exports, with the comment on each."""
    full = f"scorevid.{name}".rstrip(".")
    lines = ["```{eval-rst}", f".. automodule:: {full}", *([] if members else ["   :no-members:"]), "```", ""]
    rows, module = [], importlib.import_module(full)
    for key, comment in NAME.findall(Path(module.__file__).read_text(encoding="utf-8")):
        if key not in getattr(module, "__all__", []):
            continue
        one = getattr(module, key)
        known = callable(one) and hasattr(one, "__qualname__")
        target = one.__name__ if inspect.ismodule(one) else known and f"{one.__module__}.{one.__qualname__}"
        link = f"{{py:obj}}`{key} <{target}>`" if target else f"`{key}`"
        rows.append(f"| {link} | {comment} |")
    return [*lines, *(["| name | what it is |", "|---|---|", *rows, ""] if rows else [])]


class Generated(SphinxDirective):
    def parsed(self, lines: list[str]) -> list[nodes.Node]:
        """The nodes of generated Markdown, headings among them; the page is read again whenever the code changes."""
        for path in sources().values():
            self.env.note_dependency(str(path))
        self.env.note_reread()
        node = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.env.docname), 0, node, match_titles=True)
        return node.children


class Room(Generated):
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines = [] if self.arguments else documented("", members=False)
        for name in "".join(self.arguments).split():
            if (inside := modules(name)) != [name]:
                lines += documented(name, members=False)
            for module in inside:
                lines += [f"## {module}", *documented(module)]
        return self.parsed(lines)


class Map(Generated):
    def run(self) -> list[nodes.Node]:
        levels: dict[int, list[str]] = {}
        for name in below():
            levels.setdefault(level(name), []).append(name)
        order = [levels[height] for height in sorted(levels, reverse=True)]
        alt = "; ".join(" and ".join(names) for names in order)
        lines = [f'<figure class="rooms" role="group" aria-label="The rooms of the package, from the top: {alt}.">', ""]
        for names in order:
            lines.append("::::{container} level")
            for name in names:
                lines += [":::{container} room", f"**{name}** {summary(name)}", ""]
                if below()[name]:
                    lines += [f"↓ {', '.join(below()[name])}", ""]
                if modules(name) != [name]:
                    lines += [f"- {link(module)} {summary(module)}" for module in modules(name)]
                lines += [":::"]
            lines.append("::::")
        return self.parsed([*lines, "", "</figure>"])


def link(module: str) -> str:
    return f"{{py:mod}}`{module.partition('.')[2]} <scorevid.{module}>`"


def connect(app: Sphinx) -> None:
    app.add_directive("room", Room)
    app.add_directive("map", Map)
