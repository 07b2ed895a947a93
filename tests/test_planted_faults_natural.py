"""Faults planted where chapter 5 measures: the claims they should break do not come out."""

from pathlib import Path

import pytest
import torch
import yaml

from scorevid import claims, natural
from scorevid.worlds.clips import Clips

LEDGER = yaml.safe_load((Path(__file__).parent.parent / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claims.Bound.parse(claim["bound"]) for claim in LEDGER}
OTHERS = [name for name in natural.BASELINES if name != "motion compensation"]
WORLD, SIGMAS = Clips(memory=3, split="test"), (0.05, 0.5)


@pytest.fixture(scope="module")
def networks():
    return natural.load_networks()


def verdicts(networks, **planted):
    records = natural.measure(WORLD, networks | planted, dict.fromkeys(natural.BASELINES, 0.01), SIGMAS, most=4)
    psnr = {m: natural.decibels(records, f"M = {m}")[:, SIGMAS.index(0.5)] for m in (0, 1, 2)}
    measures = {
        "natural.memory-gain-db": claims.mean_interval(psnr[2] - psnr[0]),
        "natural.second-frame-db": claims.mean_interval(psnr[2] - psnr[1]),
        "natural.beats-others": natural.least_margin(records, SIGMAS, 0.05, 1, OTHERS),
    }
    return {name: BOUNDS[name].verdict(m[0], m[1:]) for name, m in measures.items()}


def test_nothing_breaks_with_the_networks_as_published(networks):
    assert verdicts(networks)["natural.memory-gain-db"] == "holds"


def test_a_network_without_a_past_in_place_of_one_with_two_frames_is_seen(networks):
    found = verdicts(networks, **{"M = 2": networks["M = 0"]})
    assert found["natural.memory-gain-db"] == "fails" and found["natural.second-frame-db"] != "holds"


def test_the_last_frame_in_place_of_a_network_is_seen(networks):
    found = verdicts(networks, **{"M = 2": lambda y, c: c[:, -1:]})
    assert found["natural.memory-gain-db"] != "holds" and found["natural.beats-others"] != "holds"


def test_the_noisy_frame_in_place_of_a_network_is_seen(networks):
    found = verdicts(networks, **{"M = 2": lambda y, c: y})
    assert set(found.values()).isdisjoint({"holds"})


def test_noise_on_the_parameters_is_seen(networks):
    generator, damaged = torch.Generator().manual_seed(0), natural.load_networks()["M = 2"]
    for p in damaged.parameters():
        p += 0.2 * p.std() * torch.randn(p.shape, generator=generator)
    assert verdicts(networks, **{"M = 2": damaged})["natural.beats-others"] != "holds"
