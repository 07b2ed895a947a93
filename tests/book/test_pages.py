"""The pages beside the chapters: all of the package is told, all is cited, and no measured number is typed by hand."""

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path

import pytest
import yaml

import scorevid

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
PAGES = sorted(BOOK.rglob("*.md"))
CHAPTERS = [*sorted((ROOT / "notebooks").glob("*.ipynb")), *sorted((ROOT / "notebooks" / "supplement").glob("*.ipynb"))]
LEDGER = yaml.safe_load((BOOK / "claims.yml").read_text())


def texts():
    """Prose by file: a page, or the Markdown cells of a chapter."""
    found = {path.relative_to(ROOT).as_posix(): path.read_text() for path in PAGES}
    for path in CHAPTERS:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "markdown"]
        found[path.relative_to(ROOT).as_posix()] = "\n\n".join("".join(cell["source"]) for cell in cells)
    return found


# ---- the package ---------------------------------------------------------------------------------------------------


def modules():
    names = [m.name for m in pkgutil.walk_packages(scorevid.__path__, "scorevid.")]
    return ["scorevid", *(name for name in names if not any(part.startswith("_") for part in name.split(".")))]


def test_every_public_module_is_on_one_of_the_packages_pages():
    """A room that has no page would be left out of the reference."""
    pages = [BOOK / "api.md", *(BOOK / "api").glob("*.md")]
    shown = [
        name for path in pages for names in re.findall(r"\{room\} (.+)", path.read_text()) for name in names.split()
    ]
    assert sorted(shown) == sorted(name.removeprefix("scorevid.") for name in modules() if name.count(".") == 1)
    assert (BOOK / "api.md").read_text().count("```{room}\n") == 1


@pytest.mark.parametrize("name", modules())
def test_whatever_is_public_says_what_it_is(name):
    module = importlib.import_module(name)
    assert module.__doc__
    silent = []
    for key, thing in vars(module).items():
        if key.startswith("_") or getattr(thing, "__module__", None) != name:
            continue
        if (inspect.isfunction(thing) or inspect.isclass(thing)) and not vars(thing).get("__doc__", thing.__doc__):
            silent.append(key)
        if inspect.isclass(thing):
            silent += [f"{key}.{k}" for k, v in vars(thing).items() if k[0] != "_" and _is_silent(v)]
    assert not silent


def _is_silent(member):
    member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    return inspect.isfunction(member) and not member.__doc__


# ---- references ----------------------------------------------------------------------------------------------------


def test_every_entry_of_the_bibliography_is_cited_and_everything_cited_is_there():
    entries = re.findall(r"^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text(), re.M)
    found = [m for text in texts().values() for m in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)]
    assert len(set(entries)) == len(entries)
    assert {key.strip() for keys in found for key in keys.split(",")} == set(entries)


def test_every_term_of_the_glossary_is_used():
    glossary = re.search(r"```\{glossary\}\n(.*?)```", (BOOK / "glossary.md").read_text(), re.S)[1]
    terms = {line for line in glossary.splitlines() if line and not line.startswith(" ")}
    used = [m for text in texts().values() for m in re.findall(r"\{term\}`([^`]+)`", text)]
    targets = {re.sub(r".*<([^>]+)>$", r"\1", term) for term in used}
    everywhere = " ".join(" ".join(text.split()) for name, text in texts().items() if "glossary" not in name)
    assert targets <= terms
    assert not [term for term in terms - targets if term not in everywhere]


def test_claims_with_a_bound_or_a_birth_after_a_first_look_are_told_among_the_limits():
    late = re.compile(r"first look|\badded (?:after|since)", re.I)
    due = [claim["id"] for claim in LEDGER if late.search(" ".join(claim["caveat"].split()))]
    assert due
    limits = (BOOK / "limits.md").read_text()
    assert not [id for id in due if f"`{id}`" not in limits]


# ---- numbers typed by hand -----------------------------------------------------------------------------------------

