"""Effective dimension and overlap, on denoisers whose spectrum is known."""

import math
from functools import partial

import pytest
import torch

from scorevid.denoisers.wiener import Wiener
from scorevid.measures.linear_weights import jacobian
from scorevid.measures.spectra import effective_dimension, overlap, spectrum
from scorevid.worlds.gaussian import Gaussian


def projection(rank, n=36, seed=0):
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return q[:, :rank] @ q[:, :rank].T


def test_a_projection_has_its_rank():
    found = spectrum(projection(7))
    assert found.dimension() == pytest.approx(7) and found.rank() == 7
    torch.testing.assert_close(found.values, (torch.arange(36) < 7).double())


def test_overlap_of_the_same_of_part_and_of_random_subspaces():
    a, part, other = spectrum(projection(8)), spectrum(projection(4)), spectrum(projection(8, seed=1))
    assert overlap(a, a) == pytest.approx(1)
    assert overlap(part, a, 8) < 1  # four directions more are no one's
    assert overlap(part, part) == pytest.approx(1)
    chance = [overlap(spectrum(projection(8, seed=k)), other) for k in range(2, 22)]
    assert sum(chance) / 20 == pytest.approx(8 / 36, abs=0.03)


def test_the_estimate_is_the_sum_of_squares_of_wieners_gains():
    world = Gaussian(size=16)
    c, x = (v.double() for v in world.draw(3, torch.Generator().manual_seed(0)))
    for sigma in (0.05, 0.5):
        exact = Wiener(world).gains(sigma)[-1].abs().square().sum().item()
        f = partial(Wiener(world), sigma=sigma)
        found = effective_dimension(f, x, c, torch.Generator().manual_seed(1), probes=64)
        assert found.mean().item() == pytest.approx(exact, rel=4 * math.sqrt(2 / (exact * 3 * 64)))
        assert spectrum(jacobian(f, x[:1], c[:1])[0]).dimension() == pytest.approx(exact)


def test_the_less_noise_the_more_is_kept():
    world = Gaussian(size=12)
    c, x = (v.double() for v in world.draw(1, torch.Generator().manual_seed(0)))
    kept = [spectrum(jacobian(partial(Wiener(world), sigma=s), x, c)[0]).dimension() for s in (0.01, 0.1, 1.0)]
    assert kept == sorted(kept, reverse=True) and kept[0] <= 144


def test_what_is_no_spectrum_is_refused():
    with pytest.raises(ValueError, match="finite matrix"):
        spectrum(torch.zeros(3, 4))
    with pytest.raises(ValueError, match="finite matrix"):
        spectrum(torch.full((3, 3), math.nan))
    a = spectrum(torch.eye(4))
    with pytest.raises(ValueError, match="one size"):
        overlap(a, spectrum(torch.eye(3)))
    with pytest.raises(ValueError, match="k within 1 and 4"):
        overlap(a, a, 5)
    with pytest.raises(ValueError, match="probes"):
        effective_dimension(lambda y, c: y, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.Generator(), 0)
