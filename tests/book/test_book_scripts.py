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


def test_chapters_are_run_in_place_without_a_word_on_how(tmp_path, chapters):
    (path,) = chapters(one=["print(3)"])
    command = [sys.executable, SCRIPTS / "run_chapters.py", path, "--out", tmp_path]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)
    notebook = nbformat.read(path, 4)
    assert notebook.cells[0].outputs[0].text == "3\n" and "scorevid" not in notebook.metadata


@pytest.mark.parametrize("options", [["--at-once", "0"], ["--timeout", "0"]])
def test_what_cannot_be_run_is_refused(tmp_path, chapters, options):
    done = run_chapters(tmp_path, chapters(one=["1"]), *options)
    assert done.returncode != 0 and "must be at least 1" in done.stderr


def test_a_notebook_that_is_missing_is_refused(tmp_path):
    done = run_chapters(tmp_path, [tmp_path / "no.ipynb"])
    assert done.returncode != 0 and "must be files of different names" in done.stderr


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
