"""What ``notebooks/conftest.py`` adds to nbval: executed copies, kept or compared, and figures that must have an image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIGURE = {"mystnb": {"figure": {"name": "fig-one"}}}


@pytest.fixture
def nbval(tmp_path):
    """Run nbval on chapters whose stored outputs are "1"; gives how that ended, and the copies in the folder "out"."""
    for name in ("conftest.py", "nbval.cfg"):
        shutil.copy(NOTEBOOKS / name, tmp_path)

    def run(*options, outputs=None, metadata=None, **sources):
        for name, cells in sources.items():
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
            notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
            for cell in notebook.cells:  # as if they had been run, and had printed 1
                cell.execution_count, cell.metadata["execution"] = 9, {"iopub.execute_input": "2026-01-01T00:00:00Z"}
                cell.outputs = outputs or [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
                cell.metadata |= metadata or {}
            nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color", "no", "--nbval", *options]
        done = subprocess.run(
            [*command, *(f"{name}.ipynb" for name in sources)],
            capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        out = tmp_path / "out"
        return done, {path.stem: nbformat.read(path, 4) for path in out.glob("*")} if out.is_dir() else {}

    return run


def test_what_has_run_is_kept_as_the_book_would_run_it(nbval):
    options = "-n", "2", "--dist", "loadfile", "--keep-executed", "out"
    done, copies = nbval(*options, one=["print(1)", "print(2 // 2)"], two=["print(1)"])
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    assert set(copies) == {"one", "two"}
    for copy in copies.values():
        nbformat.validate(copy)
        how = copy.metadata["scorevid"]
        assert how["seconds"] > 0 and how["threads"] == "1" and how["at_once"] == 2
        assert [cell.outputs[0].text for cell in copy.cells] == ["1\n"] * len(copy.cells)
        assert [cell.execution_count for cell in copy.cells] == [*range(1, len(copy.cells) + 1)]
        assert not any("execution" in cell.metadata for cell in copy.cells)


def test_other_outputs_than_the_stored_are_kept_and_told_but_nothing_that_an_error_stopped(nbval):
    other = "from IPython.display import HTML, display\ndisplay(HTML('<b>2</b>'))\nprint(2)\n3"
    done, copies = nbval("--keep-executed", "out", one=["print(1)", "x / 0", "print(1)"], two=[other])
    assert done.returncode == 1 and "2 failed, 2 passed" in done.stdout, done.stdout
    assert set(copies) == {"two"}
    html, printed, result = copies["two"].cells[0].outputs
    assert html.data["text/html"] == "<b>2</b>" and printed.text == "2\n" and result.data["text/plain"] == "3"


def test_executed_copies_are_compared_without_running_anything(nbval, tmp_path):
    """Catches a comparison that passes whatever the copies show, or that takes one of other code."""
    code = "open('ran', 'w'); print(1)"
    chapters = {"same": [code], "other": [code], "changed": [code], "missing": [code]}
    (tmp_path / "out").mkdir()
    for name, source, text in (("same", code, "1\n"), ("other", code, "2\n"), ("changed", "print(1)", "1\n")):
        cell = nbformat.v4.new_code_cell(source, outputs=[nbformat.v4.new_output("stream", name="stdout", text=text)])
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "out" / f"{name}.ipynb")
    done, _ = nbval("--executed", "out", **chapters)
    assert "3 failed, 1 passed" in done.stdout and "same.ipynb" not in done.stdout.split("FAILURES")[1]
    assert all(f"out/{name}.ipynb was not made from this code" in done.stdout for name in ("changed", "missing"))
    assert "Cell outputs differ" in done.stdout
    assert not (tmp_path / "ran").exists()


def test_kernels_are_untouched_by_the_user_and_a_figure_without_image_is_named(nbval, monkeypatch, tmp_path):
    """Catches a run of the chapters that loses their figures, or passes or fails because of a profile."""
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "mine.py").write_text("print('mine')\nme = 1\n")
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text('{"argv": ["false"], "display_name": "Mine", "language": "python"}')
    for name, value in (
        ("IPYTHONDIR", tmp_path / "ipython"), ("JUPYTER_PATH", tmp_path / "jupyter"), ("MPLBACKEND", "Agg"),
        ("PYTHONWARNINGS", "error"), ("HOME", "/proc/none"),
    ):  # fmt: skip
        monkeypatch.setenv(name, str(value))
    seen = (
        "import os, sys; print(int('me' not in dir() and 'inline' in os.environ['MPLBACKEND'] and not sys.warnoptions))"
    )
    done, _ = nbval(one=[seen])
    assert done.returncode == 0, done.stdout
    image = nbformat.v4.new_output("display_data", {"image/png": "AAAA", "text/plain": "<Figure>"})
    done, _ = nbval(outputs=[image], metadata=FIGURE, two=["pass"])
    assert done.returncode == 1 and "no image came of what draws fig-one" in done.stdout, done.stdout
