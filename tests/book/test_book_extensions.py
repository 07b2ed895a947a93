"""What the build adds to chapters: executed copies, provenance, the way from figures to code; in a book of one chapter."""

import base64
import io
import json
import re
import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml

from scorevid.denoisers.weights import load_card

pytest.importorskip("myst_nb")
from scorevid_book import figures, launch, provenance, rooms, take_home

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")

PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a4944415478da63f80f0001010100"
        "1bb6ee560000000049454e44ae426082"
    )
).decode()
SHA256 = load_card("leaves-32")["sha256"]
RECORD = {
    "id": "a",
    "value": 0.5,
    "low": 0.4,
    "high": 0.6,
    "n": 9,
    "bound": "<= 1",
    "verdict": "holds",
    "context": {"seed": 3, "weights": SHA256, "other": ["f" * 64]},
    "versions": {"torch": "9.9", "python": "3.99"},
}
HOW = {"seconds": 61.5, "ended": "2026-01-02T03:04:05+00:00", "processors": 7, "threads": "1", "at_once": 5}
INDEX = """# Book

```{nb-exec-table}
```

```{py:module} scorevid.companion.frames
```

```{py:function} grid(frames)
```

```{toctree}
notebooks/one
```
"""


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for variable in ("SCOREVID_CHAPTERS", "SCOREVID_CLAIMS", "SCOREVID_REPOSITORY", "SCOREVID_BRANCH"):
        monkeypatch.delenv(variable, raising=False)


def chapter(stdout):
    """A chapter of three cells, one that draws, with outputs."""
    v4 = nbformat.v4
    drawing = v4.new_code_cell("figures.grid(x)\nshow(x)", metadata={"tags": ["hide-input"]}, execution_count=3)
    drawing.metadata["mystnb"] = {
        "image": {"alt": "A pixel."},
        "figure": {"caption": "One pixel.", "name": "fig-pixel"},
    }
    drawing.outputs = [v4.new_output("display_data", {"image/png": PIXEL, "text/plain": "<Figure>"})]
    told = v4.new_code_cell("from scorevid.companion import figures", execution_count=2)
    told.outputs = [v4.new_output("stream", name="stdout", text=stdout)]
    parameters = v4.new_code_cell(
        'n: int = 4  # how many\nname: str = "a b"  # of it\nlevels: list = [1, 2.5]  # of noise',
        metadata={"tags": ["parameters"]},
        execution_count=1,
    )
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# One?"), parameters, told, drawing])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return notebook


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Build the book; gives the chapter's page, the front page and what is offered for download."""
    from bs4 import BeautifulSoup
    from docutils.parsers.rst import roles
    from sphinx.testing.util import SphinxTestApp

    def build(executed=None, records=(RECORD,), given=None):
        source, chapters, claims = (tmp_path / name for name in ("source", "chapters", "claims"))
        for folder in (source / "notebooks", chapters, claims):
            folder.mkdir(parents=True, exist_ok=True)
        settings = "nb_execution_mode = 'off'\nhtml_sourcelink_suffix = ''\n"
        settings += "scorevid_claims_file = 'claims.yml'\nscorevid_statements_file = 'paper.yml'\n"
        (source / "conf.py").write_text(f"extensions = ['myst_nb', 'scorevid_book']\n{settings}")
        (source / "paper.yml").write_text("[]")
        (source / "index.md").write_text(INDEX)
        ledger = [{"id": "a", "claim": "It.", "measured": "It.", "bound": "<= 1", "chapter": "one"}]
        (source / "claims.yml").write_text(yaml.safe_dump(ledger))
        nbformat.write(given or chapter("stored"), source / "notebooks" / "one.ipynb")
        if executed is not None:
            nbformat.write(executed, chapters / "one.ipynb")
            monkeypatch.setenv("SCOREVID_CHAPTERS", str(chapters))
        for record in records:
            (claims / f"{record['id']}.json").write_text(json.dumps(record))
        monkeypatch.setenv("SCOREVID_CLAIMS", str(claims))
        known = dict(roles._roles)
        warning = io.StringIO()
        app = SphinxTestApp("html", srcdir=source, builddir=tmp_path / "build", warning=warning, freshenv=True)
        try:
            app.build()
            out = Path(app.outdir)
        finally:
            app.cleanup()
            roles._roles.clear()
            roles._roles.update(known)
        page, front = (
            BeautifulSoup((out / f"{n}.html").read_text(), "html.parser") for n in ("notebooks/one", "index")
        )
        taken = nbformat.read(out / "_sources" / "notebooks" / "one.ipynb", 4)
        return SimpleNamespace(page=page, front=front, taken=taken, warnings=warning.getvalue(), out=out)

    return build


def ran(stdout="measured now"):
    notebook = chapter(stdout)
    notebook.metadata["scorevid"] = HOW
    return notebook


def strip(page):
    return {
        term.get_text().rstrip(":"): " ".join(term.find_next_sibling("dd").get_text().split())
        for term in page.select(".provenance dt")
    }


