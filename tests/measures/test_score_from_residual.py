"""Residual and score, Jacobian and covariance, on a denoiser for which both are known."""

import math
from functools import partial

import pytest
import torch

from scorevid.denoisers.exact import Oracle
from scorevid.measures.errors import apply_batched
from scorevid.measures.linear_weights import jacobian, rows
from scorevid.measures.score_from_residual import (
    cosine,
    covariance_product,
    jacobian_shape,
    jvp,
    relative_error,
    residual,
    score,
    vjp,
)
from scorevid.measures.spectra import effective_dimension
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.world import Leaves


def problem(sigma, batch=5):
    generator = torch.Generator().manual_seed(0)
    scene = Leaves(size=16, n_disks=2, radius=(2.0, 4.0)).meetings(batch, generator)
    y = scene.next_frame() + sigma * torch.randn(scene.next_frame().shape, generator=generator)
    return y.double(), scene.past().double(), futures(scene).to(torch.float64)


@pytest.mark.parametrize("sigma", [0.1, 1.0, torch.tensor([0.1, 0.3, 1.0, 3.0, 10.0], dtype=torch.float64)])
def test_the_residual_is_the_score(sigma):
    y, c, ahead = problem(0.5)
    oracle = Oracle(ahead)
    torch.testing.assert_close(score(oracle, y, c, sigma), oracle.score(y, c, sigma), rtol=1e-9, atol=1e-9)


class NeedsSigma:
    """f(y, c, sigma) = (1 − σ) y, which is another denoiser at every level."""

    needs_sigma = True

    def __call__(self, y, c, sigma):
        return (1 - torch.as_tensor(sigma).reshape(-1, 1, 1, 1)) * y


