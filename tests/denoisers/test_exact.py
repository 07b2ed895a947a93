"""Closed-form denoisers, against autograd, scipy and brute force."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from scorevid.denoisers.exact import Oracle, optimum_and_score
from scorevid.noise.corruptions import CORRUPTIONS, corrupt, log_likelihood
from scorevid.noise.prior import LAWS, NoisePrior
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.next_frames import futures as leaves_futures
from scorevid.worlds.leaves.world import Leaves

SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)


def problem(sigma, batch=4, count=3, size=(5, 6), seed=0, dtype=torch.float64):
    """Random futures, the last of scene 0 padding, and a noisy observation of one of each; y, c, futures."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, count, *size, generator=generator, dtype=torch.float64)
    # near one another, so that there is something to decide at small σ too
    frames = frames[:, :1] + (frames - frames[:, :1]) * min(1.0, 2 * sigma)
    p = torch.rand(batch, count, generator=generator, dtype=torch.float64) + 0.2
    p[0, -1] = 0
    ahead = Futures(frames, p / p.sum(1, keepdim=True)).to(dtype)
    y = frames[:, :1] + sigma * torch.randn(batch, 1, *size, generator=generator, dtype=torch.float64)
    return y.to(dtype), torch.zeros(batch, 2, *size, dtype=dtype), ahead


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_is_the_gradient_of_the_log_density(sigma):
    y, c, ahead = problem(sigma)
    y.requires_grad_()
    (gradient,) = torch.autograd.grad(Oracle(ahead).log_density(y, c, sigma).sum(), y)
    assert relative(Oracle(ahead).score(y, c, sigma), gradient) < 1e-6
    # and the residual of the denoiser is σ² times it, where the difference of two nearly equal frames allows
    d = Oracle(ahead)(y, c, sigma) - y
    assert relative(d / sigma**2, gradient) < 1e-6


