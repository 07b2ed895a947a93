"""Faults planted where chapter 5 measures: the claims they should break do not come out."""

from pathlib import Path

import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.studies import natural, natural_margins
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.world import Clips

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER}
OTHERS = [name for name in natural.BASELINES if name != "motion compensation"]
WORLD, SIGMAS = Clips(memory=3, split="test"), (0.05, 0.5)


@pytest.fixture(scope="module")
def records():
    """One measurement of the networks as published and of what is planted in the place of "M = 2"."""
    networks, damaged = natural.load_networks(), natural.load_networks()["M = 2"]
    generator = torch.Generator().manual_seed(0)
    for p in damaged.parameters():
        p += 0.2 * p.std() * torch.randn(p.shape, generator=generator)
    planted = {"last frame": lambda y, c: c[:, -1:], "noisy frame": lambda y, c: y, "damaged": damaged}
    return natural.measure(WORLD, networks | planted, SIGMAS, frames=2)


def verdicts(records, name="M = 2"):
    """Verdicts by claim, with the network of that name taken for that of memory 2."""
    psnr = {k: natural_margins.decibels(records, k)[:, SIGMAS.index(0.5)] for k in ("M = 0", "M = 1", name)}
    measures = {
        "natural.memory-gain-db": estimates.mean_interval(psnr[name] - psnr["M = 0"]),
        "natural.second-frame-db": estimates.mean_interval(psnr[name] - psnr["M = 1"]),
        "natural.beats-others": natural_margins.least_margin(records, SIGMAS, 0.05, 1, OTHERS, name),
    }
    return {claim: claims.decide(m, BOUNDS[claim]) for claim, m in measures.items()}


def test_nothing_breaks_with_the_networks_as_published(records):
    assert verdicts(records)["natural.memory-gain-db"] == "holds"


def test_a_network_without_a_past_in_place_of_one_with_two_frames_is_seen(records):
    found = verdicts(records, "M = 0")
    assert found["natural.memory-gain-db"] == "fails" and found["natural.second-frame-db"] != "holds"


def test_the_last_frame_in_place_of_a_network_is_seen(records):
    assert verdicts(records, "last frame")["natural.beats-others"] != "holds"


def test_the_noisy_frame_in_place_of_a_network_is_seen(records):
    assert set(verdicts(records, "noisy frame").values()).isdisjoint({"holds"})


def test_noise_on_the_parameters_is_seen(records):
    assert verdicts(records, "damaged")["natural.beats-others"] != "holds"


@pytest.mark.parametrize("name", ["last frame", "noisy frame", "M = 0"])
def test_baselines_beat_what_is_no_better_than_they(records, name):
    for claim, range_of in {"natural.beats-baselines": (0, 1), "natural.beats-baselines.middle": (0.05, 0.2)}.items():
        margin = natural_margins.least_margin(records, SIGMAS, *range_of, of=name)
        assert claims.decide(margin, BOUNDS[claim]) != "holds" or name == "M = 0"
    margin = natural_margins.least_margin(records, SIGMAS, 0.05, 1, OTHERS, name, "denoised")
    assert claims.decide(margin, BOUNDS["natural.beats-mixtures"]) != "holds"


def test_samples_that_are_no_sharper_than_the_mean_are_seen():
    patches = held_out(WORLD, 6)
    sharp = natural.sharpness(lambda y, c: c[:, -1:], patches)
    sharper = estimates.mean_interval([s["samples"] - s["mean"] for s in sharp])
    assert claims.decide(sharper, BOUNDS["natural.sharper"]) != "holds"