def test_pages_and_downloads_show_what_was_executed_beforehand(build):
    made = build(ran())
    assert "measured now" in made.page.get_text() and "stored" not in made.page.select_one(".body").get_text()
    assert made.taken.cells[3].outputs[0].text == "measured now"
    nbformat.validate(made.taken)
    link = made.page.select_one("a.executed-notebook")["href"]
    assert (made.out / "notebooks" / link).resolve() == made.out / "_sources" / "notebooks" / "one.ipynb"
    table = " ".join(made.front.select_one("table").get_text().split())
    assert re.search(r"Chapter Run at Seconds Status notebooks/one 2026-01-02 [\d:]+ 61.5 completed", table)
    assert made.warnings == ""


def test_a_copy_that_is_missing_or_of_other_code_stops_the_build(build, tmp_path, monkeypatch):
    from sphinx.errors import ExtensionError

    other = ran()
    other.cells[3].source += "  # changed"
    with pytest.raises(ExtensionError, match="other code than notebooks/one"):
        build(other)
    (tmp_path / "chapters" / "one.ipynb").unlink()
    with pytest.raises(ExtensionError, match=r"executed copy of notebooks/one, is missing"):
        build()


def test_code_is_folded_and_goes_to_the_next_result(build):
    """Catches code that is lost, or left in the open, on the way to the page."""
    made = ran()
    made.cells.insert(2, nbformat.v4.new_code_cell("x = 1 + 1", execution_count=9))
    page = build(made, given=made).page
    assert len(page.select("details.above-input")) == len(page.select("div.cell")) == 3
    folds = [fold.get_text() for fold in page.select("details.above-input")]
    assert "x = 1 + 1" in folds[1] and "import figures" in folds[1] and folds[1].index("x =") < folds[1].index("import")
    assert page.select_one(".all-code button")


def test_a_downloaded_notebook_installs_the_package_and_has_no_roles(monkeypatch):
    """Catches roles and directives that Jupyter would show as text."""
    prose = "{numref}`Figure {number} <fig-a>` shows it. See {doc}`theory <../book/theory>` and "
    prose += "{claim}`a` {cite:p}`fiquet2024video`.\n\n::::{admonition} Exercise 1\n"
    prose += ":class: tip\nWhy?\n\n:::{dropdown} Answer\nSo.\n:::\n::::\n"
    monkeypatch.setattr(take_home, "read_records", lambda: {"a": RECORD})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(prose)])
    install, cell = take_home.portable(notebook, Path(__file__).parents[2]).cells
    assert cell.source.startswith(
        "Figure *fig-a* shows it. See *theory* and 0.50 [0.40, 0.60] (Fiquet and Simoncelli, 2024)."
    )
    assert "### Exercise 1\n\nWhy?" in cell.source and "<summary>Answer</summary>\n\nSo.\n" in cell.source
    assert ":::" not in cell.source
    assert 'find_spec("scorevid") is None' in install.source and take_home.ARCHIVE in install.source
    monkeypatch.setenv("SCOREVID_REPOSITORY", "https://github.com/who/what")
    assert "git+https://github.com/who/what" in take_home.portable(notebook, ".").cells[0].source


def test_the_strip_tells_what_a_chapter_was_made_from(build):
    told = strip(build(ran()).page)
    assert told["Commit"] == "unknown"  # a temporary folder is no repository
    assert told["Weights"] == f"leaves-32 {SHA256}, others {'f' * 64}"
    assert told["Seed"] == "3"
    run = "62 s on 1 thread, 7 processors, 1 chapter at once"
    assert told["Run"] == f"{run}; ended 2026-01-02 03:04:05+00:00; 1 claim decided"
    assert told["Versions"] == "torch 9.9, python 3.99"


def test_the_strip_says_what_it_does_not_know_without_a_warning(build):
    made = build(records=())
    told = strip(made.page)
    assert all("no records in this build" in told[name] for name in ("Weights", "Seed", "Versions"))
    assert "not run in this build" in told["Run"]
    assert made.warnings == ""


def test_a_figure_leads_to_its_code_what_it_calls_and_its_command(build):
    made = build(ran())
    (way,) = made.page.select(".figure-code")
    assert way.find_previous_sibling("figure") or way.parent.find("figure")
    code, function = way.select("p a")
    cell = made.page.find(id=code["href"].removeprefix("#"))
    assert "figures.grid(x)" in cell.get_text() and "import" not in cell.get_text()
    assert function.get_text() == "figures.grid" and function["href"].endswith(
        "index.html#scorevid.companion.frames.grid"
    )
    assert made.front.find(id="scorevid.companion.frames.grid")
    command = shlex.split(way.select_one("details pre").get_text().replace("\\\n", " "))
    assert command[:3] == [".venv/bin/papermill", "notebooks/one.ipynb", "out.ipynb"]
    assert command[3:] == ["-p", "n", "4", "-p", "name", "a b", "-y", "levels: [1, 2.5]"]


