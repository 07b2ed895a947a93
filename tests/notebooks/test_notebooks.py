"""The chapters as papermill's users meet them, and as the book needs them."""

import ast
import builtins
import configparser
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml

from scorevid.companion.records import Record

ROOT = Path(__file__).parents[2]
CHAPTERS = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "notebooks" / "supplement").glob("*.ipynb"))]
ids = [p.stem for p in CHAPTERS]
CASE = (
    "network",
    "solver",
    "constant",
    "value",
    "sampler",
    "scored",
    "draw",
    "kind",
    "memory",
    "case",
    "method",
    "world",
)  # what tells results of a sweep apart


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
    opening = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown").partition("\n## ")[0]
    for what in ("Claims settled here", "Run time", "papermill notebooks/"):
        assert what in opening


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


def test_no_two_figures_of_the_book_have_one_name():
    """References and the gallery of the front page would lead to either."""
    cells = [cell for path in CHAPTERS for cell in code(nbformat.read(path, 4))]
    names = [name for c in cells if (name := c.metadata.get("mystnb", {}).get("figure", {}).get("name"))]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def sections(notebook):
    """Second-level headings, in order."""
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return [heading for source in prose for heading in re.findall(r"^## (.+)$", source, re.MULTILINE)]


def test_a_picture_comes_before_its_first_argument(notebook):
    drawn = [k for k, cell in enumerate(notebook.cells) if "figure" in cell.metadata.get("mystnb", {})]
    assert drawn[0] < 8  # title, parameters, imports, checks, a few words and what has to be loaded first
    before = [cell.source for cell in notebook.cells[: drawn[0]] if cell.cell_type == "markdown"]
    assert sum(source.count("\n## ") + source.startswith("## ") for source in before) <= 1


def test_it_ends_with_what_would_make_it_fail_and_then_exercises(notebook):
    assert sections(notebook)[-2:] == ["What would make this fail", "Exercises"]
    assert notebook.cells[-1].source.startswith("## Exercises\n")


def exercises(notebook):
    """(number, what is between the opening and the closing fence) of each."""
    return re.findall(
        r"^::::\{admonition\} Exercise (\d+)\n:class: tip\n(.*?)^::::$",
        notebook.cells[-1].source,
        re.DOTALL | re.MULTILINE,
    )


def test_its_exercises_have_answers_to_click_open(notebook):
    found = exercises(notebook)
    assert len(found) >= 3
    assert [int(number) for number, _ in found] == list(range(1, len(found) + 1))
    for _, body in found:
        question, answer = re.fullmatch(r"(.+?)\n\n:::\{dropdown\} Answer\n(.+)\n:::\n", body, re.DOTALL).groups()
        assert len(question) > 40
        assert len(answer) > 80


def test_the_code_of_its_exercises_can_be_read_and_uses_what_the_chapter_has(notebook):
    """Every name in it is built in, made by a cell of the chapter, or made by the exercise itself."""
    stores = {"globals", *names("\n".join(cell.source for cell in code(notebook)))[1]}
    for _, body in exercises(notebook):
        for snippet in re.findall(r"^```python\n(.*?)^```$", body, re.DOTALL | re.MULTILINE):
            loads, own = names(snippet)
            assert loads <= stores | own | set(dir(builtins)), snippet


