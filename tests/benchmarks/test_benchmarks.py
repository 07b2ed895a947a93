"""The benchmarks run with tiny settings and store what the book shows; how times, ratios and powers are worked out."""

import argparse
import importlib.util
import io
import json
import math
import runpy
import shutil
import sys
import time
from pathlib import Path

import pytest
import torch

import side_by_side
from scorevid.estimates import Estimate
from scorevid.machine import instructions
from side_by_side import Result, format_cell

ROOT = Path(__file__).parents[2]
TABLES = {  # tables that each script stores, by a word of their titles
    "training": [
        *(
            "images a second, in turns",
            "share of the machine's peak",
            "ceiling",
            "arithmetic of a step",
            "where a step",
        ),
        "difference in loss from eager",
    ],
    "sampling": ["samples a second", "how well both", "choices of", "would wait", "memory of a process"],
    "rendering": ["Scenes a second", "largest difference"],
    "jacobian": ["The Jacobian", "agreement"],
    "peers": [
        "minutes each, in turns",
        "as training goes on",
        "minutes of training, of",
        "sampling",
        "fewest evaluations",
    ],
    "growth": ["Growth with batch", "fitted powers", "held to what was measured", "A plan"],
    "streaming": ["The folder", "Training from the folder", "Memory"],
    "parallel": ["largest relative difference in loss", "images a second with"],
    "calibrated": ["Training time and calibration"],
    "book": ["Time of each chapter", "Time of a fresh process"],
    "playground": ["headless Chromium", "page loads"],
}


def script(name: str):
    """A script of the folder benchmarks as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The result of a script that was run with tiny settings, once."""
    folder, found = tmp_path_factory.mktemp("results"), {}

    def run(name: str) -> dict:
        if name not in found:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", [f"{name}.py", "--quick", "--out", str(folder)])
                runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
            found[name] = json.loads((folder / f"{name}.json").read_text())
        return found[name]

    return run