def test_what_a_cell_calls_is_read_off_its_source():
    names = figures.imported(
        "import numpy as np\nimport scorevid.training.records as records\nfrom scorevid.companion import claims\n"
        "from scorevid import load_denoiser as load\n"
        "from scorevid.worlds.leaves.world import Leaves\nimport scorevid.noise.prior"
    )
    assert names == {
        "records": "scorevid.training.records",
        "claims": "scorevid.companion.claims",
        "load": "scorevid.load_denoiser",
        "Leaves": "scorevid.worlds.leaves.world.Leaves",
        "scorevid": "scorevid",
    }
    code = "f = load(name)\nnp.sum(claims.check(f(Leaves().draw(2))))\n"
    code += "claims.FOLDER_VARIABLE\nscorevid.noise.prior.NoisePrior()"
    assert figures.called(code, names) == {
        "load": "scorevid.denoisers.weights.load_denoiser",
        "Leaves": "scorevid.worlds.leaves.world.Leaves",
        "claims.check": "scorevid.companion.claims.check",
        "scorevid.noise.prior.NoisePrior": "scorevid.noise.prior.NoisePrior",
    }
    assert figures.called("%pip install x", names) == {} == figures.imported("!ls")
    assert figures.defined("scorevid.no_such_thing") is None


def test_a_commit_is_told_apart_from_changes_on_it(tmp_path):
    def git(*command):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", *who, *command], cwd=tmp_path, check=True, capture_output=True)

    def now(folder=tmp_path):
        provenance.commit.cache_clear()
        return provenance.commit(folder)

    git("init")
    assert now() == "unknown"  # nothing is committed
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-m", "m")
    assert re.fullmatch("[0-9a-f]{10}", clean := now())
    (tmp_path / "a").write_text("b")
    assert now() == f"{clean} + changes"
    assert now(tmp_path / "sub") == "unknown"  # a copy within another repository


def test_launch_buttons_appear_with_a_repository_and_not_before(monkeypatch):
    config = SimpleNamespace(html_theme_options={})
    launch.add_buttons(None, config)
    assert config.html_theme_options == {}
    monkeypatch.setenv("SCOREVID_REPOSITORY", "https://github.com/who/what.git/")
    launch.add_buttons(None, config)
    assert config.html_theme_options["repository_url"] == "https://github.com/who/what"
    assert {"binderhub_url", "colab_url"} <= set(config.html_theme_options["launch_buttons"])
    assert "thebe" not in config.html_theme_options["launch_buttons"]


@pytest.mark.parametrize("address", ["github.com/who/what", "https://github.com/who", "https://example.org/who/what"])
def test_an_address_that_no_button_could_open_stops_the_build(monkeypatch, address):
    from sphinx.errors import ExtensionError

    monkeypatch.setenv("SCOREVID_REPOSITORY", address)
    with pytest.raises(ExtensionError, match=r"must read https://github\.com/OWNER/NAME"):
        launch.repository()


# ---- the map and the reference of the package ----------------------------------------------------------------------


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of three rooms and a module on the ground, in place of scorevid."""
    files = {
        "__init__.py": '"""The face."""\n\nnames = {\n    "high": [\n        "high",  # the highest\n    ],\n}\n',
        "ground.py": '"""Ground: what all stand on. And more."""\n',
        "low/__init__.py": '"""The low room. It is low."""\n',
        "low/one.py": '"""One thing, see :func:`x <a.b.x>`.\n\nMore."""\nfrom scorevid import ground\n'
        "if TYPE_CHECKING:\n    from scorevid.high.two import f\n",
        "high/__init__.py": '"""The high room: it is high."""\n"high.lazy"\n',
        "high/two.py": '"""Two."""\nimport numpy\n\n\ndef f():\n    from scorevid.low.one import x\n',
        "high/_private.py": '"""Hidden."""\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(rooms, "ROOT", tmp_path)
    for cached in (rooms.sources, rooms.below):
        cached.cache_clear()
    yield
    for cached in (rooms.sources, rooms.below):
        cached.cache_clear()


def test_rooms_stand_above_what_they_import(package):
    """An import within a function counts as well; one of another package, or for types alone, does not."""
    assert list(rooms.sources()) == ["ground", "high", "high.two", "low", "low.one"]
    assert rooms.below() == {"ground": [], "high": ["low"], "low": ["ground"]}
    assert {name: rooms.level(name) for name in rooms.below()} == {"ground": 0, "low": 1, "high": 2}


def test_a_module_is_summed_up_by_the_beginning_of_its_docstring(package):
    summaries = [rooms.summary(name) for name in ("ground", "low", "low.one", "high")]
    assert summaries == ["Ground: what all stand on", "The low room", "One thing, see `x`", "The high room"]


def test_every_room_and_module_of_the_package_is_on_its_map_with_what_it_is():
    assert {"worlds", "noise", "denoisers", "sampling", "measures", "training", "studies"} <= set(rooms.below())
    assert {"sweep", "cli", "companion", "estimates", "checks", "machine"} <= set(rooms.below())
    assert all(rooms.summary(module) for module in rooms.sources())
