"""Chapters that were run before the build, side by side.

With SCOREVID_CHAPTERS naming the folder, an absolute path, into which ``scripts/run_chapters.py`` has put executed copies,
the pages show these and nothing is executed here. A chapter without a copy there, or with other code in it, stops the
build. Without the variable MyST-NB executes the chapters one by one, as ``_config.yml`` says, which shows the same. A figure
of which no image came is a warning, and so an error.

Either way what a page offers for download is the notebook as this build has executed it (``take_home``).
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import nbformat
from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

from scorevid.companion.notebooks import missing_figures, prepare_kernels

FOLDER_VARIABLE = "SCOREVID_CHAPTERS"
KEY = "scorevid"  # in the notebook's metadata: how it was run

logger = logging.getLogger(__name__)


def choose_mode(app: Sphinx, config: Config) -> None:
    """What has been executed is not executed again; kernels are untouched by what the user has set up."""
    if os.environ.get(FOLDER_VARIABLE):
        config.nb_execution_mode = "off"
        return
    restore = prepare_kernels()
    app.connect("build-finished", lambda *_: restore())


def show_executed(app: Sphinx, docname: str, source: list[str]) -> None:
    """Read the executed copy in place of the chapter, and note how long it took."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder or not is_chapter(app, docname):
        return
    path = Path(folder) / Path(app.env.doc2path(docname)).name
    if not path.is_file():
        raise ExtensionError(f"{path}, the executed copy of {docname}, is missing: scripts/run_chapters.py makes it")
    given, executed = nbformat.reads(source[0], 4), nbformat.read(path, 4)
    if code(given) != code(executed):
        raise ExtensionError(f"{path} was made from other code than {docname} has now: run the chapters again")
    for cell, was in zip(executed.cells, given.cells, strict=True):
        times = cell.metadata.get("execution")  # of this run, not of that whose outputs are stored
        cell.source, cell.metadata = was.source, was.metadata  # prose, tags and captions may have changed since
        cell.metadata.pop("execution", None)
        if times:
            cell.metadata["execution"] = times
    run = dict(executed.metadata.pop(KEY))
    runs(app.env)[docname] = run
    ended = datetime.fromisoformat(run["ended"]).timestamp()
    outcome = {"method": "before", "succeeded": True, "error": None, "traceback": None}
    NbMetadataCollector.set_exec_data(app.env, docname, {"runtime": run["seconds"], "mtime": ended, **outcome})
    source[0] = nbformat.writes(executed)


def see_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of the figures of a chapter of which no image came."""
    if not is_chapter(app, app.env.docname):
        return
    executed = Path(app.env.mystnb_config.output_folder) / f"{app.env.docname}.ipynb"
    for name in missing_figures(nbformat.read(executed, 4).cells) if executed.is_file() else ():
        logger.warning("no image came of what draws %s", name, location=app.env.docname)


def code(notebook: nbformat.NotebookNode) -> list[str | None]:
    """The source of each cell that holds code, None for one of prose."""
    return [cell.source if cell.cell_type == "code" else None for cell in notebook.cells]


def is_chapter(app: Sphinx, docname: str) -> bool:
    return Path(app.env.doc2path(docname)).suffix == ".ipynb"


def runs(env: BuildEnvironment) -> dict[str, dict]:
    """How each chapter was run, by its page: seconds, ended, processors, threads, at_once."""
    if not hasattr(env, "scorevid_runs"):
        env.scorevid_runs = {}
    return env.scorevid_runs


def forget(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    runs(env).pop(docname, None)


def merge(app: Sphinx, env: BuildEnvironment, docnames: set[str], other: BuildEnvironment) -> None:
    runs(env).update({docname: run for docname, run in runs(other).items() if docname in docnames})


def connect(app: Sphinx) -> None:
    app.connect("config-inited", choose_mode, priority=400)
    app.connect("source-read", show_executed)
    app.connect("doctree-read", see_figures)
    app.connect("env-purge-doc", forget)
    app.connect("env-merge-info", merge)