SHOWN = re.compile(
    r"^(```+)\{(?:table|glossary|admonition|note|figure)\}.*?\n(.*?)^\1\s*$", re.S | re.M
)  # its text counts
NO_PROSE = [  # code, mathematics, roles, links, and what a reader is to work out: a number in these is no result of ours
    re.compile(r"^(:::+)\{admonition\} Exercise.*?^\1\s*$", re.S | re.M),
    re.compile(r"^(```+|:::+)\{math\}.*?^\1\s*$", re.S | re.M),
    re.compile(r"^(```+).*?^\1\s*$", re.S | re.M),
    re.compile(r"^(```+|:::+).*$", re.M),
    re.compile(r"\$\$.*?\$\$", re.S),
    re.compile(r"\{[\w:.-]+\}`[^`]*`"),
    re.compile(r"``.*?``|`[^`]*`", re.S),
    re.compile(r"\]\([^)]*\)|<[^>]+>"),
]
FORMULA = re.compile(r"\$([^$]+)\$")
ALONE = re.compile(r"\s*[\d.,]*\d\s*(?:\\?%)?\s*")  # a number with dollars about it is one all the same
NUMBER = re.compile(
    r"(?<![\w.])(?:\d*\.\d+|\d+(?:,\d{3})+|\d+(?=\s?(?:\\?%|dB\b)))(?![\w]|\.\d)"
    r"|\b(?:twice|half) as\b|\b(?:factor of|about|nearly|only) \d+\b|\b\d+ times\b"
    r"|\b(?:a|one|two|three) (?:third|quarter|fifth|tenth|hundredth)s?\b|\b\w+ in ten\b"
)
GIVEN = re.compile(  # what stands before a number that is set and not measured, and what stands after
    r"(?:[σβγκρτελ]|h₀|σ₀|σ_L|\bg|\bM|\bK)[₀-₉]?\s*=\s*$|σ\s+(?:from|of|at|above|below)\s+$|Python\s+$|CC BY-NC\s+$"
)
GIVEN_AFTER = re.compile(r"^\s?%\s+intervals?\b")

