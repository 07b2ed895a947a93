"""Regression tests of the chapters, ``pytest --nbval notebooks/``: what a claim measured is left out of the comparison.

Kernels are of this environment and untouched by what the user has set up, and a figure without an image is an error.
With ``--keep-executed FOLDER`` the folder gets what ``scripts/run_chapters.py`` would leave there, so that the book need not
run the chapters a second time: a copy of each chapter all of whose cells were run, with the outputs of this run, whether or
not they are those that are stored. A chapter that an error has stopped has no copy. With ``--executed FOLDER`` no chapter is
run: what is compared with the stored outputs is what such copies in the folder show.
"""

import functools
import os
import time
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell, coalesce_streams

from scorevid.companion.notebooks import how_it_ran, missing_figures, prepare_kernels, stored_seconds

collect_ignore = ["sweeps"]  # no chapters, many minutes each


def pytest_addoption(parser):
    group = parser.getgroup("nbval")
    group.addoption("--keep-executed", metavar="FOLDER", help="keep executed copies of notebooks there")
    group.addoption("--executed", metavar="FOLDER", help="compare executed copies from there, and run nothing")


def pytest_configure(config):
    if not getattr(config.option, "nbval", False):
        return
    config.option.nbval_current_env = not config.option.nbval_kernel_name
    if not config.option.nbval_sanitize_with:
        config.option.nbval_sanitize_with = str(Path(__file__).parent / "nbval.cfg")
    if not hasattr(config, "workerinput"):  # the processes of xdist have it from this one
        config.add_cleanup(prepare_kernels())
    folder = getattr(config.option, "keep_executed", None)
    config.pluginmanager.register(Watcher(folder and Path(folder).absolute()))


def pytest_collection_modifyitems(config, items):
    cells = [item for item in items if isinstance(item, IPyNbCell)]
    seconds = {path: stored_seconds(path) for path in {cell.path for cell in cells}}
    items.sort(key=lambda item: -seconds.get(item.path, 0))  # the longest chapters first
    if folder := getattr(config.option, "executed", None):
        for path in seconds:
            replay([cell for cell in cells if cell.path == path], Path(folder, path.name))


def replay(cells, copy):
    """Let nbval take the outputs of a chapter's cells from its executed copy, in place of a kernel."""
    executed = [cell for cell in nbformat.read(copy, 4).cells if cell.cell_type == "code"] if copy.is_file() else []

    def compare(cell):
        if cell.cell_num >= len(executed) or executed[cell.cell_num].source != cell.cell.source:
            pytest.fail(f"{copy} was not made from this code: scripts/run_chapters.py makes it", pytrace=False)
        cell.test_outputs = coalesce_streams(executed[cell.cell_num].outputs)
        if cell.options["check"] and not cell.compare_outputs(cell.test_outputs, coalesce_streams(cell.cell.outputs)):
            cell.raise_cell_error("Cell outputs differ", "\n".join(cell.comparison_traceback))

    for cell in cells:
        cell.parent.setup = cell.parent.setup_sanitize_files
        cell.runtest = functools.partial(compare, cell)


class Watcher:
    """Looks at what nbval has run. One process runs the cells of a notebook, in order, as ``--dist loadfile`` has it."""

    def __init__(self, folder):
        self.folder, self.begun, self.outputs = folder, {}, {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        """The first cell's starts the kernel as well."""
        self.begun.setdefault(item.path, time.monotonic())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        try:
            return (yield)
        finally:
            outputs = getattr(item, "test_outputs", None)  # None if it is no cell, or was not run
            if outputs is not None and not any(output.output_type == "error" for output in outputs):
                self._look(item, outputs)

    def _look(self, item, outputs):
        """Fail for a missing figure; write the notebook's copy when the last of its cells has been run."""
        if missing := missing_figures([nbformat.from_dict({**item.cell, "outputs": outputs})]):
            pytest.fail(f"no image came of what draws {', '.join(missing)}", pytrace=False)
        if self.folder is None:
            return
        self.outputs.setdefault(item.path, {})[item.cell_num] = outputs
        notebook = nbformat.read(item.path, 4)
        cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
        if len(self.outputs[item.path]) < len(cells):
            return
        for k, cell in enumerate(cells):
            cell.outputs, cell.execution_count = self.outputs[item.path][k], k + 1
            cell.metadata.pop("execution", None)  # times of the run whose outputs are stored
        at_once = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
        notebook.metadata["scorevid"] = how_it_ran(time.monotonic() - self.begun[item.path], at_once)
        nbformat.validate(notebook)
        self.folder.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, self.folder / item.path.name)