@pytest.mark.parametrize("sigma", SIGMAS)
def test_log_density_and_responsibilities_are_those_of_scipy(sigma):
    y, c, ahead = problem(sigma)
    n = y[0].numel()
    each = np.stack(
        [
            [stats.multivariate_normal.logpdf(v.ravel(), m.ravel(), sigma**2 * np.eye(n)) for m in frames]
            for v, frames in zip(y.numpy(), ahead.frames.numpy(), strict=True)
        ]
    )
    with np.errstate(divide="ignore"):
        joint = np.log(ahead.probabilities.numpy()) + each
    np.testing.assert_allclose(Oracle(ahead).log_density(y, c, sigma), special.logsumexp(joint, axis=1), rtol=1e-9)
    np.testing.assert_allclose(
        Oracle(ahead).responsibilities(y, c, sigma), special.softmax(joint, axis=1), rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_blind_is_the_average_over_the_noise_prior(law, sigma, law_density):
    """Against adaptive quadrature, well inside the prior and where its upper end cuts the posterior of σ."""
    for upper in (10.0, sigma):
        y, c, ahead = problem(sigma)
        nearest = (y - ahead.frames).square().sum((2, 3)).amin(1)

        def integrand(log_s, squares, offset, law=law, upper=upper):
            s = math.exp(log_s)
            return law_density(law, s, 0.01, upper) * math.exp(-30 * log_s - squares / (2 * s * s) - offset)

        offset = (-30 * math.log(sigma) - nearest / (2 * sigma**2)).tolist()
        ends = (math.log(0.01), math.log(upper))
        points = [p for p in (math.log(sigma) + x for x in (-1, -0.3, 0.3, 1)) if p < ends[1]]
        integrals = [
            [integrate.quad(integrand, *ends, (s.item(), o), points=points, epsrel=1e-11)[0] for s in row]
            for row, o in zip((y - ahead.frames).square().sum((2, 3)), offset, strict=True)
        ]
        joint = ahead.probabilities * torch.tensor(integrals, dtype=torch.float64)
        expected = joint.sum(1).log() + torch.tensor(offset, dtype=torch.float64) - 15 * math.log(2 * math.pi)
        tolerance = 1e-9 if upper == 10 and law != "peaked" else 1e-3  # the rule meets a cut or a bend, not a bump
        prior = NoisePrior(0.01, upper, law, (0.01, upper))
        density = Oracle(ahead, prior=prior).log_density(y, c)
        torch.testing.assert_close(density, expected, rtol=tolerance, atol=0)
        r = Oracle(ahead, prior=prior).responsibilities(y, c)
        torch.testing.assert_close(r, joint / joint.sum(1, keepdim=True), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
def test_the_blind_score_is_the_gradient_of_the_blind_log_density(law, sigma):
    y, c, ahead = problem(sigma)
    y.requires_grad_()
    prior = NoisePrior(0.01, 10.0, law)
    (gradient,) = torch.autograd.grad(Oracle(ahead, prior=prior).log_density(y, c).sum(), y)
    assert relative(Oracle(ahead, prior=prior).score(y, c), gradient) < 1e-6


def test_other_noise_is_not_taken_for_gaussian():
    _, _, ahead = problem(0.3)
    with pytest.raises(ValueError, match="laplace"):
        Oracle(ahead, prior=NoisePrior(corruption="laplace"))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_blindness_costs_nearly_nothing(sigma):
    """In a frame of 1,024 pixels σ can be read off y: told and blind denoisers agree where futures differ."""
    generator = torch.Generator().manual_seed(0)
    scene = Leaves(n_disks=2).meetings(100, generator)
    ahead = leaves_futures(scene)
    y = scene.next_frame() + sigma * torch.randn(scene.next_frame().shape, generator=generator)
    told = Oracle(ahead)(y, scene.past(), sigma)
    for law in LAWS:
        blind = Oracle(ahead, prior=NoisePrior(0.02, 10.0, law))(y, scene.past())
        assert ((blind - told).square().sum() / ahead.ambiguity().sum()).item() < 2e-3


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("blind", [False, True])
def test_single_precision_serves(sigma, blind):
    scene = Leaves(n_disks=3).meetings(20, torch.Generator().manual_seed(1))
    ahead, c = leaves_futures(scene), scene.past()
    z = torch.randn(20, 1, 32, 32, generator=torch.Generator().manual_seed(2))
    for y in (scene.next_frame() + sigma * z, scene.next_frame() + 3 * z):  # the noise it is told of, and some other
        single = Oracle(ahead, prior=NoisePrior(0.01, 100.0)) if blind else partial(Oracle(ahead), sigma=sigma)
        exact = ahead.to(torch.float64)
        double = Oracle(exact, prior=NoisePrior(0.01, 100.0)) if blind else partial(Oracle(exact), sigma=sigma)
        error = single(y, c) - double(y.double(), c)
        assert error.abs().max() < (1e-5 if sigma > 0.01 else 5e-3)
        torch.testing.assert_close(
            Oracle(ahead).log_density(y, c, sigma).double(),
            Oracle(exact).log_density(y.double(), c, sigma),
            rtol=1e-6,
            atol=2e-3,
        )


def test_without_noise_the_nearest_future_and_with_nothing_but_noise_the_mean():
    y, c, ahead = problem(1.0)
    near = (y - ahead.frames).square().sum((2, 3)).masked_fill(ahead.probabilities == 0, torch.inf).argmin(1)
    torch.testing.assert_close(Oracle(ahead)(y, c, 1e-3)[:, 0], ahead.frames[torch.arange(4), near])
    torch.testing.assert_close(Oracle(ahead)(y, c, 1e6), ahead.mean(), rtol=1e-9, atol=1e-9)


def test_its_squared_error_is_its_posterior_variance():
    """E‖x − E[x|y,c]‖² = E Tr Cov[x|y,c]: holds for the posterior mean and posterior of the true law only."""
    generator = torch.Generator().manual_seed(0)
    ahead = Futures(torch.rand(1, 3, 4, 4, generator=generator), torch.tensor([[0.6, 0.3, 0.1]])).repeat(20_000)
    x = ahead.draw(generator)
    y = x + 0.7 * torch.randn(x.shape, generator=generator)
    error = (x - Oracle(ahead)(y, y, 0.7)).square().sum((1, 2, 3))
    gap = error - Oracle(ahead).posterior_covariance(y, y, 0.7).trace()
    assert abs(gap.mean()) < 4 * gap.std() / math.sqrt(len(gap))
    assert error.mean() > 0.05


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 100.0])
def test_covariance_is_the_jacobian_of_the_denoiser(sigma):
    """σ² J_y = Cov[x | y, c], and its product and trace are those of the matrix."""
    y, c, ahead = problem(sigma)
    oracle, n = Oracle(ahead), y[0].numel()
    jacobian = (
        torch.autograd.functional.jacobian(lambda y: oracle(y, c, sigma).sum(0), y).reshape(n, 4, n).transpose(0, 1)
    )
    cov = oracle.posterior_covariance(y, c, sigma)
    assert relative(cov.matrix(), sigma**2 * jacobian) < 1e-6
    torch.testing.assert_close(cov.trace(), cov.matrix().diagonal(dim1=1, dim2=2).sum(1))
    v = torch.randn(4, 1, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(cov.product(v).flatten(1), (cov.matrix() @ v.flatten(1)[..., None])[..., 0])
    # scene 0 has two futures: rank one, along their difference, of variance r (1 − r) D²
    difference, r = (ahead.frames[0, 0] - ahead.frames[0, 1]).flatten(), oracle.responsibilities(y, c, sigma)[0, 0]
    torch.testing.assert_close(cov.matrix()[0], r * (1 - r) * difference.outer(difference), rtol=1e-6, atol=1e-12)


def test_oracles_find_scenes_by_their_past():
    y, _, ahead = problem(0.3)
    c = torch.rand(4, 2, 5, 6, dtype=torch.float64)
    rows = torch.tensor([2, 2, 0, 3, 1, 0])
    sigma = torch.tensor([0.1, 0.3, 0.5, 0.7])
    by_place, by_past = Oracle(ahead), Oracle(ahead, past=c)
    torch.testing.assert_close(by_past(y[rows], c[rows], sigma[rows]), by_place(y, c, sigma)[rows])
    by_place, by_past = (Oracle(ahead, prior=NoisePrior(0.01, 10), past=p) for p in (None, c))
    torch.testing.assert_close(by_past(y[rows], c[rows]), by_place(y, c)[rows])
    with pytest.raises(ValueError, match="1 of 2 rows"):
        by_past(y[:2], torch.stack([c[0], c[1] + 0.1]))
    with pytest.raises(ValueError, match="past=c"):
        by_place(y[rows], c[rows])


def test_futures_of_one_scene_serve_every_row():
    y, c, ahead = problem(0.3)
    one = ahead[1]
    together = Oracle(one)(y, c, 0.3)
    for i in range(4):
        torch.testing.assert_close(together[i : i + 1], Oracle(one)(y[i : i + 1], c[i : i + 1], 0.3))
    blind = Oracle(one, prior=NoisePrior(0.01, 10))(y, c)
    torch.testing.assert_close(blind[2:3], Oracle(one, prior=NoisePrior(0.01, 10))(y[2:3], c[2:3]))
    levels = torch.tensor([0.1, 0.2, 0.3, 0.4])
    torch.testing.assert_close(Oracle(one)(y, c, levels)[2:3], together[2:3])


@pytest.mark.parametrize("sigma", [0, -1.0, math.nan, math.inf, torch.tensor([1.0, 0.0, 1.0, 1.0]), torch.ones(3)])
def test_a_noise_level_that_is_none_is_refused(sigma):
    y, c, ahead = problem(0.3)
    with pytest.raises(ValueError, match="sigma"):
        Oracle(ahead)(y, c, sigma)
    with pytest.raises(ValueError, match="sigma"):
        Oracle(ahead).log_density(y, c, sigma)


def test_bad_input_is_refused():
    y, c, ahead = problem(0.3)
    f = partial(Oracle(ahead), sigma=0.3)
    for wrong, past, message in (
        (y[:, 0], c, r"y must be \(B, 1, 5, 6\)"),
        (y[..., 1:], c, r"y must be \(B, 1, 5, 6\)"),
        (y, c[:3], "same batch size"),
        ((255 * y).to(torch.uint8), c, "grey levels"),
    ):
        with pytest.raises(ValueError, match=message):
            f(wrong, past)
    with pytest.raises(ValueError, match="past must be"):
        Oracle(ahead, past=c[:3])
    with pytest.raises(ValueError, match="finite"):
        Oracle(Futures(ahead.frames * math.nan, ahead.probabilities))
    with pytest.raises(ValueError, match="sigma must be given"):
        Oracle(ahead)(y, c)


@settings(max_examples=30, deadline=None)
@given(
    sigma=st.floats(0.01, 100),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    count=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_what_holds_for_any_futures(sigma, size, count, seed):
    """Responsibilities are a law, the denoised frame lies within the range of the futures, the covariance is one."""
    y, c, ahead = problem(sigma, batch=2, count=count + 1, size=size, seed=seed)
    for r in (
        Oracle(ahead).responsibilities(y, c, sigma),
        Oracle(ahead, prior=NoisePrior(0.01, 100)).responsibilities(y, c),
    ):
        torch.testing.assert_close(r.sum(1), torch.ones(2, dtype=r.dtype))
        assert (r >= 0).all() and r[0, -1] == 0
    for f in (partial(Oracle(ahead), sigma=sigma), Oracle(ahead, prior=NoisePrior(0.01, 100))):
        x = f(y, c)
        assert x.shape == y.shape
        assert (x <= ahead.frames.amax(1, keepdim=True) + 1e-9).all()
        assert (x >= ahead.frames.amin(1, keepdim=True) - 1e-9).all()
    assert (torch.linalg.eigvalsh(Oracle(ahead).posterior_covariance(y, c, sigma).matrix()) > -1e-9).all()


@pytest.mark.parametrize("law", LAWS)
def test_the_quadrature_sees_all_there_is_within_its_window(law):
    """Levels from far below the prior's range to far above it, and a noisy frame that is a future to the letter."""
    generator = torch.Generator().manual_seed(4)
    scenes = Leaves(n_disks=2).meetings(60, generator)
    ahead, c = leaves_futures(scenes), scenes.past()
    sigma = torch.logspace(-3, 2, 60, dtype=torch.float64)[:, None, None, None]
    y = ahead.draw(generator).double() + sigma * torch.randn(60, 1, 32, 32, generator=generator, dtype=torch.float64)
    y[0] = ahead.frames[0, :1].double()
    prior = NoisePrior(0.01, 10.0, law)
    windowed, whole = Oracle(ahead, prior=prior), Oracle(ahead, prior=prior, window=10**9)
    for method in ("log_density", "responsibilities", "score"):
        found, expected = (getattr(oracle, method)(y, c) for oracle in (windowed, whole))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


OTHERS = [k for k in CORRUPTIONS if k != "gaussian"]


def meetings(n=40, seed=0):
    scenes, ahead = undecided_meetings(Leaves(), n, torch.Generator().manual_seed(seed))
    return scenes.past().double(), ahead.to(torch.double)


def drawn(ahead, sigma, corruption, seed=1):
    """Observations of a future drawn with its probability."""
    generator = torch.Generator().manual_seed(seed)
    x = ahead.draw(generator)
    return corrupt(x, sigma, corruption, generator), x


@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_the_gaussian_case_is_that_of_the_oracles(sigma):
    c, ahead = meetings()
    y, _ = drawn(ahead, sigma, "gaussian")
    mean, scaled_score = optimum_and_score(y, ahead, sigma)
    torch.testing.assert_close(mean, Oracle(ahead)(y, c, sigma), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(scaled_score, sigma**2 * Oracle(ahead).score(y, c, sigma), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("corruption", OTHERS)
def test_the_optimum_of_other_noise_has_less_error_than_the_gaussian_one_under_that_noise(corruption):
    c, ahead = meetings(600)
    y, x = drawn(ahead, 0.5, corruption)
    matching = (optimum_and_score(y, ahead, 0.5, corruption)[0] - x).square().sum((1, 2, 3))
    gaussian = (Oracle(ahead)(y, c, 0.5) - x).square().sum((1, 2, 3))
    assert matching.mean() < gaussian.mean()


@pytest.mark.parametrize("corruption", OTHERS)
def test_only_gaussian_noise_makes_the_residual_the_score(corruption):
    _, ahead = meetings()
    y, _ = drawn(ahead, 0.5, corruption)
    mean, scaled_score = optimum_and_score(y, ahead, 0.5, corruption)
    d = mean - y
    assert (d - scaled_score).square().sum() > 0.05 * d.square().sum()


def test_single_precision_serves_for_other_noise():
    _, ahead = meetings()
    for corruption in CORRUPTIONS:
        for sigma in (0.02, 5.0):
            y, _ = drawn(ahead, sigma, corruption)
            mean, scaled_score = optimum_and_score(y.float(), ahead.to(torch.float), sigma, corruption)
            exact, exact_score = optimum_and_score(y, ahead, sigma, corruption)
            assert mean.isfinite().all() and scaled_score.isfinite().all()
            assert (mean - exact).abs().max() < 0.02 and (scaled_score - exact_score).abs().mean() < 1e-3 * sigma


def test_what_no_future_allows_is_said():
    _, ahead = meetings(2)
    y = ahead.frames[:, :1] + 1.0
    with pytest.raises(ValueError, match="no future allows"):
        optimum_and_score(y, ahead, 0.1, "uniform")


def test_the_score_of_correlated_noise_is_the_whitened_residual():
    """d = σ² K s, exactly, however many futures."""
    _, ahead = meetings(20)
    y, _ = drawn(ahead, 0.3, "correlated")
    mean, score = optimum_and_score(y, ahead, 0.3, "correlated")
    # K s, with K⁻¹ from the likelihood: its gradient at v is −K⁻¹ v
    d = (mean - y).requires_grad_()
    (back,) = torch.autograd.grad(log_likelihood(d, torch.zeros_like(d), 1.0, "correlated").sum(), d)
    torch.testing.assert_close(score, -back, rtol=1e-9, atol=1e-9)


def test_the_score_of_signal_dependent_noise_where_one_future_is_left():
    _, ahead = meetings(20)
    one = Futures(ahead.frames[:, :1], torch.ones(20, 1, dtype=torch.double))
    y, x = drawn(one, 0.3, "signal")
    _, score = optimum_and_score(y, one, 0.3, "signal")
    torch.testing.assert_close(score, (x - y) * 0.6 / (x + 0.1), rtol=1e-9, atol=1e-9)