ALLOWED = {  # file: what it says, and why a number may stand there
    "book/data.md": {
        "a fifth of the videos is held out": "a setting",
        "(832,766,765 bytes;": "size of a file",
        "shown 9 % wider than tall": "pixel aspect ratio that the file declares",
        "a fifth of its frames and five at least": "a setting",
    },
    "book/index.md": {"[arXiv 2411.00842": "a number of a paper"},
    "book/limits.md": {"an interval of 95 %": "confidence level"},
    "book/test_log.md": {
        "There are 26 of them, each of another video, of 26 to 60 frames with 96 rows": "what the shots are",
        "two past frames gain 2.3 to 11.2 dB": "an independent measurement, which no build repeats",
        "7.0 dB of it at σ = 0.5": "the same",
        "the third gains 0.00 dB there": "the same",
        "from σ = 1 on": "a noise level",
    },
    "book/reproduce.md": {
        "update 2,290 of": "how a run was made",
        "80,000 updates and shortened twice (to 55,000 at update 11,107, and to 48,000 at update 16,881)": "a schedule",
        "with 201,500 updates in nine parts, had trained with the defect for the first 26,000": "how a run was made",
        "after 2,000 updates, or half": "a default",
        "continues at 0.4 of its learning rates": "a default",
        "kills a run ten times": "what a script does",
        "planned for 20,000 updates and shortened at update 9,943": "how a run was made",
        "From update 16,000 on": "how a run was made",
        "after 28,000 updates, with noise on half": "how a run was made",
        "30,000 updates and shortened twice (to 20,000 at update 4,239, and to 12,000 at update 4,568)": "how a run was made",
        "until its 12,000th update, and the other networks only after update 16,000": "how a run was made",
    },
    "notebooks/09_representations.ipynb": {
        "lies outside of ± 0.05, and": "a setting, verdicts.LIMIT",
    },
    "notebooks/08_motion.ipynb": {
        "of 29.9 a frame for ConvLSTM with 34 million parameters, and of 21.2 for SimVP with 58": "published elsewhere",
    },
    "book/theory.md": {
        "2 % for": "follows from N = 1024",
        "is 0.18 for": "follows from h₀ by the formula above it",
        ", 0.24 for": "follows from h₀ by the formula above it",
        "and 0.78 for": "follows from h₀ by the formula above it",
        "from 200,000 samples or more": "size of a simulation",
        "at most 0.0501, at": "the maximum of a function",
        "31 % at": "values of the normal distribution",
        "16 % at": "values of the normal distribution",
        "2 % at": "values of the normal distribution",
        "20 pixels at contrast 0.5 give a distance of 2.2": "an example, computed in the sentence",
        "from 0.15 to 12 times this value": "a setting, density.SPAN",
        "| 0.05 | 0.058 | 0.043 | 0.021 | 0.046 |": "simulated; tests/sampling/test_ascent.py repeats it",
        "| 0.10 | 0.112 | 0.090 | 0.053 | 0.095 |": "the same",
        "| 0.20 | 0.215 | 0.191 | 0.137 | 0.195 |": "the same",
        "| 0.35 | 0.360 | 0.344 | 0.305 | 0.347 |": "the same",
    },
    "notebooks/02_score_residual.ipynb": {
        "1,024 × 1,024 Jacobian": "size of a frame, squared",
        "A quarter as many parameters": "a setting, on the card",
    },
    "notebooks/supplement/02a_architecture.ipynb": {"a quarter of the parameters": "a setting, on the card"},
    "notebooks/supplement/02b_other_noise.ipynb": {"with probabilities 0.3 and 0.7": "a setting"},
    "notebooks/03_occlusion_sampling.ipynb": {
        "at least 60 % of its answers": "a bound",
        "within 10 % of calibrated": "a bound",
    },
    "notebooks/supplement/03a_solvers.ipynb": {"during its first 26,000 updates": "how a run was made"},
    "notebooks/04_linear_weights.ipynb": {
        "14,000 updates": "length of a training",
        "48,000 updates": "length of a training",
        "from update 28,000 on": "how a run was made",
    },
    "notebooks/06_density.ipynb": {"from 0.15 to 12 times D/2": "a setting, density.SPAN"},
    "notebooks/supplement/04a_gaussian_weights.ipynb": {
        "14,000 updates": "length of a training",
        "fixed the bound of 0.5": "a bound",
    },
    "notebooks/supplement/04c_spectra.ipynb": {"−3 dB is half": "a definition"},
    "notebooks/supplement/04b_spoiled_pasts.ipynb": {
        "white noise of 0.3": "a noise level",
        "48,000 updates": "length of a training",
        "Gaussian video 14,000": "length of a training",
    },
}


def typed_numbers(text, allowed=()):
    """Numbers in prose that look like results, each with what is around it; and which of the allowed were met."""
    text = SHOWN.sub(r"\2", text)
    for pattern in NO_PROSE:
        text = pattern.sub(" ", text)
    text = FORMULA.sub(lambda m: f" {m[1]} " if ALONE.fullmatch(m[1]) else " ", text)
    text = " ".join(text.split())
    spans, met = [], set()
    for snippet in allowed:
        for m in re.finditer(re.escape(" ".join(snippet.split())), text):
            spans.append(m.span())
            met.add(snippet)
    found = []
    for m in NUMBER.finditer(text):
        if GIVEN.search(text[: m.start()].rstrip("(")) or GIVEN_AFTER.match(text[m.end() :]):
            continue
        if not any(a <= m.start() and m.end() <= b for a, b in spans):
            found.append(text[max(0, m.start() - 50) : m.end() + 30])
    return found, met


def prose(name, text):
    """Without the tables of parameters: all of data.md are, and those that open a chapter."""
    tables = name in ("book/data.md", "book/notation.md") or name.startswith("notebooks/")
    return re.sub(r"^\|.*$", "", text, flags=re.M) if tables else text


@pytest.mark.parametrize("name", texts())
def test_no_measured_number_is_typed_into_prose(name):
    allowed = ALLOWED.get(name, {})
    found, met = typed_numbers(prose(name, texts()[name]), allowed)
    assert not found, "say {claim}`id` for what was measured, or add to ALLOWED why the number may stand"
    assert not set(allowed) - met, "these are allowed and no longer said"


