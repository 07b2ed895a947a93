"""What is measured inside networks, on ones in which the answer is planted."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from scorevid.companion import claims
from scorevid.denoisers.exact import Oracle
from scorevid.estimates import Estimate
from scorevid.measures.representations import Readout
from scorevid.studies.representations import causes, every, inside, pairs, verdicts
from scorevid.studies.representations.targets import targets_of_meetings


class Planted(nn.Module):
    """A blind denoiser with one block of eight channels; what it answers is added to the last past frame."""

    needs_sigma = False

    def __init__(self, answer=None, seed=0, width=8):
        super().__init__()
        torch.manual_seed(seed)
        convolutions = (nn.Conv2d(3, width, 3, padding=1, bias=False) for _ in range(3))
        self.encoder = nn.ModuleList(nn.Sequential(convolution, nn.ReLU()) for convolution in convolutions)
        self.answer = answer or (lambda a, c: 0.2 * a[:, 3:4])
        self.eval().requires_grad_(False)

    squared_error = None  # marks networks of the package

    def forward(self, y, c, sigma=None):
        a = [block(torch.cat([c, y], 1)) for block in self.encoder]
        return c[:, -1:] + self.answer(a[2], c)


@pytest.fixture(scope="module")
def met():
    return inside.meetings(24, 3)


def test_scenes_do_not_depend_on_anything_but_their_seed(met):
    again = inside.meetings(24, 3)
    assert torch.equal(again.c, met.c) and torch.equal(again.x, met.x) and len(met) == 24
    assert not torch.equal(inside.meetings(24, 4).c, met.c)
    scenes = inside.random_scenes(12, 3)
    assert len(scenes.part(slice(3, 7))) == 4 and torch.equal(scenes.part(slice(3, 7)).x, scenes.x[3:7])


def test_scenes_are_found_again_by_features_that_stay():
    """Would catch scenes that are compared with themselves, or by one loud feature."""
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(60, 8, generator=draw)
    a[:, 0] *= 1e4
    near = a + 0.01 * a.std(0) * torch.randn(60, 8, generator=draw)
    assert inside.found_again(a, near)[0] == 1
    assert inside.found_again(a, torch.randn(60, 8, generator=draw))[0] < 0.15


def test_channels_that_are_zero_are_sparse():
    f = Planted()
    for block in f.encoder:
        block[0].weight[2:] = 0
    rows = [r for r in inside.sparsity_rows(f, inside.random_scenes(8, 1), 1) if r["block"] == inside.MIDDLE]
    assert len(rows) == len(inside.SIGMAS)
    for row in rows:
        assert 0 < row["active"][0] <= 0.25 and row["participation"][0] <= 0.25 and row["gini"][0] >= 0.75


def test_the_named_channel_is_the_one_that_decides(met):
    """Would catch channels that are ranked the wrong way round, and a change that is not of the choice."""
    row = causes.ablation_row(Planted(), met, inside.meetings(24, 9), 0)
    assert row["block"] == inside.MIDDLE and row["channels"][0] == 3 and row["change"] > 0
    # random sets of four of eight channels have it half of the time, and else change nothing
    assert row["ratio"][0] ** 2 == pytest.approx(2, rel=0.4)
    assert row["elsewhere"][0] == pytest.approx(row["ratio"][0], rel=1e-3)  # it acts at every pixel alike


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda a, c: 0.2 * a[:, 3:4] + 0.002 * a.sum(1, keepdim=True), "holds"),
        (lambda a, c: 0.02 * a.sum(1, keepdim=True), "fails"),
    ],
)
def test_the_claim_goes_by_whether_few_channels_move_the_choice(met, answer, expected):
    """Would catch a ratio that is always large because channels are named by their effect."""
    row = causes.ablation_row(Planted(answer, width=40), met.part(slice(8)), inside.meetings(12, 9), 0)
    assert claims.decide(row["ratio"], ">= 3") == expected


def test_a_network_that_reads_sigma_off_a_channel_is_steered(met):
    """Would catch a direction from high to low, and a share of the wrong change."""
    y = inside.noisy(met, causes.FROM, 0)
    oracle = Oracle(met.law)
    optimal = oracle(y, met.c, causes.TO) - oracle(y, met.c, causes.FROM)
    f = Planted()
    low, high = (inside.averages(f, met, s, 0)[inside.MIDDLE].mean(0) for s in (causes.FROM, causes.TO))
    # the mean of channel 3 over pixels says what σ is
    gain = 1 / (high[3] - low[3])
    level = inside.averages(f, met, causes.FROM, 0)[inside.MIDDLE][:, 3, None, None, None]

    class Reads(Planted):
        def forward(self, y, c, sigma=None):
            a = [block(torch.cat([c, y], 1)) for block in self.encoder][2]
            return oracle(y, c, causes.FROM) + gain * (a[:, 3:4].mean((1, 2, 3), keepdim=True) - level) * optimal

    rows = {(r["block"], r["amount"]): r for r in causes.steering_rows(Reads(), met, met, 0, draws=2)}
    for amount in causes.AMOUNTS:
        assert rows[inside.MIDDLE, amount]["share"][0] == pytest.approx(amount, rel=0.02)
        assert rows["encoder.0", amount]["share"][0] == 0 and rows["encoder.0", amount]["cosine"] == 0
    assert rows[inside.MIDDLE, 1.0]["cosine"] == pytest.approx(1, abs=0.01)


def test_log_odds_are_decoded_from_what_has_them(monkeypatch):
    """Would catch another target, and a decoder that is judged on what it was fitted to."""
    seen, draw = inside.meetings(60, 5), torch.Generator().manual_seed(0)
    noise = torch.randn(60, 8, generator=draw)
    having = noise.clone()
    having[:, 2] += 20 * targets_of_meetings(seen.scene)["log odds"]
    monkeypatch.setattr(inside, "averages", lambda *_: {"encoder.1": having, inside.MIDDLE: noise, "encoder.0": noise})
    found = {b: next(inside.odds_rows(Planted(), seen, 0, [(3.0, 2, b)])) for b in ("encoder.1", inside.MIDDLE)}
    assert found["encoder.1"]["figure"][0] > 0.95 and found[inside.MIDDLE]["figure"][0] < 0.4
    assert len(list(inside.odds_rows(Planted(), seen, 0))) == len(inside.ODDS_AT) * len(inside.MARGINS) * 3


def test_a_network_that_does_not_look_at_y_has_one_active_set():
    class Past(Planted):
        def forward(self, y, c, sigma=None):
            return super().forward(torch.zeros_like(y), c)

    rows = {
        r["kind"]: r for r in inside.adaptation_rows(Past(), inside.random_scenes(100, 1), inside.meetings(24, 2), 1)
    }
    assert rows["overlap"]["overlap"] == rows["overlap"]["same"] == [1, 1, 1]
    assert rows["level"]["figure"][1] < 0.2 and rows["overlap"]["chance"][0] < 0.9


def test_networks_are_like_themselves():
    seen = inside.random_scenes(24, 1)
    first, other = Planted(), Planted(seed=1)
    rows = list(pairs.similarity_rows({"blind-0": first, "blind-1": first, "blind-2": other}, seen, 0, sets=12))
    same = [r for r in rows if {r["one"], r["other"]} == {"blind-0", "blind-1"}]
    for row in same:
        value = row["figure"] if row["measure"] == "active sets" else row["figure"][0]
        assert value == pytest.approx(float(row["measure"] != "procrustes"), abs=2e-3)
    assert len(rows) == 3 * len(pairs.ALIKE_AT) * (3 * len(pairs.MEASURES) + 1)
    assert any(r["measure"] == "cka" and r["figure"][0] < 0.999 for r in rows if "blind-2" in (r["one"], r["other"]))


def exact(values):
    return [Estimate(v, v, v) for v in values]


def test_a_difference_of_methods_is_welch_s():
    a, b = [0.3, 0.35, 0.31], [0.2, 0.1, 0.25]
    found = verdicts.difference(exact(a), exact(b))
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval()
    assert found.interval == pytest.approx((interval.low, interval.high))
    wide = verdicts.difference([Estimate(v, v - 0.1, v + 0.1) for v in a], exact(b))
    assert wide.high - wide.value == pytest.approx(np.hypot(0.1, found.high - found.value))
    alone = verdicts.over_seeds(exact(a))
    assert alone.interval == pytest.approx(stats.t.interval(0.95, 2, np.mean(a), stats.sem(a)))
    of_two = verdicts.difference(exact(a), exact(b), exact([0.5] * 3))
    assert of_two.value == pytest.approx(np.mean(a) - (np.mean(b) + 0.5) / 2)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        ((0.2, 0.1, 0.3), "differs"),
        ((-0.2, -0.3, -0.06), "differs"),
        ((0.01, -0.04, 0.05), "does not differ"),
        ((0.1, 0.04, 0.2), "undecided"),
        ((0.0, -0.1, 0.1), "undecided"),
    ],
)
def test_verdicts_go_by_the_whole_interval(gap, expected):
    assert verdicts.verdict(Estimate(*gap)) == expected


def test_properties_are_read_off_the_right_rows():
    """Would catch another block, another network, the log odds among the targets, or a pair of other methods."""
    three = [0.5, 0.4, 0.6]
    readout = {"kind": "readout", "network": "edm-1", "block": inside.MIDDLE, "measure": "r", "target": "speed"}
    pair = {"kind": "similarity", "measure": "cka", "block": inside.MIDDLE, "sigma": 0.3}
    rows = [
        {"kind": "sparsity", "network": "edm-1", "block": inside.MIDDLE, "gini": three},
        {"kind": "sparsity", "network": "edm-1", "block": "encoder.0", "gini": [0, 0, 0]},
        {"kind": "sparsity", "network": "edm-2", "block": inside.MIDDLE, "gini": [0, 0, 0]},
        {"kind": "sparsity", "network": "pixels", "block": "pixels", "found": [0, 0, 0]},
        readout | {"figure": three},
        readout | {"figure": [0.75, 0.7, 0.8], "measure": "auc", "target": "undecided"},
        readout | {"figure": [0, 0, 0], "target": "log odds"},
        pair | {"one": "blind-0", "other": "edm-1", "figure": three},
        pair | {"one": "blind-1", "other": "edm-1", "figure": [0, 0, 0]},
        pair | {"one": "edm-0", "other": "edm-1", "figure": [0, 0, 0]},
        pair | {"one": "blind-0", "other": "blind-1", "figure": [0.9, 0.9, 0.9]},
    ]
    for of in ("sparsity", "readout", "similarity"):
        assert list(verdicts.figure(rows, of, "edm-1")) == pytest.approx(three)
    assert verdicts.figure(rows, "similarity", "blind-1").value == pytest.approx(0.9)
    assert verdicts.figure(rows, "sparsity", "edm-1", "encoder.0").value == 0
    with pytest.raises(ValueError, match="adaptation of edm-1"):
        verdicts.figure(rows, "adaptation", "edm-1")
    with pytest.raises(ValueError, match="of must be one of"):
        verdicts.figure(rows, "size", "edm-1")


def test_every_network_has_the_rows_that_are_due_to_it(monkeypatch):
    """Would catch a network that is left out of a measurement, and one that is judged on the scenes it was chosen on."""
    judged = []
    quick = Readout("r", Estimate(0.5, 0.4, 0.6), np.zeros(1))
    monkeypatch.setattr(inside, "_decode", lambda phi, target, seed: quick)
    monkeypatch.setattr(every, "load_network", lambda name, folder: Planted())
    monkeypatch.setattr(inside, "readout_rows", lambda f, scenes, met, seed: [{"kind": "readout", "f": f}])
    monkeypatch.setattr(inside, "adaptation_rows", lambda *_: [{"kind": "overlap"}])
    monkeypatch.setattr(causes, "ablation_row", lambda f, a, b, s: judged.append((a.c, b.c)) or {"kind": "ablation"})
    monkeypatch.setattr(causes, "steering_rows", lambda f, a, b, s: [{"kind": "steering", "n": len(b)}])
    plan = every.Plan(scenes=30, chosen=24, steered=5, seed=9)
    case = plan.choose_odds()
    assert case[0] in inside.ODDS_AT and case[1] in inside.MARGINS and case[2].startswith("encoder.")
    kinds = {
        name: [row["kind"] for row in plan.rows_of(name, case)]
        for name in ("blind-1", "edm-0", "untrained-2", "pixels")
    }
    plain = ["sparsity"] * 13 + ["readout", "overlap", "odds"]
    assert kinds["untrained-2"] == plain and kinds["edm-0"] == [*plain, "ablation"]
    assert kinds["blind-1"] == [*plain, "ablation", "steering"] and kinds["pixels"] == ["readout"]
    assert all(row["network"] == "pixels" and row["f"] is None for row in plan.rows_of("pixels", case))
    chosen, judged_on = judged[0]
    assert len(chosen) == 24 and len(judged_on) == 30 and not torch.equal(chosen, judged_on[:24])
