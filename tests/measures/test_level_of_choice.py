"""When samples choose, on trajectories that are known."""

import math

import numpy as np
import pytest
import torch

from scorevid.denoisers.exact import Oracle
from scorevid.measures.level_of_choice import Trajectories, trace_choice
from scorevid.noise.prior import NoisePrior
from scorevid.sampling import Churn, Ladder, Multistep
from scorevid.studies import ASCENT
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

MULTISTEP = Multistep(Ladder(4.0, steps=30), beta=0.5)


def trajectories(probability, level=None, blends=0):
    probability = torch.tensor(probability, dtype=torch.float32).T
    level = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25])[:, None].expand_as(probability) if level is None else level
    return Trajectories(probability, level, blends)


def test_the_level_of_choice_is_the_last_open_one():
    found = trajectories(
        [[0.5, 0.6, 0.7, 0.99, 1], [0.5, 0.95, 0.6, 0.8, 0.99], [0.9, 0.95, 1, 1, 1], [0.5, 0.5, 0.5, 0.5, 0.5]]
    )
    assert found.levels_of_choice().tolist() == [1.0, 0.5, 0.25]  # the third was never open


def test_quartiles_are_taken_between_levels():
    found = trajectories([[0.1, 0.2, 0.3, 0.4, 0.5], [0.2, 0.3, 0.4, 0.5, 0.6], [0.3, 0.4, 0.5, 0.6, 0.7]])
    low, median, high = found.quartiles([0.4, 0.8, 4.5, 8.0])
    assert median[0] == pytest.approx(0.5) and low[0] == pytest.approx(0.45) and high[0] == pytest.approx(0.55)
    assert median[1] == pytest.approx(np.median([0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.3, 0.4, 0.5]))
    assert np.isnan(median[2])


@pytest.mark.parametrize("sampler", [MULTISTEP, ASCENT], ids=["multistep", "ascent"])
def test_with_the_exact_denoiser_the_choice_is_made_around_half_the_distance(sampler):
    generator = torch.Generator().manual_seed(0)
    scenes, ahead = undecided_meetings(Leaves(), 100, generator, probability=[0.5] * 100)
    c = scenes.past()
    oracle = Oracle(ahead, prior=NoisePrior(0.005, 100.0), past=c)
    found = trace_choice(oracle, c, ahead, sampler, generator=generator)
    assert found.blends == 0 and found.probability.shape[1] == 100
    assert sampler != MULTISTEP or len(found.probability) == 31
    assert found.probability[0].mean().item() == pytest.approx(0.5, abs=0.15)
    assert all(one[one.isfinite()][-1] > 0.999 for one in found.probability.T)  # the ascent has no end for all
    assert found.levels_of_choice().mul(2).log2().median().item() == pytest.approx(0, abs=1)
    # theory: the median at σ = D/2 is logistic(2)
    median = found.quartiles([0.4, 0.6])[1, 0]
    assert median == pytest.approx(1 / (1 + math.exp(-2)), abs=0.08)


def test_blends_make_no_choice():
    generator = torch.Generator().manual_seed(0)
    scenes, ahead = undecided_meetings(Leaves(), 10, generator, probability=[0.5] * 10)
    mean = ahead.mean()
    found = trace_choice(lambda y, c: mean.to(y), scenes.past(), ahead, MULTISTEP, generator=generator)
    assert found.blends == 10 and found.probability.shape == (31, 0) and not len(found.levels_of_choice())


def test_the_levels_are_those_of_the_frames():
    """A ladder that is bent, and noise added before each step: the level is what the frame has, not an even ladder's."""
    scenes, ahead = undecided_meetings(Leaves(), 3, torch.Generator().manual_seed(0), probability=[0.5] * 3)
    c, sampler = scenes.past(), Churn(Ladder(4.0, 0.01, 5, rho=7.0), gamma=0.5, level_from="ladder", centre=None)
    truth = ahead.frames[:, :1]
    noise = []
    sampler(
        lambda y, c: truth, c, generator=torch.Generator().manual_seed(1),
        callback=lambda t, y, d, sigma, active: noise.append(d.flatten(1).std(dim=1)),
    )  # fmt: skip
    found = trace_choice(lambda y, c: truth, c, ahead, sampler, generator=torch.Generator().manual_seed(1))
    distance = (ahead.frames[:, 0] - ahead.frames[:, 1]).flatten(1).norm(dim=1)
    torch.testing.assert_close(found.level * distance, torch.stack(noise), rtol=0.1, atol=0)
