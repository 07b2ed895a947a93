"""Older frames and predictions of natural video: what is changed in a past, what is judged, and what methods are shown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.studies import natural
from scorevid.studies.motion import Method, likeness
from scorevid.studies.natural import margins, older_frames, predictions
from scorevid.worlds.clips.patches import Patches, held_out
from scorevid.worlds.clips.world import Clips

SIDE = older_frames.SIDE


class Third:
    """Answers with the third frame from the end of the past, whatever it is shown."""

    memory, needs_sigma, training = 7, False, False

    def __call__(self, y, c, sigma=None):
        return c[:, -3:-2]


@pytest.fixture(scope="module")
def patches():
    return held_out(Clips(memory=7, split="test", size=older_frames.SIZE), 3)


def middle(frames):
    low = (older_frames.SIZE - SIDE) // 2
    return frames[..., low : low + SIDE, low : low + SIDE]


def test_one_place_is_hidden_in_the_latest_frames():
    """Would catch a place that older frames do not show either, and one that a last frame still shows."""
    c = torch.rand(3, 7, older_frames.SIZE, older_frames.SIZE)
    past = older_frames.Case(hidden=2).past(c, torch.Generator().manual_seed(0))
    assert torch.equal(past[:, :-2], c[:, :-2])
    changed = past != c
    assert int(changed.sum()) == 3 * 2 * SIDE**2 and middle(changed[:, -2:]).all()
    assert middle(past[:, -2:]).flatten(1).std(1).max() < 1e-6  # one grey, the same in both


def test_noise_is_on_every_past_frame():
    c = torch.zeros(4, 7, 64, 64)
    past = older_frames.Case(noise=0.3).past(c, torch.Generator().manual_seed(0))
    assert (past.std((2, 3)) - 0.3).abs().max() < 0.03 and not c.any()


def test_errors_of_older_frames_are_those_of_what_is_judged(patches):
    """Would catch errors of the whole patch in place of the square, a memory that sees more than it has, and a copy of a frame
    in which the place is hidden."""
    found = older_frames.measure({"third": Third()}, patches, [3.0])
    assert [record["shot"] for record in found] == list(dict.fromkeys(patches.clip))
    for record in found:
        own = patches.select(torch.tensor([clip == record["shot"] for clip in patches.clip]))
        errors = {(e["case"], e["network"], e["memory"]): e["squared_error"][0] for e in record["errors"]}
        clean = (own.c[:, -3:-2] - own.x).square()
        assert errors["noise 0", "third", 3] == errors["noise 0", "third", 7] == pytest.approx(clean.mean().item())
        assert errors["noise 0", "third", 2] == pytest.approx(own.x.square().mean().item())
        assert errors["noise 0.3", "third", 3] == pytest.approx(clean.mean().item() + 0.09, rel=0.05)
        shown, hidden = middle(clean).mean().item(), middle(own.x).square().mean().item()
        assert errors["hidden 2", "third", 3] == errors["hidden 1", "third", 7] == pytest.approx(shown)
        assert errors["hidden 2", "third", 2] == pytest.approx(hidden)
        assert errors["hidden 4", "third", 7] > shown  # a grey in its place
        assert errors["hidden 2", "copy", 3] <= shown * (1 + 1e-5)
        assert {(case[:5], name) for case, name, _ in errors} >= {("hidde", "copy"), ("noise", "mean")}
        assert not {("noise 0", "copy", 1), ("hidden 1", "mean", 1)} & set(errors)


def test_the_mean_of_frames_averages_their_noise(standing):
    """Would catch a mean of the oldest frames, of another number of them, or of frames without their noise."""
    found = older_frames.measure({"f": Last()}, standing, [1.0])
    errors = {(e["case"], e["network"], e["memory"]): e["squared_error"][0] for e in found[0]["errors"]}
    power = standing.x[:2].square().mean().item()  # of x, less what is left where a frame of zeros is the other part
    for m in (1, 7):
        v = 0.09 / m
        assert errors["noise 0.3", "mean", m] == pytest.approx(v * power / (v + power), rel=0.05)


LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "supplement/07b_natural_memory"}


class Mean(Third):
    """Answers with the mean of the past frames that are there, without the latest ones if others are there."""

    def __init__(self, skipped):
        self.skipped = skipped

    def __call__(self, y, c, sigma=None):
        there = c.abs().amax((2, 3), keepdim=True) > 0
        there[:, 7 - self.skipped :] &= ~there[:, : 7 - self.skipped].any(1, keepdim=True)
        return (c * there).sum(1, keepdim=True) / there.sum(1, keepdim=True).clamp_min(1)


class Last(Third):
    """Answers with the last past frame."""

    def __call__(self, y, c, sigma=None):
        return c[:, -1:]


@pytest.fixture(scope="module")
def standing():
    """Patches of video that stands still but for the next frame, which differs a little; of three shots."""
    draw = torch.Generator().manual_seed(0)
    c = torch.rand(6, 1, 64, 64, generator=draw).repeat(1, 7, 1, 1)
    x = c[:, -1:] + 0.01 * torch.randn(6, 1, 64, 64, generator=draw)
    return Patches(c, x, [name for name in "abc" for _ in "12"], torch.zeros(6, 3), torch.zeros(6))


@pytest.mark.parametrize(
    ("claim", "case", "able"),
    [("memory.natural-noise", "noise 0.3", Mean(0)), ("memory.natural-hidden", "hidden 2", Mean(2))],
)
def test_claims_about_older_frames_can_fail(standing, claim, case, able):
    """Would catch a gain that is found where older frames are not looked at, and one that is missed where they are."""
    assert set(BOUNDS) == {"memory.natural-noise", "memory.natural-hidden"}
    verdicts = []
    for f in (able, Last()):
        records = older_frames.measure({"f": f}, standing, [1.0])
        errors = [
            {(e["case"], e["memory"]): e["squared_error"][0] for e in r["errors"] if e["network"] == "f"}
            for r in records
        ]
        gain = margins.psnr([e[case, 7] for e in errors]) - margins.psnr([e[case, 2] for e in errors])
        verdicts.append(claims.decide(estimates.mean_interval(gain), BOUNDS[claim]))
    assert verdicts == ["holds", "fails"]


@pytest.fixture
def still(tmp_path):
    """Two shots: one that stands still, of a size that no step divides, and one that jumps."""
    draw = np.random.default_rng(0)
    frames = {"still": np.repeat(draw.integers(0, 255, (1, 50, 68)), 9, 0), "jumps": draw.integers(0, 255, (9, 48, 64))}
    np.savez(tmp_path / "shots.npz", **{name: v.astype(np.uint8) for name, v in frames.items()})
    return Clips(memory=3, source=str(tmp_path / "shots.npz"), split="test", test=("still", "jumps"))


class Seen:
    """Answers with the last frame that it is shown, and remembers of what size that was."""

    memory, needs_sigma = 2, False
    sizes = ()

    def __call__(self, y, c, sigma=None):
        self.sizes = (*self.sizes, tuple(c.shape[1:]))
        return c[:, -1:]


def test_predictions_are_judged_shot_by_shot(still):
    """Would catch frames that networks cannot take, shots that are mixed, and a truth that is shown as the past."""
    f = Seen()
    method = Method("copy", "classical", lambda y, c, sigma=None: c[:, -1:])
    networks = {"M = 2": f, natural.REGRESSION: f}
    rows = predictions.measure(still, {"copy": method}, networks, 3, 2, progress=False)
    by_name = {(row["shot"], row["method"]): row for row in rows}
    assert {shot for shot, _ in by_name} == {"still", "jumps"} and len(rows) == 8
    same = by_name["still", "copy"]
    assert (same["psnr"], same["ssim"], same["sharpness"], same["error"], same["frames"]) == (60, 1, 1, 0, 3)
    assert set(f.sizes) == {(2, 48, 64)}
    other = by_name["jumps", predictions.NATURAL_REGRESSION]
    _, c, x = next(s for s in predictions.spread_frames(still, 3) if s[0] == "jumps")
    psnr, ssim = likeness(c[:, -1:], x)
    assert other["psnr"] == pytest.approx(psnr.mean(), abs=1e-3) and other["ssim"] == pytest.approx(
        ssim.mean(), abs=1e-4
    )
    assert other["error"] == pytest.approx((c[:, -1:] - x).square().mean().item(), rel=1e-3)


def test_frames_are_spread_over_a_shot(still):
    """Would catch frames whose past is not that before them."""
    shots = {name: (c, x) for name, c, x in predictions.spread_frames(still, 3)}
    c, x = shots["jumps"]
    whole = torch.from_numpy(still.clips()["jumps"].frames[:]).float().div(255)
    assert torch.equal(x[:, 0], whole[[3, 5, 8]]) and torch.equal(c[1], whole[2:5])
    assert all(len(c) == 6 for _, c, _ in predictions.spread_frames(still, 100))
    with pytest.raises(ValueError, match="the memory of the world"):
        predictions.measure(replace(still, memory=2), {}, {}, 1, 1, progress=False)
