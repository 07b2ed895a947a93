"""The scripts around the book: chapters run side by side, and the book on paper, put together from little pages."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
MISSING = "print_book needs beautifulsoup4 and playwright"


@pytest.fixture
def chapters(tmp_path):
    """Write chapters, each of cells given as text; gives their paths."""

    def write(**sources):
        paths = []
        for name, cells in sources.items():
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
            notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
            nbformat.write(notebook, path := tmp_path / f"{name}.ipynb")
            paths.append(path)
        return paths

    return write


def run_chapters(tmp_path, paths, *options):
    command = [sys.executable, SCRIPTS / "run_chapters.py", *paths, "--out", tmp_path / "out", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)


def test_chapters_run_at_once_each_in_an_empty_folder_of_its_own(tmp_path, chapters):
    """Each waits for the other to begin, which one after the other could not."""
    meet = (
        "import pathlib, time\nhere, there = map(pathlib.Path, ({0!r}, {1!r}))\nhere.touch()\nend = time.time() + 60\n"
    )
    meet += "while not there.exists() and time.time() < end: time.sleep(0.05)\nprint('met', there.exists())"
    a, b = (str(tmp_path / name) for name in "ab")
    rest = ["import os; print(os.listdir(), os.environ['OMP_NUM_THREADS'])"]
    paths = chapters(one=[meet.format(a, b), *rest], two=[meet.format(b, a), *rest])
    before = [path.read_bytes() for path in paths]
    done = run_chapters(tmp_path, paths, "--at-once", "2")
    assert done.returncode == 0, done.stderr
    assert [path.read_bytes() for path in paths] == before
    for path in paths:
        executed = nbformat.read(tmp_path / "out" / path.name, 4)
        nbformat.validate(executed)
        assert [cell.outputs[0].text for cell in executed.cells] == ["met True\n", "[] 1\n"]
        how = executed.metadata["scorevid"]
        assert how["seconds"] > 0 and how["threads"] == "1" and how["at_once"] == 2
        assert f"{path} ran in" in done.stdout


def test_a_chapter_that_fails_shows_its_traceback_and_keeps_others_from_beginning(tmp_path, chapters):
    paths = chapters(one=["x = 1", "x / 0"], two=["1"])
    done = run_chapters(tmp_path, paths, "--at-once", "1")
    assert done.returncode == 1
    assert f"{paths[0]} failed" in done.stderr and "ZeroDivisionError" in done.stderr and "x / 0" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_cell_that_takes_too_long_fails(tmp_path, chapters):
    done = run_chapters(tmp_path, chapters(one=["import time; time.sleep(300)"]), "--timeout", "1")
    assert done.returncode == 1 and "Timeout" in done.stderr


def test_the_longest_chapters_begin_first(chapters, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    module = importlib.import_module("run_chapters")
    (path,) = chapters(one=["1", "2"])
    assert module.stored_seconds(path) > 1e9  # nobody knows
    notebook = nbformat.read(path, 4)
    for cell, stamp in zip(notebook.cells, ("2026-01-01T00:00:10.5Z", "2026-01-01T00:01:00Z"), strict=True):
        cell.metadata["execution"] = {"iopub.execute_input": stamp}
    nbformat.write(notebook, path)
    assert module.stored_seconds(path) == 49.5


@pytest.mark.parametrize("options", [["--at-once", "0"], ["--timeout", "0"]])
def test_what_cannot_be_run_is_refused(tmp_path, chapters, options):
    done = run_chapters(tmp_path, chapters(one=["1"]), *options)
    assert done.returncode != 0 and "at least one chapter at once" in done.stderr


def test_a_notebook_that_is_missing_is_refused(tmp_path):
    done = run_chapters(tmp_path, [tmp_path / "no.ipynb"])
    assert done.returncode != 0 and "are no files" in done.stderr


# ---- kept by nbval -------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path, chapters):
    """Run nbval on chapters, keeping what it has run; gives its exit status and the executed copies by name."""

    def run(*options, **sources):
        paths = chapters(**sources)
        for path in paths:
            notebook = nbformat.read(path, 4)
            for cell in notebook.cells:  # as if they had been run, and had printed 1
                cell.execution_count, cell.metadata["execution"] = 9, {"iopub.execute_input": "2026-01-01T00:00:00Z"}
                cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text="1\n")]
            nbformat.write(notebook, path)
        command = [sys.executable, "-m", "pytest", "-p", "keep_executed", "-p", "no:cacheprovider", "--nbval", *paths]
        done = subprocess.run(
            list(map(str, [*command, "--keep-executed", "out", *options])),
            capture_output=True, text=True, cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS), "JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        out = tmp_path / "out"
        return done, {path.stem: nbformat.read(path, 4) for path in out.glob("*")} if out.is_dir() else {}

    return run


def test_what_nbval_has_run_is_kept_as_the_book_would_run_it(kept):
    done, copies = kept("-n", "2", "--dist", "loadfile", one=["print(1)", "print(2 // 2)"], two=["print(1)"])
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout + done.stderr
    assert set(copies) == {"one", "two"}
    for copy in copies.values():
        nbformat.validate(copy)
        how = copy.metadata["scorevid"]
        assert how["seconds"] > 0 and how["threads"] == "1" and how["at_once"] == 2
        assert [cell.outputs[0].text for cell in copy.cells] == ["1\n"] * len(copy.cells)
        assert [cell.execution_count for cell in copy.cells] == [*range(1, len(copy.cells) + 1)]
        assert not any("execution" in cell.metadata for cell in copy.cells)


def test_other_outputs_than_the_stored_are_kept_and_told_but_nothing_that_an_error_stopped(kept):
    other = "from IPython.display import HTML, display\ndisplay(HTML('<b>2</b>'))\nprint(2)\n3"
    done, copies = kept(one=["print(1)", "x / 0", "print(1)"], two=[other])
    assert done.returncode == 1 and "2 failed, 2 passed" in done.stdout, done.stdout
    assert set(copies) == {"two"}
    html, printed, result = copies["two"].cells[0].outputs
    assert html.data["text/html"] == "<b>2</b>" and printed.text == "2\n" and result.data["text/plain"] == "3"


# ---- on paper ------------------------------------------------------------------------------------------------------


@pytest.fixture
def printer(monkeypatch):
    pytest.importorskip("bs4", reason=MISSING)
    pytest.importorskip("playwright.sync_api", reason=MISSING)
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("print_book")


def test_all_pages_of_the_contents_in_their_order(printer):
    toc = {
        "root": "index",
        "parts": [{"chapters": [{"file": "a", "sections": [{"file": "a/1"}]}]}, {"chapters": [{"file": "b"}]}],
    }
    assert printer.toc_pages(toc) == ["index", "a", "a/1", "b"]


def test_pages_in_one_document_keep_their_links_pictures_and_folds(printer, tmp_path):
    from bs4 import BeautifulSoup

    head = '<head><title>{} — Book</title><link rel="stylesheet" href="{}_static/a.css">{}</head>'
    scripts = '<script src="../_static/mathjax/m.js"></script><script>window.MathJax = {}</script>'
    (tmp_path / "sub").mkdir()
    (tmp_path / "index.html").write_text(
        head.format("One", "", "") + '<article class="bd-article"><h1 id="x">One</h1><a href="sub/two.html#x">there</a>'
        '<a href="sub/two.html">two</a><a href="other.html">gone</a><a href="https://example.org">out</a></article>'
    )
    (tmp_path / "sub" / "two.html").write_text(
        head.format("Two", "../", scripts)
        + '<article class="bd-article"><h1 id="x">Two<a class="headerlink" href="#x">#</a></h1><a href="#x">here</a>'
        '<img src="../_images/i.png"><details><summary>s</summary>hidden</details></article>'
    )
    book = BeautifulSoup(printer.bind(tmp_path, ["index", "sub/two"]), "html.parser")
    ids = {part["id"] for part in book.select("[id]")}
    links = {link.get_text(): link["href"] for link in book.select("a")}
    assert links == {"there": "#sub-two--x", "two": "#sub-two", "out": "https://example.org", "here": "#sub-two--x"}
    assert {href.removeprefix("#") for href in links.values() if href.startswith("#")} <= ids
    assert "gone" in book.get_text()
    assert book.select_one("img")["src"] == "_images/i.png"
    assert book.select_one("link")["href"] == "_static/a.css"
    assert [script.get("src") for script in book.select("script")] == ["_static/mathjax/m.js", None]
    assert book.select_one("details").has_attr("open")
    assert book.title.get_text() == "Book"


def test_a_page_that_was_not_built_is_named(printer, tmp_path):
    with pytest.raises(ValueError, match="has no page nowhere"):
        printer.main(html=tmp_path, out=tmp_path / "x.pdf", pages=["nowhere"])
