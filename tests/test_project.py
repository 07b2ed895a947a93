"""The project's own files agree with one another and with what is installed."""

import re
import subprocess
import tomllib
from importlib.metadata import version
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from scorevid.denoisers.weights import load_card

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
ASKED = [Requirement(r) for r in [*PYPROJECT["project"]["dependencies"], *chain.from_iterable(EXTRAS.values())]]


def constraints():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): pinned for name, pinned in (line.split("==") for line in lines)}


@pytest.mark.parametrize("requirement", ASKED, ids=str)
def test_everything_asked_for_is_pinned_within_its_range(requirement):
    pinned = constraints()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pinned)


@pytest.mark.parametrize("requirement", ASKED, ids=str)
def test_what_is_installed_is_what_is_pinned(requirement):
    installed = version(requirement.name).split("+")[0]  # a build tag such as +cpu is no other version
    assert installed == constraints()[canonicalize_name(requirement.name)]


def test_torch_is_pinned_to_the_build_that_the_book_is_made_with():
    assert constraints()["torch"] == "2.13.0"


def test_the_conda_environment_installs_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PYPROJECT["project"]["name"]
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python="))
    assert PYPROJECT["project"]["requires-python"] == ">=" + python.removeprefix("python=")
    (pip,) = (d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["--constraint constraints.txt", f"--editable .[{','.join(sorted(EXTRAS))}]"]


def test_citation_and_package_have_the_same_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PYPROJECT["project"]["version"] == version("scorevid")


def test_every_chapter_is_in_the_table_of_contents():
    toc = (ROOT / "_toc.yml").read_text()
    for folder in ("notebooks", "notebooks/supplement"):
        for path in sorted((ROOT / folder).glob("*.ipynb")):
            assert f"{folder}/{path.stem}\n" in toc


def test_no_path_of_one_machine_and_no_large_file_is_kept():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        assert path.stat().st_size < 12_000_000, name
        if path.suffix in {".py", ".md", ".yml", ".yaml", ".toml", ".txt", ".ipynb", ".json", ".cff", ""}:
            found = re.findall(r"(?<![\w.])/(?:home|root|work|Users)/\w+", path.read_text(errors="ignore"))
            assert not found or path == Path(__file__), (name, found)


def test_the_pictures_of_the_front_page_were_drawn_from_the_weights_as_they_are():
    folder, sha256 = ROOT / "book" / "_static", load_card("leaves-32")["sha256"]
    with Image.open(folder / "result.png") as still, Image.open(folder / "result.gif") as moving:
        described = still.text["Description"], moving.info["comment"].decode()
        assert moving.n_frames > 10
    assert all(text.endswith(sha256) for text in described), "run `make picture`"
    with Image.open(folder / "next_frames.gif") as moving:
        assert f"natural-32-m2, sha256 {load_card('natural-32-m2')['sha256']}" in moving.info["comment"].decode()
        assert moving.n_frames == 6
