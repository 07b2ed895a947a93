"""Chapters come out the same whatever the user has set up, and a figure that nobody sees is an error."""

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from scorevid.companion.notebooks import environment, missing_figures, run_notebook, stored_seconds

PARAMETERS = "n: int = 1  # of nothing"
IMPORTS = "import matplotlib.pyplot as plt\nfrom scorevid.companion import figures, parameters"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIRST = "import scorevid.companion"
CHECKS = "parameters.check_parameters(globals(), n=(int, 1, 9))\nfigures.use_style()"
DRAWS = """_ = plt.figure().add_subplot(title="one")
print(plt.rcParams["text.usetex"], plt.rcParams["font.size"])
print(sum([1, 2], 3))"""


@pytest.fixture
def user(tmp_path, monkeypatch):
    """A user's home with a profile of IPython, a style of matplotlib's, and another backend."""
    profile = tmp_path / "home" / "ipython" / "profile_default"
    (profile / "startup").mkdir(parents=True)
    (profile / "startup" / "mine.py").write_text(
        "from math import pi, tau as n_frames\nfrom numpy import sum\nme = 'x'\n"
    )
    (profile / "ipython_kernel_config.py").write_text(
        "c.InlineBackend.figure_formats = {'svg'}\nc.InlineBackend.close_figures = False\n"
    )
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nfont.size: 33\n")
    (tmp_path / "python.py").write_text("mine = 1\n")
    monkeypatch.setenv("IPYTHONDIR", str(profile.parent))
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "python.py"))


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, IMPORTS, CHECKS, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


@pytest.mark.usefixtures("user")
def test_plain_papermill_shows_the_same_and_stops_at_a_figure_unseen(tmp_path):
    """Catches a chapter that trusts MPLBACKEND, a matplotlibrc, or that nobody but it has named anything."""
    sources = DRAWS, "plt.switch_backend('agg')", "_ = plt.figure()", "print('later')"
    with pytest.raises(PapermillExecutionError, match="drawn and not shown: the backend is agg"):
        papermill.execute_notebook(notebook(*sources), tmp_path / "out.ipynb", {"n": 2}, progress_bar=False)
    cells = [cell for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells if cell.cell_type == "code"]
    printed, drawn = cells[-4].outputs
    assert printed.text == "False 9.0\n6\n"  # numpy's sum would take the 3 for an axis
    assert set(drawn.data) == {"image/png", "text/plain"}
    assert cells[-1].outputs == []


def test_plain_papermill_shows_nothing_of_a_home_that_cannot_be_written(tmp_path, monkeypatch):
    """Catches what matplotlib says on standard error of its folder, and of fonts listed anew, which is not the chapter's."""
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = notebook("import os\nprint('matplotlib-' in os.environ['MPLCONFIGDIR'])", DRAWS)
    made.cells[1].source = f"{FIRST}\n{IMPORTS}"
    nbformat.write(made, tmp_path / "made.ipynb")
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "made.ipynb", "out.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    imported, _, printed, drawn = [cell.outputs for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells[-4:]]
    assert imported == [] and printed[0].text == "True\n"  # it has a folder that it would have warned of
    assert [output.output_type for output in drawn] == ["stream", "display_data"] and drawn[0].name == "stdout"


def test_every_chapter_imports_the_companion_before_matplotlib():
    for path in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("supplement/*.ipynb")]):
        code = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        companion, drawing = code.find("scorevid.companion"), code.find("import matplotlib")
        assert drawing < 0 or 0 <= companion < drawing, f"{path} begins with matplotlib: {FIRST} comes before it"


@pytest.mark.usefixtures("user")
def test_a_parameter_of_a_name_that_the_user_has_is_still_unknown(tmp_path):
    with pytest.raises(PapermillExecutionError, match="unknown parameter me"):
        papermill.execute_notebook(notebook(), tmp_path / "out.ipynb", {"me": "y"}, progress_bar=False)


@pytest.mark.usefixtures("user")
def test_the_runner_leaves_all_of_it_out_and_misses_a_figure_without_image(tmp_path):
    """Catches a kernel that the user's profile, warnings or home reach, and a figure that nobody would miss."""
    seen = "import os, sys\nprint('me' in dir(), 'mine' in dir(), os.environ['MPLBACKEND'][-6:], sys.flags.utf8_mode)"
    made = notebook(DRAWS, seen, "pass")
    for cell, name in ((made.cells[3], "fig-one"), (made.cells[5], "fig-two")):
        cell.metadata["mystnb"] = {"figure": {"name": name}}
    (home := tmp_path / "k").mkdir()
    with pytest.raises(ValueError, match="no image came of what draws fig-two"):
        run_notebook(made, tmp_path, environment(home))
    printed, drawn = made.cells[3].outputs
    assert printed.text == "False 9.0\n6\n" and "image/png" in drawn.data
    assert made.cells[4].outputs[0].text == "False False inline 1\n"


@pytest.mark.parametrize(
    ("data", "missing"),
    [
        ({"image/png": "AAAA"}, []),
        ({"text/html": '<div><img src="data:image/gif;base64,AAAA"></div>'}, []),
        ({"text/html": "<p>no picture</p>"}, ["fig-one"]),
        ({"text/plain": "<img>"}, ["fig-one"]),
    ],
)
def test_an_animation_is_a_figure_and_other_pages_are_none(data, missing):
    cell = nbformat.v4.new_code_cell("1", metadata={"mystnb": {"figure": {"name": "fig-one"}}})
    cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
    assert missing_figures([cell]) == missing


def test_the_longest_chapters_begin_first(tmp_path):
    made, path = notebook(), tmp_path / "one.ipynb"
    nbformat.write(made, path)
    assert stored_seconds(path) > 1e9  # nobody knows
    for cell, stamp in zip(made.cells[:2], ("2026-01-01T00:00:10.5Z", "2026-01-01T00:01:00Z"), strict=True):
        cell.metadata["execution"] = {"iopub.execute_input": stamp}
    nbformat.write(made, path)
    assert stored_seconds(path) == 49.5
