"""Signatures as a reader wants them.

The type of an option of the command line stands without what tyro is told about it, and a folder of the package without
where it lies on the machine of the build.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

import scorevid

MARK = "Annotated["
AROUND = Path(scorevid.__file__).parents[1]
PATH = re.compile(r"\w*Path\('([^']*)'\)")


def plain(signature: str | None) -> str | None:
    """A signature in which every ``Annotated[type, ...]`` is the type alone, and paths begin at the package.

    Defaults that are made anew each time are "...".
    """
    signature = signature and signature.replace("<factory>", "...")  # which is no Python, and would spoil the rest
    while signature and MARK in signature:
        start = signature.index(MARK)
        first = inside = start + len(MARK)
        depth, comma = 1, None
        while depth:
            letter = signature[inside]
            depth += (letter in "[(") - (letter in "])")
            if letter == "," and depth == 1 and comma is None:
                comma = inside
            inside += 1
        before = re.sub(r"[\w.~]*$", "", signature[:start])  # typing., and what a short name has
        signature = before + signature[first:comma] + signature[inside:]
    return signature and PATH.sub(lambda path: f"Path('{path[1].removeprefix(f'{AROUND}/')}')", signature)


def process(app: Sphinx, what: str, name: str, thing, options, signature: str | None, returns: str | None):
    return plain(signature), plain(returns)


def connect(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-signature", process)