@pytest.mark.parametrize(
    "text",
    [
        "It has a slope of 1.21, too sure.",
        "It has a slope of $1.21$.",
        "a loss of .34 [.30, .38]",
        "in 29 % of the samples",
        "in $29\\%$ of the samples",
        "1.3 dB are gained",
        "3 dB are gained",
        "lower by a factor of 9",
        "12 times as many evaluations",
        "blends in nine in ten cases",
        "twice as many blends",
        "after 7,300 updates",
        "```{table}\n| slope | 1.21 |\n```",
        ":::{note}\nThe slope is 1.21.\n:::",
        "```{figure} a.png\nOf it.\n```\nThe slope is 1.21.\n```python\n1\n```",
    ],
)
def test_a_result_typed_by_hand_is_found(text):
    assert typed_numbers(text)[0]


@pytest.mark.parametrize(
    "text",
    [
        "at σ = .5, β = .01, and σ₀ = 1.5",
        "with σ from .05 on",
        "a slope of {claim}`sampling.slope` where 1 is right",
        "`beta = 0.5` and\n```python\nx = 1.21\n```\n",
        "the factor $0.4 / N$ and\n```{math}\n:label: a\nx = 1.21\n```\n",
        "with 95 % intervals over scenes",
        "odds from 1 : 3 to 3 : 1, in chapter 2, 32 × 32 pixels",
        "[a link](https://example.org/1.21)",
        ":::{admonition} Exercise\nLet one predictor have the error 1.21.\n:::",
    ],
)
def test_parameters_and_definitions_are_no_results(text):
    assert not typed_numbers(text)[0]


# ---- English -------------------------------------------------------------------------------------------------------

PRIVATE = re.compile(r"\b(tells?|told|due(?! to)|witness(es)?|hangs? on|hung on|pasts|news|surer|mend(s|ed)?)\b", re.I)


def sentences(text):
    """Sentences of Markdown without code, formulas, tables, headings and options of directives."""
    text = re.sub(r"```.*?```|\$\$.*?\$\$|^\|.*?$|^:.*?$|^#.*?$", "\n\n", text, flags=re.S | re.M)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`|\$[^$]*\$|`[^`]*`", "X", text)
    blocks = re.split(r"\n\s*\n|\n\s*(?:[-*]|\d+\.) |\n: ", text)
    return [s for block in blocks for s in re.split(r"(?<=[.?!])\s+", " ".join(block.split())) if len(s.split()) > 3]


@pytest.mark.parametrize("name", [name for name in texts() if len(sentences(texts()[name])) > 5])
def test_sentences_are_short_and_words_are_the_field_s(name):
    """Catches prose that drifts back to long sentences, and words that only the authors used in their sense."""
    found = sentences(texts()[name])
    assert sum(len(sentence.split()) for sentence in found) / len(found) <= 19
    assert not [sentence for sentence in found if PRIVATE.search(sentence)]


# ---- what the build does to the pages ------------------------------------------------------------------------------


def test_signatures_say_types_alone_and_no_path_of_the_machine():
    pytest.importorskip("sphinx")
    from scorevid_book.signatures import plain

    assert plain(None) is None
    assert plain("(a: int = 3) -> str") == "(a: int = 3) -> str"
    assert plain("(a: ~b.C = <factory>)") == "(a: ~b.C = ...)"
    told = "(a: ~typing.Annotated[list[int], Arg(name='', b=(1, 2))] = 3, c: Annotated[str, Positional])"
    assert plain(told) == "(a: list[int] = 3, c: str)"
    assert (
        plain(f"(folder: Path = PosixPath('{ROOT}/scorevid/denoisers/weights'))")
        == "(folder: Path = Path('scorevid/denoisers/weights'))"
    )


def test_the_status_tells_versions_and_no_path():
    pytest.importorskip("sphinx")
    from scorevid_book.status import facts

    facts = facts(str(ROOT))
    assert facts["scorevid"] == scorevid.__version__
    assert all(facts.values())
    assert not [value for value in facts.values() if "/" in value]