def test_a_denoiser_that_needs_sigma_is_given_it_by_every_measure():
    """Catches a measure that calls f(y, c), or with another level."""
    f, generator = NeedsSigma(), torch.Generator().manual_seed(0)
    y, v = torch.rand(2, 3, 1, 4, 4, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(residual(f, y, y, 0.25), -0.25 * y)
    torch.testing.assert_close(score(f, y, y, 0.25), -4 * y)
    for product in (jvp, vjp):
        torch.testing.assert_close(product(f, y, y, v, 0.25), 0.75 * v)
    torch.testing.assert_close(covariance_product(f, y, y, v, 0.5), 0.125 * v)
    shape = jacobian_shape(f, y, y, generator, sigma=0.25)
    torch.testing.assert_close(shape.greatest, torch.full((3,), 0.75, dtype=torch.float64))
    torch.testing.assert_close(
        effective_dimension(f, y, y, generator, 400, sigma=0.5) / 16, shape.least / 3, rtol=0.1, atol=0
    )
    torch.testing.assert_close(rows(f, y, y, [(1, 1)], 0.25).on_y[0, 0, 1, 1].item(), 0.75)
    torch.testing.assert_close(jacobian(f, y[:1], y[:1], sigma=0.25)[0], 0.75 * torch.eye(16, dtype=torch.float64))
    torch.testing.assert_close(apply_batched(f, y, y, 0.25, batch=2), 0.75 * y)
    with pytest.raises(ValueError, match="needs the noise level"):
        residual(f, y, y)


def test_errors_of_a_residual():
    d = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(relative_error(1.5 * d, d), torch.full((3,), 0.25, dtype=torch.float64))
    torch.testing.assert_close(cosine(-2 * d, d), -torch.ones(3, dtype=torch.float64))
    other = torch.randn(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = [torch.dot(a.flatten(), b.flatten()) / (a.norm() * b.norm()) for a, b in zip(d, other, strict=True)]
    torch.testing.assert_close(cosine(d, other), torch.stack(expected))
    torch.testing.assert_close(cosine(1e-12 * d, other), torch.stack(expected))


def test_the_jacobian_is_the_covariance():
    """σ² J_y v = Cov[x | y, c] v, and J_y is symmetric."""
    sigma = torch.tensor([0.1, 0.3, 0.5, 1.0, 3.0], dtype=torch.float64)
    y, c, ahead = problem(0.5)
    f = partial(Oracle(ahead), sigma=sigma)
    v = torch.randn(y.shape, dtype=y.dtype, generator=torch.Generator().manual_seed(1))
    cov = Oracle(ahead).posterior_covariance(y, c, sigma)
    torch.testing.assert_close(covariance_product(f, y, c, v, sigma), cov.product(v), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(jvp(f, y, c, v), vjp(f, y, c, v), rtol=1e-6, atol=1e-9)


def test_jvp_and_vjp_are_told_apart():
    matrix = torch.randn(9, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    v, y = torch.randn(2, 4, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def f(y, c):
        return (y.flatten(1) @ matrix.T).reshape(y.shape) + c.sum()

    torch.testing.assert_close(jvp(f, y, y, v).flatten(1), v.flatten(1) @ matrix.T)
    torch.testing.assert_close(vjp(f, y, y, v).flatten(1), v.flatten(1) @ matrix)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan, math.inf, torch.ones(2)])
def test_a_noise_level_that_is_none_is_refused(sigma):
    y = torch.rand(3, 1, 4, 4)
    for measure in (score, lambda f, *given: covariance_product(f, y, *given)):
        with pytest.raises(ValueError, match="sigma"):
            measure(lambda y, c: y, y, y, sigma)


def test_the_shape_of_a_jacobian_is_that_of_the_whole_matrix():
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(16, 16, dtype=torch.float64, generator=generator)

    def f(y, c):
        return (y.flatten(1) @ matrix.T).reshape(y.shape)

    y = torch.rand(3, 1, 4, 4, dtype=torch.float64, generator=generator)
    shape = jacobian_shape(f, y, y, generator, steps=16, probes=400)
    symmetric, rest = (matrix + matrix.T) / 2, (matrix - matrix.T) / 2
    values, vectors = torch.linalg.eigh(symmetric)
    torch.testing.assert_close(shape.least, values[0].expand(3))
    torch.testing.assert_close(shape.greatest, values[-1].expand(3))
    torch.testing.assert_close((shape.leading.flatten(1) @ vectors[:, -1]).abs(), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(shape.asymmetry, (rest.norm() / symmetric.norm()).expand(3), rtol=0.05, atol=0)


def test_the_jacobian_of_an_optimal_denoiser_has_the_shape_of_a_covariance():
    y, c, ahead = problem(0.5)
    cov = Oracle(ahead).posterior_covariance(y, c, 0.5)
    shape = jacobian_shape(partial(Oracle(ahead), sigma=0.5), y, c, torch.Generator().manual_seed(0))
    values, vectors = torch.linalg.eigh(cov.matrix())
    torch.testing.assert_close(0.25 * shape.greatest, values[:, -1], rtol=1e-6, atol=1e-12)
    decided = values[:, -1] > 1e-6
    assert decided.any()
    along = (shape.leading.flatten(1) * vectors[:, :, -1]).sum(1).abs()
    torch.testing.assert_close(along[decided], torch.ones_like(along)[decided])
    assert (shape.least > -1e-9).all()
    assert (shape.asymmetry[decided] < 1e-6).all()
    with pytest.raises(ValueError, match="steps"):
        jacobian_shape(partial(Oracle(ahead), sigma=0.5), y, c, torch.Generator(), steps=1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [2, 12, 16])
def test_a_spectrum_of_few_values_is_not_made_up_for(dtype, steps):
    """A multiple of the identity, a rank more, and nothing: an exhausted Krylov space must not invent eigenvalues."""
    generator = torch.Generator().manual_seed(3)
    y = torch.rand(3, 1, 4, 4, dtype=dtype, generator=generator)
    u = torch.nn.functional.normalize(torch.randn(16, dtype=dtype, generator=generator), dim=0)
    for a, b in ((2.0, 0.0), (0.5, 1.0), (0.0, 3.0), (0.0, 0.0)):

        def f(y, c, a=a, b=b):
            v = y.flatten(1)
            return (a * v + b * (v @ u)[:, None] * u).reshape(y.shape)

        shape = jacobian_shape(f, y, y, generator, steps=steps)
        close = {"rtol": 0, "atol": 1e-4}
        torch.testing.assert_close(shape.greatest, torch.full((3,), a + b, dtype=dtype), **close)
        torch.testing.assert_close(shape.least, torch.full((3,), a, dtype=dtype), **close)
        assert shape.asymmetry.max() < 1e-3
        if b:
            along = (shape.leading.flatten(1) @ u).abs()
            torch.testing.assert_close(along, torch.ones(3, dtype=dtype), **close)


def test_single_precision_serves_for_the_shape_of_an_oracle():
    y, c, ahead = problem(1.0, batch=20)
    single = partial(Oracle(ahead.to(torch.float32)), sigma=1.0)
    shape = jacobian_shape(single, y.float(), c.float(), torch.Generator().manual_seed(0), steps=30)
    exact = Oracle(ahead).posterior_covariance(y, c, 1.0).matrix()
    exact = torch.linalg.eigvalsh(exact)[:, -1].float()
    torch.testing.assert_close(shape.greatest, exact, rtol=1e-3, atol=1e-5)
