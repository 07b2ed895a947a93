"""The drawings of the theory page and the gallery of the front page: they can be drawn, and show what the chapters show."""

import hashlib
import importlib.util
from pathlib import Path

import pytest
from PIL import Image

BOOK = Path(__file__).parents[2] / "book"


@pytest.fixture(scope="module")
def drawings():
    spec = importlib.util.spec_from_file_location("drawings_tested", BOOK / "drawings.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name, options", [("score_field", {}), ("choice_paths", {"n_samples": 3})])
def test_a_drawing_can_be_made_and_is_stored_and_shown(drawings, name, options, tmp_path):
    """A renamed function of the package, or a picture that no page shows, would go unnoticed otherwise."""
    drawings.write(getattr(drawings, name)(**options), tmp_path / "new.png")
    with Image.open(tmp_path / "new.png") as new, Image.open(BOOK / "_static" / f"{name}.png") as stored:
        assert abs(new.height - stored.height) < 20 and new.width == stored.width
    assert f"_static/{name}.png" in (BOOK / "theory.md").read_text()


def test_the_gallery_shows_the_figures_as_the_chapters_store_them(drawings):
    """A figure that a chapter has drawn anew, or has no more, must not stay on the front page."""
    names, stored = drawings.front_page_figures(), drawings.stored_figures()
    assert len(names) == len(set(names)) == 10
    for name in names:
        assert f":link: {name}\n" in (BOOK / "index.md").read_text()
        with Image.open(BOOK / "_static" / "gallery" / f"{name}.png") as picture:
            assert picture.text["Source"] == hashlib.sha256(stored[name]).hexdigest(), "run `make picture`"
    assert {path.stem for path in (BOOK / "_static" / "gallery").iterdir()} == set(names)
