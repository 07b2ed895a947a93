"""The README does what it says."""

import re
from pathlib import Path

import pytest

import scorevid

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_code_of_the_readme_runs_as_it_stands():
    """A name that moved, or another shape, would greet every newcomer with an error."""
    code = "\n".join(re.findall(r"^    .*(?:\n(?:    .*|))*", README.partition("## Use the package")[2], re.M))
    names = {}
    exec(re.sub(r"^    ", "", code, flags=re.M), names)
    assert names["samples"].x.shape == (4, 8, 32, 32) and names["samples"].evaluations.float().mean() == 14
    assert names["c"].shape == (4, 2, 32, 32) and names["x"].shape == (4, 1, 32, 32)
    assert names["f"].memory == 2


@pytest.mark.parametrize("link", re.findall(r"\]\((?!https?:)([^)]+)\)", README))
def test_every_link_of_the_readme_leads_somewhere(link):
    assert (ROOT / link).exists()


def test_the_face_has_what_the_readme_takes_from_it():
    taken = {name.strip() for names in re.findall(r"from scorevid import (.+)", README) for name in names.split(",")}
    assert taken <= set(scorevid.__all__) and len(taken) > 5
