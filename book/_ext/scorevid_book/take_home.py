"""What a reader takes home: executed notebooks that run elsewhere, and the source of the built commit.

A notebook offered for download starts with a cell that installs the package where it is missing. Roles and directives of the
book, which Jupyter would show as text, are resolved in its prose. ``{get-the-code}`` says where the code is: the repository
that SCOREVID_REPOSITORY names, with a line to clone it, and an archive of the built commit, which the site carries.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import nbformat
from docutils import nodes
from pybtex.database import parse_file
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

from scorevid.estimates import format_interval, format_number

from .chapters import is_chapter
from .launch import repository
from .provenance import commit
from .records import UNMEASURED, read_records
from .tables import paragraph

ARCHIVE = "scorevid-source.zip"
INSTALL = """\
# Installs the package where it is missing{note}.
import importlib.util

if importlib.util.find_spec("scorevid") is None:
    %pip install --quiet "{source}"
"""
ROLE = re.compile(r"\{([a-z:-]+)\}`([^`]+)`")
EXERCISE = re.compile(r"^::::\{admonition\} (.+)\n:class: tip\n", re.M)
ANSWER = re.compile(r"^:::\{dropdown\} ([^\n]+)\n(.*?)^:::$", re.M | re.S)


def hand_out(app: Sphinx, problem: Exception | None) -> None:
    """Put executed notebooks where the pages' download links point, and the archive beside the pages."""
    if problem or app.builder.format != "html":
        return
    for docname in filter(lambda name: is_chapter(app, name), app.env.found_docs):
        executed = Path(app.env.mystnb_config.output_folder) / f"{docname}.ipynb"
        target = Path(app.outdir) / "_sources" / f"{docname}.ipynb"
        if executed.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(portable(nbformat.read(executed, 4), app.srcdir), target)
    if has_source(app.srcdir):
        command = ["git", "archive", "--format=zip", "--prefix=scorevid/", "--output", str(Path(app.outdir) / ARCHIVE)]
        subprocess.run([*command, "HEAD"], cwd=app.srcdir, check=True)


def has_source(folder: str | Path) -> bool:
    return commit(folder) != "unknown"


def portable(notebook: nbformat.NotebookNode, folder: str | Path) -> nbformat.NotebookNode:
    """The notebook with a cell that installs the package, and with plain Markdown in place of roles and directives."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, folder)
    if address := repository():
        at = f"@{built}" if (built := commit(folder).partition(" ")[0]) != "unknown" else ""
        code = INSTALL.format(note="", source=f"scorevid[baselines] @ git+{address}{at}")
    else:
        code = INSTALL.format(
            note=f" from {ARCHIVE}, which the book's front page offers", source=f"./{ARCHIVE}[baselines]"
        )
    notebook.cells.insert(0, nbformat.v4.new_code_cell(code, id="install"))
    return notebook


def plain(text: str, folder: str | Path) -> str:
    """Markdown as Jupyter shows it: roles as text, exercises as headings, their answers folded."""
    text = ANSWER.sub(r"<details><summary>\1</summary>\n\n\2\n</details>", EXERCISE.sub(r"### \1\n\n", text))
    return ROLE.sub(lambda role: resolved(role[1], role[2], folder), text.replace("\n::::", ""))


def resolved(role: str, content: str, folder: str | Path) -> str:
    """What a role says, as text."""
    if role.startswith("cite"):
        return f"({'; '.join(citation(key.strip(), folder) for key in content.split(','))})"
    if role.startswith("claim"):
        record = (read_records() or {}).get(content)
        if record is None:
            return UNMEASURED
        if role == "claim-verdict":
            return record["verdict"]
        value, low, high = (float(record[key]) for key in ("value", "low", "high"))
        return format_number(value) if role == "claim-value" else format_interval(value, low, high)
    if role == "numref":
        return f"Figure *{re.sub('.*<|>', '', content)}*"
    title = re.fullmatch(r"(.+?)\s*<[^>]+>", content, re.S)
    return f"*{title[1] if title else content.rpartition('/')[2]}*"


@cache
def bibliography(path: Path) -> dict:
    return parse_file(str(path)).entries if path.is_file() else {}


def citation(key: str, folder: str | Path) -> str:
    """Authors and year of an entry of the bibliography."""
    entry = bibliography(Path(folder) / "book" / "references.bib").get(key)
    if entry is None:
        raise ExtensionError(f"{key} is cited and not in the bibliography")
    names = [str(person.last_names[-1]).replace("{", "").replace("}", "") for person in entry.persons["author"]]
    who = names[0] if len(names) == 1 else " and ".join(names) if len(names) == 2 else f"{names[0]} et al."
    return f"{who}, {entry.fields['year']}"


class GetTheCode(SphinxDirective):
    """Where the code is: a repository if there is one, and the archive that the site carries."""

    def run(self) -> list[nodes.Node]:
        shown: list[nodes.Node] = []
        if address := repository():
            link = nodes.reference("", address, refuri=address)
            shown.append(paragraph("The code is in a public repository, ", link, ":"))
            command = f"git clone {address}\ncd {address.rpartition('/')[2]}"
            shown.append(nodes.literal_block(command, command, language="shell"))
        if has_source(self.env.srcdir):
            uri = "../" * self.env.docname.count("/") + ARCHIVE
            link = nodes.reference("", ARCHIVE, internal=True, refuri=uri)
            built = commit(self.env.srcdir)
            shown.append(
                paragraph("This site carries the source of the commit that it was built from, ", built, ": ", link, ".")
            )
        return shown


def connect(app: Sphinx) -> None:
    app.add_directive("get-the-code", GetTheCode)
    app.connect("build-finished", hand_out)