def rows(found: dict, title: str) -> list[list]:
    (table,) = (t for t in found["tables"] if title in t["title"])
    return table["rows"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", TABLES)
def test_each_script_stores_what_is_due(name, quick):
    if name == "peers":
        pytest.importorskip("diffusers", reason="THE PEER WAS NOT RUN: diffusers is missing")
    if name == "playground" and not any(map(shutil.which, script(name).BROWSERS)):
        pytest.skip("THE PLAYGROUND WAS NOT RUN: no browser on PATH")
    found = quick(name)
    assert found["benchmark"] == name and found["quick"] and found["seconds"] >= 0  # rounded to tenths
    assert {"processor", "threads", "cores", "versions"} <= set(found["machine"])
    for title in TABLES[name]:
        assert any(title in t["title"] for t in found["tables"]), title
    for table in found["tables"]:
        assert table["rows"] and {len(r) for r in table["rows"]} == {len(table["columns"])}
    for target in found["targets"]:
        assert len(target["value"]) == 3 and target["value"][1] <= target["value"][0] <= target["value"][2]


def test_a_network_that_is_calibrated_once_by_chance_has_no_time_to_calibration():
    lasting = script("calibrated").lasting
    assert lasting([(1, False), (2, True), (3, False), (4, True), (5, True)]) == 4
    assert lasting([(1, True), (2, True), (3, False)]) is None
    assert lasting([(1, True)]) == 1


def test_the_peer_s_doubling_is_that_of_its_library():
    pytest.importorskip("diffusers", reason="THE PEER WAS NOT COMPARED: diffusers is missing")
    peers = script("peers")
    network = peers.peer_network(2, 20_000, 16).eval()
    noisy = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = network(noisy, 7, return_dict=False)[0]
        given = argparse.Namespace(batch=2, peer_lr=1e-3, compile=False)
        own = peers.Peer(network, None, given, bf16=False).network.eval()
        assert any(isinstance(m, peers.Double) for m in own.modules())
        assert torch.allclose(own(noisy, 7, return_dict=False)[0], before, atol=1e-5)


def test_every_script_is_tested_or_measures_no_speed():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert scripts - {"interruption", "side_by_side"} == set(TABLES)  # tests/training/test_trainer.py asks the same


def test_the_parts_of_a_step_are_all_found(quick):
    spent = {part: ms for part, ms, _ in rows(quick("training"), "where a step")}
    assert set(spent) == {
        *("draw scenes and noise", "forward", "backward", "Muon on the kernels", "Adam on the gains"),
        "averaging and the rest",
    }
    assert all(ms > 0 for ms in spent.values())


def test_the_published_algorithm_waits_oftener_than_the_recommended_solver(quick):
    waits = dict(rows(quick("sampling"), "would wait"))
    assert waits["recommended solver"] == 0 < waits["published constants"]


def test_waiting_is_counted():
    sampling, x = script("sampling"), torch.arange(4.0)
    with sampling.Values() as values, sampling.Numbers() as numbers:
        x[1:] + x.sum() * torch.full_like(x[1:], 2.0)
        assert (values.count, numbers.count) == (0, 0)
        bool((x > 1).any()), x[x > 1], x.nonzero(), torch.as_tensor(2.0), torch.as_tensor(x)
    assert (values.count, numbers.count) == (3, 1)


def test_the_loops_give_the_same_frames_and_futures(quick):
    assert all(difference < 1e-5 for _, difference in rows(quick("rendering"), "largest difference"))


def test_multiply_adds_of_a_network_that_is_counted_by_hand():
    first, second, out = (8 * 8 * 9 * a * b for a, b in ((3, 4), (4, 4), (4, 1)))
    forward, on_kernels, on_inputs = first + second + out, first + second + out, second + out
    products, kept = script("growth").arithmetic((4,), 8, 2)
    assert products == forward + on_kernels + on_inputs
    assert script("growth").arithmetic((4,), 16, 2) == (4 * products, pytest.approx(4 * kept, rel=0.05))


def test_powers_of_a_law_are_found_with_an_interval():
    power, low, high = side_by_side.exponent([1, 2, 4, 8], [3 * s**1.7 for s in (1, 2, 4, 8)])
    assert power == pytest.approx(1.7) and low == pytest.approx(1.7) and high == pytest.approx(1.7)
    power, low, high = side_by_side.exponent([1, 2, 4, 8], [1, 2.2, 3.7, 8.4])
    assert low < power < high and low < 1 < high
    for sizes, costs in (([1, 2], [1, 2]), ([1, 2, 3], [1, 0, 2]), ([1, 2, 3], [1, 2])):
        with pytest.raises(ValueError, match="three points"):
            side_by_side.exponent(sizes, costs)


def test_cases_take_turns_in_both_orders():
    order = []
    times = side_by_side.take_turns({k: lambda k=k: order.append(k) for k in "abc"}, rounds=2)
    assert "".join(order) == "abc" + "abc" + "cba"
    assert {k: len(v) for k, v in times.items()} == {"a": 2, "b": 2, "c": 2}
    with pytest.raises(ValueError, match="rounds must be a positive integer"):
        side_by_side.take_turns({}, 0)


def test_seconds_are_those_of_one_call():
    calls = []
    times = side_by_side.take_turns({"a": lambda: (calls.append(0), time.sleep(0.002))}, rounds=1, seconds=0.02)
    assert len(calls) > 2 and 0.002 <= times["a"][0] < 0.02


def test_ratios_are_taken_round_by_round():
    assert list(side_by_side.ratio([4, 10, 30], [2, 2, 10])) == [3, 2, 5]
    assert list(side_by_side.rates([0.5, 0.25, 1.0], amount=2)) == [4, 2, 8]


def test_what_others_took_is_what_was_busy_and_not_ours(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert side_by_side.others_share((0, 100, 7), (10, 115, 17)) == pytest.approx(0.25)
    assert side_by_side.others_share((0, 100, 7), (10, 105, 17)) == 0
    assert math.isnan(side_by_side.others_share((0, math.nan, 7), (10, math.nan, 17)))


@pytest.mark.parametrize(
    "value, text",
    [
        (1234.5, "1,230"),
        (12.345, "12.3"),
        (0.01234, "0.0123"),
        (-0.5, "−0.500"),
        (1234567, "1,234,567"),
        (0.0, "0"),
        (2.5e-12, "2.50 × 10⁻¹²"),
        (1.5e14, "1.50 × 10¹⁴"),
        (side_by_side.median_range([2.0, 1.0, 3.0]), "2.00 (1.00 to 3.00)"),
        ([2.0, 1.0, 3.0], "2.00 (1.00 to 3.00)"),
        ([2.0, 2.0, 2.0], "2.00"),
        (None, "–"),
        (math.nan, "–"),
        ("as is", "as is"),
    ],
)
def test_cells_are_formatted(value, text):
    assert format_cell(value) == text


def options(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["x.py", *arguments])
    return side_by_side.options("Text.", "kept", n=(5, 1, "n"), several=((1, 2), (3,), "s"), on=(True, False, "o"))


def test_a_quick_run_is_small_and_stores_only_where_told(monkeypatch):
    usual, quick = options(monkeypatch), options(monkeypatch, "--quick")
    assert (usual.n, usual.several, usual.on, usual.out) == (5, (1, 2), True, Path("kept"))
    assert (quick.n, quick.several, quick.on, quick.out) == (1, (3,), False, None)
    told = options(monkeypatch, "--quick", "--n", "7", "--several", "8", "9", "--on", "yes", "--out", "there")
    assert (told.n, told.several, told.on, told.out) == (7, [8, 9], True, Path("there"))
    with pytest.raises(SystemExit):
        options(monkeypatch, "--on", "maybe")


def test_memory_of_a_child_is_its_own(tmp_path):
    path = tmp_path / "child.py"
    path.write_text(
        f"import sys; sys.path.append({str(ROOT / 'benchmarks')!r})\n"
        "from side_by_side import answer_as_child, peak_memory\n"
        "def f(n):\n    a = peak_memory()\n    b = bytearray(n)\n    return {'before': a, 'peak': peak_memory()}\n"
        "answer_as_child(f)\n"
    )
    if math.isnan(side_by_side.peak_memory()):
        pytest.skip("the system does not tell")
    ballast = torch.ones(2**27)  # half a GiB, which a child must not take for its own
    found = side_by_side.in_child(str(path), 2**26)
    assert found["peak"] - found["before"] == pytest.approx(64, abs=8)
    assert found["before"] < 512 < side_by_side.peak_memory() and len(ballast)


def stored(folder: Path, quick: bool = False, value: float = 5.0, others: float = 0.01) -> None:
    """A result as a script stores it."""
    given = argparse.Namespace(quick=quick, out=folder, rounds=3)
    result = Result("training", given)
    result.table(
        "Training: images a second",
        ["", "images a second"],
        [["plain", Estimate(1234.0, 1200.0, 1250.0)]],
    )
    result.target("× plain loop", Estimate(value, 4.0, 6.0), 4.0)
    result.note("Compiling took long.")
    path = result.finish()
    found = json.loads(path.read_text())
    assert found["parameters"] == {"rounds": 3}
    path.write_text(json.dumps(found | {"others": others}))


@pytest.mark.parametrize("has", [True, False])
def test_matrix_instructions_are_told_where_there_are_any(monkeypatch, has):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has)
    assert instructions() == torch.backends.cpu.get_cpu_capability() + ", AMX" * has


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Build a page that shows results; gives it and the warnings."""
    pytest.importorskip("sphinx")
    from docutils.parsers.rst import directives
    from sphinx.testing.util import SphinxTestApp

    def build() -> tuple[str, str]:
        (tmp_path / "conf.py").write_text("extensions = ['scorevid_book']\n")
        (tmp_path / "index.rst").write_text(
            "Book\n====\n\n.. speed-targets::\n\n.. speed:: training\n\n.. speed:: amx/training\n"
        )
        monkeypatch.setattr(directives, "_directives", dict(directives._directives))
        warnings = io.StringIO()
        app = SphinxTestApp("html", srcdir=tmp_path, warning=warnings, confoverrides={"nitpicky": True})
        app.build()
        shown = (Path(app.outdir) / "index.html").read_text(encoding="utf-8")
        app.cleanup()
        return shown, warnings.getvalue()

    return build


sphinx_warns = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")


@sphinx_warns
def test_the_page_says_what_is_not_measured_yet(page):
    shown, warnings = page()
    assert warnings == "" and shown.count("Not measured yet: run make bench") == 3


@sphinx_warns
def test_the_page_shows_what_is_stored(page, tmp_path):
    stored(tmp_path / "benchmarks" / "results")
    stored(tmp_path / "benchmarks" / "results" / "amx", value=6.5)
    shown, warnings = page()
    assert warnings == "" and shown.index(">training<") < shown.index(">amx/training<")
    assert "6.50 (4.00 to 6.00)" in shown
    for text in ("1,230 (1,200 to 1,250)", "Compiling took long.", "5.00 (4.00 to 6.00)", "≥ 4.00", ">met<", "torch "):
        assert text in shown
    assert "Not measured" not in shown and "TRIAL" not in shown and "too much" not in shown


@sphinx_warns
def test_the_page_tells_a_target_missed_a_trial_and_a_busy_machine(page, tmp_path):
    stored(tmp_path / "benchmarks" / "results", quick=True, value=3.9, others=0.5)
    shown, _ = page()
    assert "a trial, missed" in shown and "A TRIAL" in shown and "50 % of the machine, too much" in shown


def test_what_is_stored_was_no_trial_and_the_page_asks_for_it():
    asked, kept = (ROOT / "book" / "speed.md").read_text(), ROOT / "benchmarks" / "results"
    assert {path.stem for path in kept.glob("*.json")} == set(TABLES)
    for path in kept.rglob("*.json"):
        assert f"```{{speed}} {path.relative_to(kept).with_suffix('').as_posix()}\n" in asked
        found = json.loads(path.read_text())
        assert not found["quick"] and found["benchmark"] == path.stem
