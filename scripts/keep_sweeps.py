"""Keep the outputs of sweeps, as papermill ran them, in their notebooks: ``keep_sweeps.py _sweeps notebooks/sweeps``.

A run with parameters of its own is a trial, and left where it is.
"""

import sys
from pathlib import Path

import nbformat


def keep(ran: Path, notebook: Path) -> bool:
    """Copy outputs and counts into a notebook of the same cells; whether it was done. Raises ValueError for other cells."""
    source, target = nbformat.read(ran, 4), nbformat.read(notebook, 4)
    if any("injected-parameters" in cell.metadata.get("tags", []) for cell in source.cells):
        return False
    if [cell.source for cell in source.cells] != [cell.source for cell in target.cells]:
        raise ValueError(f"{ran} was not made from {notebook} as it is now")
    for cell, own in zip(source.cells, target.cells, strict=True):
        if own.cell_type == "code":
            own.execution_count = cell.execution_count
            own.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(target, notebook)
    return True


if __name__ == "__main__":
    ran, notebooks = map(Path, sys.argv[1:])
    for notebook in sorted(notebooks.glob("*.ipynb")):
        if (ran / notebook.name).is_file():
            print(notebook.name, "kept" if keep(ran / notebook.name, notebook) else "was run with other parameters")
