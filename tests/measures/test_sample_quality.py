"""Sharpness and diversity where the future is undecided: the truth, its mean, and samplers that go wrong."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from scorevid.estimates import ratio_interval
from scorevid.measures.sample_quality import boundary, gradient_energy, pairwise_distance, sharpness
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

N, S = 24, 200


@pytest.fixture(scope="module")
def ahead():
    return undecided_meetings(Leaves(), N, torch.Generator().manual_seed(0), probability=torch.linspace(0.2, 0.8, N))[1]


@pytest.fixture(scope="module")
def samples(ahead):
    chosen = torch.multinomial(ahead.probabilities, S, True, generator=torch.Generator().manual_seed(1))
    return ahead.frames[torch.arange(N)[:, None], chosen]


def diversity(x_hat, futures):
    seen, due = pairwise_distance(x_hat, futures)
    return float(seen.sum() / due.sum())


def test_the_boundary_is_where_gradients_can_differ(ahead):
    frames = torch.zeros(1, 3, 6, 7)
    frames[0, 1, 2, 3] = frames[0, 2, 5, 6] = 1  # the third is impossible
    dilated = torch.zeros(1, 6, 7, dtype=torch.bool)
    dilated[0, 1:4, 2:5] = True
    assert torch.equal(boundary(Futures(frames, torch.tensor([[0.5, 0.5, 0.0]]))), dilated)
    assert not boundary(Futures(frames, torch.tensor([[1.0, 0.0, 0.0]]))).any()
    energies = gradient_energy(ahead.frames, ~boundary(ahead))
    torch.testing.assert_close(energies[:, 0], energies[:, 1], rtol=1e-3, atol=1e-6)


def test_gradient_energy_by_hand():
    x = torch.tensor([[1.0, 3.0], [2.0, 7.0]])[None, None]
    where = torch.tensor([[[True, False], [False, False]], [[False, True], [True, True]]])
    x = torch.cat([x, -2 * x], 1).expand(2, 2, 2, 2)
    # gradients (right, down): (2, 1), (0, 4), (5, 0), (0, 0)
    torch.testing.assert_close(gradient_energy(x, where), torch.tensor([[5.0, 20.0], [41 / 3, 4 * 41 / 3]]))


def test_the_truth_is_sharp_and_diverse(ahead, samples):
    ratio = sharpness(samples, ahead)
    assert ratio.shape == (N, S)
    torch.testing.assert_close((ahead.probabilities * sharpness(ahead.frames, ahead)).sum(1), torch.ones(N))
    error = ratio.std(1).square().mean().div(N * S).sqrt()  # of the mean over all, given the scenes
    assert abs(ratio.mean() - 1) < 4 * error
    seen, due = pairwise_distance(samples, ahead)
    torch.testing.assert_close(due, 2 * ahead.ambiguity(), rtol=1e-4, atol=0)
    value, low, high = ratio_interval(seen, due)
    assert low <= value <= high
    assert value == pytest.approx(1, abs=0.03)
    few = [diversity(pair, ahead) for pair in samples.split(2, 1)]  # unbiased for two samples as well
    assert sum(few) / len(few) == pytest.approx(1, abs=0.06)


def test_spread_is_the_mean_over_pairs(ahead, samples):
    x = samples[:, :5] + 0.1 * torch.randn(N, 5, 32, 32, generator=torch.Generator().manual_seed(2))
    squares = ((x[:, :, None] - x[:, None]).square() * ahead.where()[:, None]).sum((3, 4))
    torch.testing.assert_close(pairwise_distance(x, ahead)[0], squares.sum((1, 2)) / 20)


def test_the_mean_is_neither_sharp_nor_diverse(ahead):
    mean = ahead.mean().expand(-1, 4, -1, -1)
    assert (sharpness(mean, ahead) < 1).all()
    assert diversity(mean, ahead) < 1e-6


def test_a_collapsed_sampler_is_sharp_but_not_diverse(ahead):
    likelier = ahead.frames[torch.arange(N), ahead.probabilities.argmax(1)][:, None].expand(-1, 4, -1, -1)
    ratio = sharpness(likelier, ahead)
    own = sharpness(ahead.frames, ahead).gather(1, ahead.probabilities.argmax(1, keepdim=True))
    torch.testing.assert_close(ratio, own.expand(-1, 4))
    assert ratio.mean() == pytest.approx(1, abs=0.1) and ratio.mean() > sharpness(ahead.mean(), ahead).mean()
    assert diversity(likelier, ahead) < 1e-6


def test_blur_lowers_and_noise_raises(ahead, samples):
    x = samples[:, :8]
    blurred = functional.avg_pool2d(x, 7, 1, 3, count_include_pad=False)
    assert sharpness(blurred, ahead).mean() < 0.3 and diversity(blurred, ahead) < diversity(x, ahead)
    noisy = x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    assert (sharpness(noisy, ahead).mean(1) > 1).all() and diversity(noisy, ahead) > diversity(x, ahead)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(2, 5), st.integers(2, 9), st.integers(2, 9))
def test_the_mean_is_at_most_as_sharp_as_the_futures(seed, batch, k, height, width):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, k, height, width, generator=generator, dtype=torch.float64)
    p = torch.rand(batch, k, generator=generator, dtype=torch.float64) + 0.01
    p[:, 2:] *= torch.rand(batch, k - 2, generator=generator) < 0.7  # some are impossible
    ahead = Futures(frames, p / p.sum(1, keepdim=True))
    assert (sharpness(ahead.mean(), ahead) <= 1 + 1e-12).all()


def test_bad_input_raises(ahead, samples):
    x, where = samples[:, :2], boundary(ahead)
    for bad in (x[:-1], x[0], x[..., :-1], x.long()):
        for measure in (pairwise_distance, sharpness):
            with pytest.raises(ValueError, match="x_hat must"):
                measure(bad, ahead)
    with pytest.raises(ValueError, match="x_hat must hold 2 samples"):
        pairwise_distance(x[:, :1], ahead)
    certain = Futures(ahead.frames, torch.tensor([[1.0, 0.0]] * N))
    assert not pairwise_distance(x, certain)[1].any()
    with pytest.raises(ValueError, match="futures that differ, 24 of 24"):
        sharpness(x, certain)
    flat = Futures(torch.tensor([0.0, 1.0])[None, :, None, None].expand(N, 2, 32, 32), ahead.probabilities)
    with pytest.raises(ValueError, match="gradient where they differ, 24 of 24"):
        sharpness(x, flat)
    for frames, mask in ((x[0], where), (x.long(), where), (x, where[:, None]), (x, where.float()), (x, where & False)):
        with pytest.raises(ValueError, match="must"):
            gradient_energy(frames, mask)
