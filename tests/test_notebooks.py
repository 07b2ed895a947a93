"""The chapters as papermill's users meet them, and as the book needs them."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from scorevid.claims import Record

ROOT = Path(__file__).parent.parent
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ids = [p.stem for p in CHAPTERS]


@pytest.fixture(params=CHAPTERS, ids=ids)
def notebook(request):
    return nbformat.read(request.param, 4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(notebook, tag):
    return [cell for cell in code(notebook) if tag in cell.metadata.get("tags", [])]


def test_it_opens_with_its_question_what_it_settles_and_how_to_run_it_again(notebook):
    first = notebook.cells[0].source
    assert first.splitlines()[0].startswith("# ")
    assert first.splitlines()[0].endswith("?")
    for due in ("Claims settled here", "Run time", "papermill notebooks/"):
        assert due in first


def test_its_first_cell_holds_typed_and_explained_parameters_and_nothing_else(notebook):
    (parameters,) = tagged(notebook, "parameters")
    assert parameters is code(notebook)[0]
    for line in parameters.source.splitlines():
        name, _, rest = line.partition(": ")
        assert name.isidentifier(), line
        assert " = " in rest, line
        assert "  # " in rest, line
    checks = code(notebook)[2].source
    assert checks.startswith("check_parameters(")
    assert all(re.search(rf"\b{line.partition(':')[0]}=\(", checks) for line in parameters.source.splitlines())


def test_its_cells_are_short(notebook):
    long = [c.source.splitlines()[0] for c in code(notebook) if len(c.source.splitlines()) > 15]
    assert not long


def test_its_code_fits_the_page(notebook):
    assert not [line for c in code(notebook) for line in c.source.splitlines() if len(line) > 108]


def test_nbval_compares_verdicts_and_not_what_was_measured():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "notebooks" / "nbval.cfg")
    pattern, replacement = settings["measured"]["regex"], settings["measured"]["replace"]
    shown = [
        repr(Record("some.claim", value, 0.5 * value, 2 * value, 40, "<= 0.1", verdict))
        for value, verdict in ((0.05, "holds"), (0.06, "holds"), (0.3, "fails"))
    ]
    first, second, third = (re.sub(pattern, replacement, text) for text in shown)
    assert first == second == "holds: some.claim <= 0.1 (measured)" != third


def test_it_was_run_from_top_to_bottom_without_complaint(notebook):
    counts = [c.execution_count for c in code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run `make notebooks`"
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output


def test_every_figure_has_a_caption_and_alternative_text(notebook):
    for cell in code(notebook):
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            mystnb = cell.metadata["mystnb"]
            assert len(mystnb["image"]["alt"]) > 20
            assert len(mystnb["figure"]["caption"]) > 40
            assert mystnb["figure"]["name"].startswith("fig-")


def test_the_kernel_is_python3(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def papermill(tmp_path, chapter, *parameters):
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / f"{chapter}.ipynb"), "out.ipynb"]
    return subprocess.run([*command, *parameters], cwd=tmp_path, capture_output=True, text=True)


def test_papermill_runs_a_chapter_from_any_directory(tmp_path):
    done = papermill(tmp_path, "04_linear_weights", "-p", "n_scenes", "30")
    assert done.returncode == 0, done.stderr[-3000:]
    assert any("holds: linear" in str(c.outputs) for c in code(nbformat.read(tmp_path / "out.ipynb", 4)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_scenez", "8", "unknown parameter n_scenez, did you mean n_scenes"),
        ("n_scenes", "-1", "n_scenes must lie in [40, 1000000], got -1"),
    ],
)
def test_papermill_says_what_is_wrong_with_a_parameter(tmp_path, name, value, message):
    done = papermill(tmp_path, "03_occlusion_sampling", "-p", name, value)
    assert done.returncode != 0
    assert message in done.stderr
