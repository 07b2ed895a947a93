"""A plugin of pytest that keeps what nbval has run, so that the book need not run the chapters a second time.

    PYTHONPATH=scripts .venv/bin/pytest -p keep_executed --nbval notebooks --keep-executed _build/chapters

The folder gets what ``scripts/run_chapters.py`` would leave there: a copy of each chapter all of whose cells were run, with
the outputs of this run, whether or not they are those that are stored, and word of how it was run. A chapter that
an error has stopped has no copy. As nbval has it, kernels work in the notebook's folder, where the other script gives them
an empty one.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import nbformat
import pytest
from nbval.plugin import IPyNbCell
from run_chapters import how_it_ran


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("nbval").addoption(
        "--keep-executed", metavar="FOLDER", help="keep executed copies of notebooks there"
    )


def pytest_configure(config: pytest.Config) -> None:
    if folder := config.getoption("--keep-executed"):
        config.pluginmanager.register(Keeper(Path(folder).absolute()))


class Keeper:
    """Writes a notebook's copy into the folder when the last of its cells has been run.

    Cells of one notebook are run in order and by one process, as ``--dist loadfile`` has it.
    """

    def __init__(self, folder: Path):
        self.folder, self.begun, self.outputs = folder, {}, {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """The first cell's starts the kernel as well."""
        self.begun.setdefault(item.path, time.monotonic())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item):
        try:
            return (yield)
        finally:
            if isinstance(item, IPyNbCell):
                self._note(item)

    def _note(self, item: IPyNbCell) -> None:
        outputs = getattr(item, "test_outputs", None)  # None if the cell was not run
        if outputs is None or any(out.output_type == "error" for out in outputs):
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
