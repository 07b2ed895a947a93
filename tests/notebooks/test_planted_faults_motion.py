"""Faults planted where chapter 8 measures: the claims that they should break do not come out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.denoisers.baselines import copy
from scorevid.studies import motion
from scorevid.worlds.futures import Futures
from scorevid.worlds.motion.digits import Digits

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "08_motion"}
N, S, SEED = 80, 12, 3


@dataclass(frozen=True)
class Planted(motion.Method):
    """A method that answers with frames made from the law: ``make`` (futures, samples, generator) -> (B, S, H, W)."""

    make: object = None

    def answers(self, c, n_samples, generator):
        """What is planted, on the scenes of the measurement."""
        _, ahead = motion.open_scenes("turns", N, SEED)
        return self.make(ahead, n_samples, generator)


def drawn(ahead: Futures, n: int, generator, temper: float = 1.0):
    chosen = torch.multinomial(ahead.probabilities**temper, n, replacement=True, generator=generator)
    return ahead.frames[torch.arange(len(ahead))[:, None], chosen]


def measured(make):
    return motion.open_statistics(Planted("planted", "sampled", copy, make=make), "turns", N, S, SEED)


def decide(found, name, claim):
    return claims.decide(found[name], BOUNDS[f"motion.turns.{claim}"])


def test_every_claim_of_the_chapter_is_planted_against():
    kinds = ("turns.slope", "turns.blends", "turns.scene-error", "deterministic", "bending", "camera")
    assert set(BOUNDS) == {f"motion.{kind}" for kind in (*kinds, "energy.turns", "energy.digits")}


@pytest.fixture(scope="module")
def right():
    return measured(drawn)


def test_draws_from_the_law_are_right(right):
    assert decide(right, "blends", "blends") == "holds" and right["blends"] == [0, 0, 0]
    assert decide(right, "slope", "slope") != "fails" and right["slope"][0] == pytest.approx(1, abs=0.1)
    assert decide(right, "error", "scene-error") != "fails"
    assert right["energy"][0] == pytest.approx(right["energy_law"][0], rel=0.05)
    assert right["crps"][0] == pytest.approx(right["crps_law"][0], rel=0.05)
    assert right["sharpness"][0] == pytest.approx(1, abs=0.05)
    assert claims.decide(right["unanimous"], BOUNDS["motion.deterministic"]) == "fails"


def test_choices_that_are_too_sure_have_another_slope_and_a_worse_score(right):
    found = measured(lambda ahead, n, generator: drawn(ahead, n, generator, temper=2.0))
    assert decide(found, "slope", "slope") == "fails" and decide(found, "error", "scene-error") == "fails"
    gap = estimates.mean_interval(np.array(found["energies"]) - np.array(right["energies"]))
    assert claims.decide(gap, BOUNDS["motion.energy.turns"]) == "fails"
    assert claims.decide([-v for v in (gap.value, gap.high, gap.low)], BOUNDS["motion.energy.turns"]) == "holds"


def test_one_mean_is_a_blend_and_always_the_same():
    found = measured(lambda ahead, n, generator: ahead.mean().expand(-1, n, -1, -1))
    assert decide(found, "blends", "blends") == decide(found, "slope", "slope") == "fails"
    assert claims.decide(found["unanimous"], BOUNDS["motion.deterministic"]) == "holds"
    assert found["sharpness"][0] < 0.7


def test_true_frames_have_no_error_where_the_past_decides_and_a_copy_has():
    errors = {}
    for world in motion.DECIDED:
        _, x, where = motion.decided_scenes(world, 20, SEED)
        assert where.flatten(1).any(1).all()

        class Truth(motion.Method):
            def answers(self, c, n_samples, generator, x=x, where=where):
                return torch.where(where, x, 0.0).expand(-1, n_samples, -1, -1)  # wrong where nothing is determined

        for method in (Truth("truth", "sampled", copy), motion.Method("copy", "classical", copy)):
            errors[method.label] = motion.decided_statistics(method, world, 20, 2, SEED)["errors"]
        ratio = motion.paired_ratio(errors["truth"], errors["copy"])
        assert claims.decide(ratio, BOUNDS[f"motion.{world}"]) == "holds" and ratio.value == 0
        same = motion.paired_ratio(errors["copy"], errors["copy"])
        assert claims.decide(same, BOUNDS[f"motion.{world}"]) == "fails"


def test_films_of_copies_lose_what_moves():
    found = motion.film_statistics(motion.Method("copy", "classical", copy), "bending", 8, 4, SEED)
    psnr = [value for value, *_ in found["psnr"]]
    assert psnr == sorted(psnr, reverse=True) and psnr[0] < 40
    assert found["sharpness"][0][0] == pytest.approx(1, abs=0.2)


def test_films_of_digits_show_images_that_training_has_not(monkeypatch):
    """A network that knows its images by heart would otherwise look better than it is."""
    video, unseen = Digits.video, []

    def noted(world, *given, test=False):
        unseen.append(test)
        return video(world, *given, test=test)

    monkeypatch.setattr(Digits, "video", noted)
    motion.film_statistics(motion.Method("copy", "classical", copy), "digits", 3, 2, SEED)
    assert unseen == [True]


def test_only_worlds_of_the_right_kind_are_measured():
    with pytest.raises(ValueError, match="world must be one of turns, digits"):
        motion.open_scenes("camera", 2, 0)
    with pytest.raises(ValueError, match="world must be one of bending, camera"):
        motion.decided_scenes("turns", 2, 0)