def names(source):
    """Names that Python code looks up, and names that it gives to something."""
    tree = list(ast.walk(ast.parse(source)))
    loads = {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    stores = {n.id for n in tree if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    stores |= {n.name for n in tree if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    stores |= {n.arg for n in tree if isinstance(n, ast.arg)}
    imported = [a for n in tree if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names]
    return loads, stores | {(a.asname or a.name).partition(".")[0] for a in imported}


def test_its_formulas_have_single_backslashes(notebook):
    """JSON doubles them on the way to the disk; doubled once more, they are line breaks."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.findall(r"\\\\[A-Za-z].*", prose)


def test_exercises_name_claims_and_parameters_that_there_are(notebook):
    known = {claim["id"] for claim in yaml.safe_load((ROOT / "book" / "claims.yml").read_text(encoding="utf-8"))}
    parameters = names(tagged(notebook, "parameters")[0].source)[1]
    told = notebook.cells[-1].source
    assert set(re.findall(r"`((?:training|score|sampling|linear|natural)\.[\w.-]+)`", told)) <= known
    assert set(re.findall(r" -p (\w+) ", told)) <= parameters


def test_the_kernel_is_python3(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def papermill(tmp_path, chapter, *parameters):
    command = [sys.executable, "-m", "papermill", str(ROOT / "notebooks" / f"{chapter}.ipynb"), "out.ipynb"]
    return subprocess.run([*command, *parameters], cwd=tmp_path, capture_output=True, text=True)


def test_papermill_runs_a_chapter_from_any_directory(tmp_path):
    done = papermill(tmp_path, "05_natural_prediction", "-p", "n_patches", "9", "-p", "n_ahead", "2")
    assert done.returncode == 0, done.stderr[-3000:]
    assert any("holds: natural" in str(c.outputs) for c in code(nbformat.read(tmp_path / "out.ipynb", 4)))


def test_papermill_stops_at_a_parameter_that_the_chapter_does_not_have(tmp_path):
    """Of which papermill itself only warns. What else may be wrong with parameters is for tests of the check."""
    done = papermill(tmp_path, "03_occlusion_sampling", "-p", "n_scenez", "8")
    assert done.returncode != 0
    assert "unknown parameter n_scenez, did you mean n_scenes" in done.stderr


STORED = [
    "training",
    "solvers",
    "constants",
    "slope",
    "pairs",
    "seeds",
    "failures",
    "density",
    "many",
    "memory",
    "motion",
    "representations",
    "natural",
    "natural_shots",
    "natural_weights",
    "surprises",
    "representations_natural",
]


@pytest.mark.parametrize("name", STORED)
def test_a_sweep_shows_the_run_whose_results_are_stored(name):
    notebook = nbformat.read(ROOT / "notebooks" / "sweeps" / f"{name}.ipynb", 4)
    assert [c.execution_count for c in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    assert outputs and all(o.output_type != "error" and o.get("name") != "stderr" for o in outputs)
    if name in ("training", "solvers", "constants", "slope", "seeds", "many"):  # which print slopes
        stored = json.loads((ROOT / "scorevid" / "studies" / "results" / f"{name}.json").read_text())["results"]
        told = re.findall(r"slope (\S+),", "".join(o.get("text", "") for o in outputs))
        assert told == [f"{r['slope'][0]:.2f}" for r in stored if r.get("slope")]


def test_the_outputs_of_a_sweep_are_kept_unless_it_was_a_trial(tmp_path):
    spec = importlib.util.spec_from_file_location("keep_sweeps", ROOT / "scripts" / "keep_sweeps.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    made, kept = (nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]) for _ in range(2))
    made.cells[0].update(execution_count=1, outputs=[nbformat.v4.new_output("stream", text="2")])
    ran, notebook = tmp_path / "ran.ipynb", tmp_path / "kept.ipynb"
    nbformat.write(kept, notebook)
    for tags, done in ((["injected-parameters"], False), ([], True)):
        made.cells[0].metadata["tags"] = tags
        nbformat.write(made, ran)
        assert script.keep(ran, notebook) == done
        assert bool(nbformat.read(notebook, 4).cells[0].outputs) == done
    made.cells[0].source = "1 + 2"
    nbformat.write(made, ran)
    with pytest.raises(ValueError, match="was not made from"):
        script.keep(ran, notebook)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("training", {"n_scenes": 12}),
        ("solvers", {"n_scenes": 2, "n_published": 2, "n_oracle": 1, "n_recommended": 1}),
        ("constants", {"n_scenes": 2, "n_oracle": 1}),
        ("slope", {"n_scenes": 40, "n_more": 40}),
        ("pairs", {"n_scenes": 10}),
        ("failures", {"n_scenes": 10, "n_samples": 2}),
        ("seeds", {"n_scenes": 12, "n_samples": 2}),
        ("density", {"n_scenes": 6, "n_plain": 2, "n_paths": 2}),
        ("many", {"n_scenes": 12, "n_samples": 4, "n_large": 2, "n_inferred": 12}),
        ("motion", {"n_scenes": 5, "n_samples": 2, "n_decided": 2, "n_films": 2, "frames": 2}),
        ("memory", {"n_scenes": 6, "n_samples": 1, "order_samples": 8, "frames": 13}),
    ],
)
def test_a_small_sweep_stores_the_same_cases_as_the_large_one(tmp_path, name, parameters):
    if name == "training" and not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a git checkout, whose history has the weights as they were")
    given = [word for item in (parameters | {"folder": tmp_path}).items() for word in ("-p", *map(str, item))]
    done = papermill(tmp_path, f"sweeps/{name}", *given)
    assert done.returncode == 0, done.stderr[-3000:]
    small = json.loads((tmp_path / f"{name}.json").read_text())
    large = json.loads((ROOT / "scorevid" / "studies" / "results" / f"{name}.json").read_text())
    assert {**large["parameters"], **parameters} == small["parameters"]

    def case(result):
        return {key: result[key] for key in CASE if key in result}

    def settings(result):
        """Flat, and by the names of results that were stored before samplers were dataclasses."""
        given = dict(result.get("settings", {}))
        given |= given.pop("ladder", {})
        if "sampler" in given:
            given["method"] = given.pop("sampler").lower()
            given["sigma"] = {"ladder": "schedule"}.get(given["level_from"], given["level_from"])
        return given

    if name == "training":  # its cases are the commits of the clone that there is
        assert small["results"][-1]["sha256"] == large["results"][-1]["sha256"]
    else:
        assert [*map(case, small["results"])] == [*map(case, large["results"])]
        for now, stored in zip(map(settings, small["results"]), map(settings, large["results"]), strict=True):
            shared = now.keys() & stored.keys()
            assert {key: now[key] for key in shared} == {key: stored[key] for key in shared}
    assert set(small["results"][-1]) == set(large["results"][-1])
