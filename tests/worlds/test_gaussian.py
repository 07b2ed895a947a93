"""Linear-Gaussian video and its optimal denoiser, against dense linear algebra, scipy, autograd and samples."""

import json
import math
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from scorevid.denoisers.wiener import Wiener
from scorevid.measures.linear_weights import rows
from scorevid.noise.prior import LAWS, NoisePrior
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.registry import make_world

SIGMAS = (0.01, 0.1, 1.0, 10.0, 100.0)
SMALL = Gaussian(size=8, memory=3, rho=0.9, alpha=1.5, shift=(1, -2), past_noise=0.15, mean=0.3)


def dense(world):
    """Covariance of (c, x), ((M + 1) N, (M + 1) N), from sums of cosines and permutation matrices: no Fourier code."""
    n = world.size
    place = np.array([(row, column) for row in range(n) for column in range(n)])
    k = (place + n // 2) % n - n // 2
    power = np.maximum(1, np.hypot(*k.T)) ** -world.alpha
    power *= world.contrast**2 / power.mean()
    phase = 2 * np.pi / n * (place[:, None] - place) @ k.T  # (N, N, frequencies)
    texture = (np.cos(phase) * power).mean(-1)
    move = np.zeros((n * n, n * n))
    target = (place + [world.shift[1], world.shift[0]]) % n
    move[target[:, 0] * n + target[:, 1], np.arange(n * n)] = 1
    count = world.memory + 1
    blocks = [[None] * count for _ in range(count)]
    for later in range(count):
        for earlier in range(later + 1):
            lag = later - earlier
            block = world.rho**lag * np.linalg.matrix_power(move, lag) @ texture
            blocks[later][earlier], blocks[earlier][later] = block, block.T
    cov = np.block(blocks)
    past = world.memory * n * n
    levels = np.broadcast_to(world.past_noise, world.memory).repeat(n * n)
    cov[:past, :past] += np.diag(levels**2)
    return cov


def given_past(world):
    """Matrix A (N, M N) and covariance (N, N) of p(x | c) = N(mean + A (c − mean), cov), by solving."""
    cov, past = dense(world), world.memory * world.size**2
    a = np.linalg.solve(cov[:past, :past], cov[:past, past:]).T
    return a, cov[past:, past:] - a @ cov[:past, past:]


def problem(world, sigma, batch=3, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    c, x = (v.to(dtype) for v in world.draw(batch, generator))
    y = x + sigma * torch.randn(x.shape, generator=generator, dtype=torch.float64).to(dtype)
    return y, c, x


@pytest.mark.parametrize("past_noise", [0.0, 0.3, (0.5, 0.0)])
def test_samples_have_the_covariance_of_the_model(past_noise):
    world = Gaussian(size=4, memory=2, rho=0.8, shift=(1, 2), mean=0.5, past_noise=past_noise)
    c, x = world.draw(40_000, torch.Generator().manual_seed(0))
    assert c.shape == (40_000, 2, 4, 4) and x.shape == (40_000, 1, 4, 4)
    v = torch.cat([c, x], 1).flatten(1).double() - 0.5
    cov = torch.from_numpy(dense(world))
    # the standard error of a sample covariance of Gaussians; 1,176 distinct entries
    error = ((cov.square() + cov.diagonal()[:, None] * cov.diagonal()) / len(v)).sqrt()
    assert ((v.T @ v / len(v) - cov) / error).abs().max() < 4.5
    assert (v.mean(0) / (cov.diagonal() / len(v)).sqrt()).abs().max() < 4


@pytest.mark.parametrize("world", [Gaussian(), Gaussian(size=7, alpha=0.0), Gaussian(size=9, alpha=3.0, contrast=0.5)])
def test_spectrum_is_a_power_law_whose_average_is_the_variance_of_a_pixel(world):
    power = world.spectrum()
    assert power.mean().sqrt().item() == pytest.approx(world.contrast)
    assert (power[0, 3] / power[0, 1]).item() == pytest.approx(3.0**-world.alpha)
    assert power[0, 0] == power[0, 1] == power[-1, 0]
    torch.testing.assert_close(power, power.flip(0, 1).roll((1, 1), (0, 1)))  # of −k as of k: frames are real


def test_draws_hang_on_the_generator_alone_and_texture_moves_right_and_down():
    a, b = (SMALL.draw(2, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    video = Gaussian(rho=0.999, shift=(3, 1)).video(50, torch.Generator().manual_seed(0))
    moved = video[:, 0].roll((1, 3), (1, 2))
    assert (video[:, 1] - moved).square().mean() < 0.1 * (video[:, 1] - video[:, 0]).square().mean()


@pytest.mark.parametrize("world", [SMALL, Gaussian(rho=(0.5, 0.9), past_noise=(0.1, 0.0))])
def test_a_card_describes_it(world):
    description = json.loads(json.dumps({"name": "Gaussian", **asdict(world)}))
    assert make_world(description) == world


def test_the_share_of_news_is_log_uniform_over_the_range_of_rho():
    world = Gaussian(size=32, memory=1, rho=(0.5, 0.99), alpha=0.0, shift=(2, 1), contrast=1.0)
    c, x = world.draw(2000, torch.Generator().manual_seed(0))
    moved = c.roll((1, 2), (2, 3))
    rho = ((x * moved).mean((1, 2, 3)) / moved.square().mean((1, 2, 3))).double()  # to within 1/32
    ends = [math.log(1 - r**2) for r in world.rho]
    share = ((1 - rho.square()).clamp_min(1e-3).log() - ends[1]) / (ends[0] - ends[1])
    assert share.mean().item() == pytest.approx(0.5, abs=0.03) and share.std().item() == pytest.approx(
        12**-0.5, abs=0.03
    )
    assert x.var().item() == pytest.approx(1.0, rel=0.01)


def test_what_is_exact_takes_one_rho():
    with pytest.raises(ValueError, match="rho must be one number"):
        Wiener(Gaussian(rho=(0.5, 0.9)))


def test_the_noise_of_each_past_frame_counts_for_its_own_weights():
    world = Gaussian(size=16, memory=2)
    clean, worthless = (Wiener(replace(world, past_noise=(0.0, t))).gains(0.5) for t in (0.0, 1e5))
    assert clean[0].abs().max() < 1e-12  # clean, the last frame makes the one before superfluous
    assert worthless[1].abs().max() < 1e-6 and worthless[0].abs().max() > 0.5
    assert (worthless[2].real > clean[2].real).all()


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("past_noise", [0.0, 0.15, (0.0, 0.4, 0.1)])
def test_told_denoiser_is_the_conditional_mean_of_dense_linear_algebra(sigma, past_noise):
    world = replace(SMALL, past_noise=past_noise)
    y, c, _ = problem(world, sigma)
    past = c[0].numel()
    cov = dense(world)
    joint = np.block([[cov, cov[:, past:]], [cov[past:], cov[past:, past:] + sigma**2 * np.eye(64)]])
    seen = np.r_[0:past, past + 64 : past + 128]
    gain = np.linalg.solve(joint[np.ix_(seen, seen)], joint[seen, past : past + 64]).T
    expected = world.mean + (torch.cat([c.flatten(1), y.flatten(1)], 1).numpy() - world.mean) @ gain.T
    np.testing.assert_allclose(Wiener(world)(y, c, sigma).flatten(1), expected, rtol=0, atol=1e-8)
    left = cov[past:, past:] - gain @ joint[seen, past : past + 64]
    np.testing.assert_allclose(Wiener(world).posterior_covariance(sigma=sigma).matrix(), left, rtol=0, atol=1e-8)
    a, _ = given_past(world)
    np.testing.assert_allclose(
        Wiener(world).predict(c).flatten(1), world.mean + (c.flatten(1).numpy() - world.mean) @ a.T, rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("sigma", SIGMAS)
def test_log_density_is_scipys_and_its_gradient_is_the_residual(sigma):
    y, c, _ = problem(SMALL, sigma)
    a, cov = given_past(SMALL)
    mean = SMALL.mean + (c.flatten(1).numpy() - SMALL.mean) @ a.T
    expected = [
        stats.multivariate_normal.logpdf(v, m, cov + sigma**2 * np.eye(64))
        for v, m in zip(y.flatten(1).numpy(), mean, strict=True)
    ]
    np.testing.assert_allclose(Wiener(SMALL).log_density(y, c, sigma), expected, rtol=1e-8)
    y.requires_grad_()
    (score,) = torch.autograd.grad(Wiener(SMALL).log_density(y, c, sigma).sum(), y)
    d = Wiener(SMALL)(y, c, sigma) - y
    assert (d / sigma**2 - score).norm() < 1e-8 * score.norm()
    assert (Wiener(SMALL).score(y, c, sigma) - score).norm() < 1e-8 * score.norm()
    blind = Wiener(SMALL, NoisePrior(0.005, 200.0))
    (score,) = torch.autograd.grad(blind.log_density(y, c).sum(), y)
    assert (blind.score(y, c) - score).norm() < 1e-8 * score.norm()


@pytest.mark.parametrize("sigma", [0.01, 0.3, 100.0])
def test_second_order_identity(sigma):
    """σ² J_y = Cov[x | y, c], and trace and product are the matrix's."""
    world = replace(SMALL, size=5)
    y, c, _ = problem(world, sigma, batch=1)
    f = partial(Wiener(world), sigma=sigma)
    jacobian = torch.func.jacrev(lambda y: f(y, c))(y).reshape(25, 25)
    cov = Wiener(world).posterior_covariance(sigma=sigma)
    torch.testing.assert_close(sigma**2 * jacobian, cov.matrix(), rtol=1e-9, atol=1e-12)
    assert cov.trace().item() == pytest.approx(cov.matrix().trace().item())
    v = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(cov.product(v).flatten(), cov.matrix() @ v.flatten())


@pytest.mark.parametrize("size", [7, 8])
def test_weights_are_rows_of_the_jacobian_and_account_for_the_output(size):
    world = replace(SMALL, size=size, mean=0.0)
    y, c, _ = problem(world, 0.2)
    f, due, middle = partial(Wiener(world), sigma=0.2), Wiener(world).weights(0.2), size // 2
    row = rows(f, y, c, [(middle, middle)])
    torch.testing.assert_close(torch.cat([row.on_c, row.on_y[:, :, None]], 2)[0, 0], due)
    total = (due * torch.cat([c, y], 1)).sum((1, 2, 3))
    torch.testing.assert_close(total, f(y, c)[:, 0, middle, middle])
    torch.testing.assert_close(due.sum((1, 2)), Wiener(world).gains(0.2)[:, 0, 0].real)


def test_gains_at_the_ends():
    """Without noise y is believed, in nothing but noise the past is, and then it is a prediction."""
    world = Gaussian(size=8, past_noise=0.1)
    past, y = Wiener(world).gains(1e-6).split([2, 1])
    torch.testing.assert_close(y, torch.ones_like(y), rtol=0, atol=1e-8)
    assert past.abs().max() < 1e-8
    past, y = Wiener(world).gains(1e6).split([2, 1])
    assert y.abs().max() < 1e-9
    noisy, c, x = problem(world, 1e6)
    torch.testing.assert_close(Wiener(world)(noisy, c, 1e6), Wiener(world).predict(c), rtol=0, atol=1e-5)
    # without past noise the prediction is the last frame, moved and faded
    clean = replace(world, past_noise=0.0)
    torch.testing.assert_close(Wiener(clean).predict(x.expand(-1, 2, -1, -1)), world.rho * x.roll(1, 3))


def test_clean_pasts_make_it_markov_and_noisy_ones_are_all_used():
    world = Gaussian(size=8, memory=3)
    assert Wiener(world).gains(0.1)[:2].abs().max() == 0
    assert Wiener(world).gains(0.1)[2].abs().min() > 0.01
    noisy = Wiener(replace(world, past_noise=0.1)).gains(0.1)[:3].abs()
    assert noisy.amin() > 0.001
    assert (noisy[1:] > noisy[:-1]).all()  # the later, the more


def test_the_less_reliable_the_past_the_more_is_left_to_y():
    """In every wave; and the more noise on y, the less. The posterior variance grows with either."""
    steps = [0.0, 0.03, 0.1, 0.3, 1.0, 10.0]
    on_y = torch.stack([Wiener(Gaussian(past_noise=t)).gains(0.2)[-1].real for t in steps])
    assert (on_y.diff(dim=0) > 0).all()
    variance = torch.stack([Wiener(Gaussian(past_noise=t)).posterior_covariance(sigma=0.2).spectrum for t in steps])
    assert (variance.diff(dim=0) > 0).all()
    on_y = torch.stack([Wiener(Gaussian(past_noise=0.1)).gains(s)[-1].real for s in steps[1:]])
    assert (on_y.diff(dim=0) < 0).all()
    variance = torch.stack([Wiener(Gaussian(past_noise=0.1)).posterior_covariance(sigma=s).spectrum for s in steps[1:]])
    assert (variance.diff(dim=0) > 0).all()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("sigma", [0.02, 0.3, 5.0])
def test_blind_is_the_average_over_the_noise_prior(law, sigma, law_density):
    """Against adaptive quadrature over dense Gaussians, inside the prior and where its ends cut the posterior of σ."""
    world = Gaussian(size=5, memory=2, shift=(1, 1), past_noise=0.1)
    y, c, _ = problem(world, sigma, batch=2)
    a, cov = given_past(world)
    values, vectors = np.linalg.eigh(cov)
    mean = c.flatten(1).numpy() @ a.T
    news = (y.flatten(1).numpy() - mean) @ vectors
    for low, high in ((0.01, 10.0), (0.01, sigma), (sigma, 10.0)):
        prior, density, estimates = NoisePrior(low, high, law, (low, high)), [], []
        for m, e in zip(mean, news, strict=True):
            offset = stats.norm.logpdf(e, scale=np.sqrt(values + sigma**2)).sum()

            def integrand(log_s, e=e, offset=offset, low=low, high=high):
                s = math.exp(log_s)
                log_p = stats.norm.logpdf(e, scale=np.sqrt(values + s * s)).sum()
                return law_density(law, s, low, high) * math.exp(log_p - offset) * np.r_[1, values / (values + s * s)]

            points = [p for p in np.log(sigma) + np.array([-1, -0.3, 0.3, 1]) if math.log(low) < p < math.log(high)]
            total = integrate.quad_vec(integrand, math.log(low), math.log(high), points=points, epsrel=1e-11)[0]
            density.append(math.log(total[0]) + offset)
            estimates.append(m + vectors @ (total[1:] / total[0] * e))
        tolerance = 1e-7 if law != "peaked" else 1e-3  # the rule meets the bends of the triangle
        np.testing.assert_allclose(Wiener(world, prior).log_density(y, c), density, rtol=0, atol=tolerance)
        found = Wiener(world, prior)(y, c).flatten(1)
        np.testing.assert_allclose(found, estimates, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_blindness_costs_little_and_single_precision_serves(sigma):
    world = Gaussian(past_noise=0.05, mean=0.5)
    y, c, _ = problem(world, sigma, batch=50, dtype=torch.float32)
    told, blind = partial(Wiener(world), sigma=sigma), Wiener(world, NoisePrior(0.005, 200.0))
    least = Wiener(world).posterior_covariance(sigma=sigma).trace().item() / 1024
    cost = (told(y, c) - blind(y, c)).square().mean().item()
    assert cost < (0.05 if sigma < 0.1 else 0.01) * least
    for f in (told, blind):
        assert f(y, c).dtype == torch.float32
        assert (f(y, c) - f(y.double(), c.double())).abs().max() < 3e-6
    for log_p in (partial(Wiener(world).log_density, sigma=sigma), Wiener(world, NoisePrior(0.005, 200.0)).log_density):
        torch.testing.assert_close(log_p(y, c).double(), log_p(y.double(), c.double()), rtol=2e-6, atol=2e-3)


@pytest.mark.parametrize("sigma", [0.05, 0.5])
def test_nothing_near_it_does_better(sigma):
    """Measured squared error is the posterior variance, and that of other gains, or other shifts, is larger."""
    world = Gaussian(size=16, past_noise=0.1)
    y, c, x = problem(world, sigma, batch=3000, dtype=torch.float32)
    f = partial(Wiener(world), sigma=sigma)

    def error(estimate):
        return (estimate - x).square().mean((1, 2, 3))

    optimum = error(f(y, c))
    expected = Wiener(world).posterior_covariance(sigma=sigma).trace().item() / 256
    assert abs(optimum.mean() - expected) < 4 * optimum.std() / math.sqrt(3000)
    others = {
        "all too large": 1.03 * f(y, c),
        "too trusting of y": Wiener(world)(y, c, 0.85 * sigma),
        "too trusting of the past": Wiener(world)(y, c, 1.15 * sigma),
        "past thought cleaner": Wiener(replace(world, past_noise=0.07))(y, c, sigma),
        "past thought noisier": Wiener(replace(world, past_noise=0.14))(y, c, sigma),
        "steadier": Wiener(replace(world, rho=0.98))(y, c, sigma),
        "other spectrum": Wiener(replace(world, alpha=1.7))(y, c, sigma),
        "standing still": Wiener(replace(world, shift=(0, 0)))(y, c, sigma),
        "older frames unseen": Wiener(replace(world, memory=1))(y, c[:, 1:], sigma),
        "y": y,
        "past only": Wiener(world).predict(c),
    }
    for name, estimate in others.items():
        gap = error(estimate) - optimum
        assert gap.mean() > 4 * gap.std() / math.sqrt(3000), name


def test_levels_may_differ_within_a_batch():
    y, c, _ = problem(SMALL, 0.3)
    levels = torch.tensor([0.1, 0.3, 0.5])
    for shaped in (levels, levels[:, None, None, None]):
        together, density = Wiener(SMALL)(y, c, shaped), Wiener(SMALL).log_density(y, c, shaped)
        for i, s in enumerate(levels.tolist()):
            torch.testing.assert_close(together[i : i + 1], Wiener(SMALL)(y[i : i + 1], c[i : i + 1], s))
            torch.testing.assert_close(density[i : i + 1], Wiener(SMALL).log_density(y[i : i + 1], c[i : i + 1], s))


def test_all_follow_the_device_of_their_input():
    y, c, _ = (v.to("meta") for v in problem(SMALL, 0.3))
    for f in (partial(Wiener(SMALL), sigma=0.3), Wiener(SMALL, NoisePrior(0.1, 1.0))):
        assert f(y, c).device.type == "meta" and f(y, c).shape == y.shape
    assert (
        Wiener(SMALL).log_density(y, c, 0.3).shape
        == Wiener(SMALL, NoisePrior(0.1, 1.0)).log_density(y, c).shape
        == (3,)
    )
    assert Wiener(SMALL).posterior_covariance(sigma=0.3).product(y).shape == Wiener(SMALL).predict(c).shape == y.shape


def test_bad_input_is_refused():
    y, c, _ = problem(SMALL, 0.3)
    for f in (
        partial(Wiener(SMALL), sigma=0.3),
        Wiener(SMALL, NoisePrior(0.1, 1.0)),
        partial(Wiener(SMALL).log_density, sigma=0.3),
    ):
        for wrong, past, message in (
            (y[:, 0], c, r"y must be \(3, 1, 8, 8\)"),
            (y[:2], c, r"y must be \(3, 1, 8, 8\)"),
            (y, c[:, 1:], r"c must be \(B, 3, 8, 8\)"),
            (y, c[..., 1:], r"c must be \(B, 3, 8, 8\)"),
            ((255 * y).int(), c, "floating-point"),
            (y, (255 * c).int(), "floating-point"),
        ):
            with pytest.raises(ValueError, match=message):
                f(wrong, past)
    for sigma in (0, -1.0, math.nan, math.inf, torch.tensor([1.0, 0.0, 1.0]), torch.ones(3, 2)):
        for method in (Wiener(SMALL), Wiener(SMALL).log_density, Wiener(SMALL).score):
            with pytest.raises(ValueError, match="sigma must be"):
                method(y, c, sigma)
    for method in (Wiener(SMALL).gains, Wiener(SMALL).weights, lambda s: Wiener(SMALL).posterior_covariance(sigma=s)):
        with pytest.raises(ValueError, match="sigma must be"):
            method(0.0)
    with pytest.raises(ValueError, match="sigma must be given"):
        Wiener(SMALL)(y, c)
    with pytest.raises(ValueError, match="laplace"):
        Wiener(SMALL, NoisePrior(corruption="laplace"))
    with pytest.raises(ValueError, match="sigma must be a number"):
        Wiener(SMALL)(y, c, torch.ones(2))


BAD = st.one_of(
    *(
        st.tuples(st.just(name), values)
        for name, values in (
            ("size", st.integers(max_value=0) | st.floats() | st.none()),
            ("memory", st.integers(max_value=0) | st.floats() | st.none()),
            ("rho", st.floats(max_value=0, exclude_max=True) | st.floats(min_value=1)),
            ("rho", st.sampled_from([(0.5, 0.4), (0.5, 1.0), (-0.1, 0.4), (0.5,), (0.1, 0.2, 0.3)])),
            ("alpha", st.floats(max_value=0, exclude_max=True) | st.floats(min_value=8, exclude_min=True)),
            ("contrast", st.floats(max_value=0) | st.floats(min_value=1e6, exclude_min=True)),
            ("past_noise", st.floats(max_value=0, exclude_max=True) | st.just(math.nan)),
            ("past_noise", st.sampled_from([(0.1,), (0.1, -0.1), (0.1, math.nan), (0.1, 0.1, 0.1)])),
            ("mean", st.sampled_from([math.nan, math.inf, -math.inf])),
            ("shift", st.integers() | st.tuples(st.integers()) | st.tuples(st.integers(), st.floats())),
        )
    )
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(BAD)
def test_worlds_that_are_none_are_refused(bad):
    name, value = bad
    with pytest.raises(ValueError, match=name):
        Gaussian(**{name: value})


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    world=st.builds(
        Gaussian,
        size=st.integers(1, 6),
        memory=st.integers(1, 4),
        rho=st.floats(0, 0.9999),
        alpha=st.floats(0, 8),
        shift=st.tuples(st.integers(-99, 99), st.integers(-99, 99)),
        contrast=st.floats(1e-3, 10),
        mean=st.floats(-1, 1),
        past_noise=st.floats(0, 1e6),
    ),
    sigma=st.floats(0.01, 100),
)
def test_what_holds_for_any_world(world, sigma):
    """Gains on y lie within (0, 1], sources are no more than fully used, and y never makes the posterior wider."""
    g = Wiener(world).gains(sigma)
    assert g.shape == (world.memory + 1, world.size, world.size) and g.isfinite().all()
    on_y, variance = g[-1].real, Wiener(world).posterior_covariance(sigma=sigma).spectrum
    assert (on_y >= 0).all() and (on_y <= 1).all() and (g[-1].imag == 0).all()
    assert (g.abs().sum(0) <= 1 + 1e-9).all()
    assert (variance >= 0).all() and (variance <= sigma**2 * (1 + 1e-9)).all()
    assert (variance <= world.spectrum() * (1 + 1e-9)).all()
    y, c, _ = problem(world, sigma, batch=2)
    for f in (partial(Wiener(world), sigma=sigma), Wiener(world, NoisePrior(0.01, 100.0))):
        assert f(y, c).isfinite().all() and f(y, c).shape == y.shape
    for log_p in (partial(Wiener(world).log_density, sigma=sigma), Wiener(world, NoisePrior(0.01, 100.0)).log_density):
        assert log_p(y, c).isfinite().all()
