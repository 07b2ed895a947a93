"""The solvers against exact steps, against one another, and two of them against another library."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scorevid.denoisers.exact import Oracle
from scorevid.measures import choices
from scorevid.noise.prior import NoisePrior
from scorevid.sampling import RECOMMENDED, Churn, Ladder, Multistep, ascend, solvers
from scorevid.sampling.ascent import partial_step
from scorevid.worlds.futures import Futures

METHODS = ("euler", "heun", "ancestral", "churn", "multistep")
BLIND = NoisePrior(0.001, 100.0)


def solve(f, c, *, method="multistep", steps=30, sigma_0=4.0, level_from="ladder", **more):
    """What the tests of this file use unless they say otherwise."""
    more = {"beta": 0.5} | more if method == "multistep" else more
    return solvers.solve(f, c, method=method, steps=steps, sigma_0=sigma_0, level_from=level_from, **more)


def without_noise(method):
    """Settings that make a solver deterministic, where it has such."""
    return {"churn": {"gamma": 0.0}, "multistep": {"beta": 1.0}}.get(method, {})


def needs_sigma(f):
    f.needs_sigma = True
    return f


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def two_points(weight: float, distance: float = 1.0, size: int = 8) -> Futures:
    """One scene with two futures, a distance apart in a direction of unit norm."""
    frames = torch.full((1, 2, size, size), 0.5)
    frames[0, 0] += distance / size / 2
    frames[0, 1] -= distance / size / 2
    return Futures(frames, torch.tensor([[weight, 1 - weight]]))


@needs_sigma
def gaussian(y, c, sigma):
    """E[x | y] of unit Gaussian pixels about ½."""
    return 0.5 + (y - 0.5) / (1 + torch.as_tensor(sigma).reshape(-1, 1, 1, 1) ** 2)


def test_ladders():
    assert Ladder(16.0, 1.0, 4).levels() == pytest.approx([16, 8, 4, 2, 1])
    assert Ladder(16.0, 4.0, 2, rho=2).levels() == pytest.approx([16, 9, 4])


@settings(max_examples=30)
@given(st.integers(1, 50), st.floats(0.01, 0.5), st.floats(1.1, 100), st.sampled_from([None, 1.0, 7.0]))
def test_ladders_descend_between_their_ends(steps, low, factor, rho):
    levels = Ladder(low * factor, low, steps, rho).levels()
    assert len(levels) == steps + 1 and all(after < before for before, after in pairwise(levels))
    assert levels[0] == pytest.approx(low * factor) and levels[-1] == pytest.approx(low)


@pytest.mark.parametrize("method", METHODS)
def test_a_known_frame_is_found(method):
    x = torch.rand(3, 1, 6, 6, generator=generator(1))
    c = x.expand(-1, 2, -1, -1)
    samples = solve(lambda y, c: c[:, :1], c, method=method, steps=5, n_samples=2, generator=generator())
    assert samples.x.shape == (3, 2, 6, 6)
    torch.testing.assert_close(samples.x, x.expand(-1, 2, -1, -1))
    twice = method in ("heun", "churn")
    assert (samples.evaluations == (12 if twice else 7)).all() and (samples.steps == 5).all()  # one for the centre
    assert samples.finite.all() and samples.reached_sigma_L.all()


@pytest.mark.parametrize("method", METHODS)
def test_noise_follows_the_ladder(method):
    """With the answer known to the denoiser, what is left on the way is noise of exactly the ladder's level."""
    seen = []
    solve(
        lambda y, c: torch.full_like(y, 0.5),
        torch.zeros(200, 1, 16, 16, dtype=torch.float64),
        method=method,
        steps=6,
        sigma_0=3.0,
        sigma_L=0.05,
        centre=None,
        generator=generator(),
        callback=lambda t, y, d, *_: seen.append(d.std().item()),
        **({"gamma": 0.0} if method == "churn" else {}),
    )
    assert seen == pytest.approx(Ladder(3.0, 0.05, 6).levels(), rel=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_the_variance_of_gaussian_frames(method):
    """Unit Gaussian pixels: each step of a first-order solver is linear, with a variance known exactly; others tend to 1."""
    steps, high, low = 60, 50.0, 0.01
    c = torch.zeros(400, 1, 8, 8, dtype=torch.float64)
    samples = solve(
        gaussian,
        c,
        method=method,
        steps=steps,
        sigma_0=high,
        sigma_L=low,
        centre=None,
        generator=generator(),
    )
    levels, v = Ladder(high, low, steps).levels(), high**2
    for level, after in pairwise(levels):
        shrink, r = 1 / (1 + level**2), after / level
        if method == "ancestral":
            v = (shrink + r**2 * (1 - shrink)) ** 2 * v + after**2 * (1 - r**2)
        else:
            v *= (shrink + r * (1 - shrink)) ** 2
    v *= (1 / (1 + low**2)) ** 2
    due = v if method in ("euler", "ancestral") else 1
    assert samples.x.var().item() == pytest.approx(due, abs=0.035)  # 4 standard errors of 25,600 pixels


@pytest.mark.parametrize("method", ["heun", "churn", "multistep"])
def test_second_order_is_more_accurate_than_euler_at_equal_cost(method):
    """Deterministic solvers from the same start; the exact flow of unit Gaussian pixels is √(1 + σ²) / √(1 + σ_0²)."""
    c = torch.zeros(1, 1, 8, 8, dtype=torch.float64)
    common = {"sigma_0": 8.0, "sigma_L": 0.01, "centre": None}

    def error(method, steps):
        path = []
        solve(
            gaussian,
            c,
            method=method,
            steps=steps,
            generator=generator(),
            callback=lambda t, y, *_: path.append(y),
            **common,
            **without_noise(method),
        )
        exact = 0.5 + (path[0] - 0.5) * math.sqrt((1 + 0.01**2) / (1 + 64))
        return (path[-1] - exact).norm().item()

    cost = 1 if method == "multistep" else 2
    assert error(method, 60 // cost) < 0.3 * error("euler", 60)
    order = math.log2(error(method, 40) / error(method, 80))
    assert order > 1.7
    assert 0.8 < math.log2(error("euler", 40) / error("euler", 80)) < 1.2


def test_euler_is_the_ascent_without_noise():
    """β = 1: the ascent's step of size h is Euler's for the ratio 1 − h, step by step."""
    y, d = torch.randn(2, 5, 1, 4, 4, generator=generator(3))
    f = lambda y, c: c  # noqa: E731
    seen = []
    solve(
        f, d, method="euler", steps=3, sigma_0=2.0, sigma_L=0.25, centre=None, generator=generator(),
        callback=lambda t, y, d, *_: seen.append((y, d)),
    )  # fmt: skip
    for (y, d), (after, _) in pairwise(seen):
        torch.testing.assert_close(after, partial_step(y, d, None, 0.5, 1.0, None))


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_multistep_is_exact_for_estimates_linear_in_log_sigma(beta):
    """D = a + b ln σ, two steps: the mean of y' against the integral of its linear equation by quadrature."""
    a, b, levels = 0.2, 0.3, [2.0, 1.0, 0.4]
    f = needs_sigma(lambda y, c, sigma: (a + b * sigma.log())[:, None, None, None].expand_as(y))
    seen = []
    solve(
        f, torch.zeros(1, 1, 64, 64), method="multistep", steps=2, sigma_0=levels[0], sigma_L=0.4, beta=beta,
        centre=None, n_samples=200, generator=generator(2), rho=None, callback=lambda t, y, d, s, _: seen.append((y, s)),
    )  # fmt: skip
    (y, start), (after, end) = seen[1:3]
    length = (start[0] / end[0]).log().item()
    kept = math.exp(-length / beta)
    s = torch.linspace(0, length, 20001, dtype=torch.float64)
    weight = torch.exp(-(length - s) / beta) / beta
    drawn = torch.trapezoid(weight * (a + b * (math.log(start[0]) - s)), s).item()
    change = (after - kept * y).double()
    assert change.mean().item() == pytest.approx(drawn, abs=5e-3 if beta < 1 else 1e-5)
    spread = math.sqrt(end[0].item() ** 2 - (kept * start[0].item()) ** 2) if beta < 1 else 0.0
    assert change.std().item() == pytest.approx(spread, rel=0.01, abs=1e-5)


def test_a_schedule_is_followed_whatever_its_steps():
    """Steps of next to nothing, and a single one of four decades: the last level is the one asked for."""
    for steps, sigma_0 in ((3000, 0.02), (1, 100.0)):
        seen = []
        f = lambda y, c: torch.full_like(y, 0.5)  # noqa: E731
        solve(
            f, torch.zeros(1, 1, 8, 8), method="euler", steps=steps, sigma_0=sigma_0, sigma_L=0.01, centre=None,
            n_samples=20, generator=generator(2), callback=lambda t, y, d, s, a, seen=seen: seen.append(y),
        )  # fmt: skip
        assert (seen[-1] - 0.5).std().item() == pytest.approx(0.01, rel=0.1)


@pytest.mark.parametrize("level_from", ["residual", "ladder"])
@pytest.mark.parametrize("method", METHODS)
def test_frequencies_are_right_with_the_exact_denoiser(method, level_from):
    """Two futures of odds 1 : 4 at a distance of 1: a binomial test of the samples' choices."""
    ahead, n = two_points(0.2), 2000
    c = torch.zeros(1, 1, 8, 8)
    f = Oracle(ahead, prior=BLIND if level_from == "residual" else None)  # without it, given the ladder's level
    steps = 30 if method in ("heun", "churn") else 60
    samples = solve(
        f, c, method=method, steps=steps, n_samples=n, sigma_0=8.0, level_from=level_from, generator=generator(5)
    )
    choice = choices.classify(choices.projection(samples.x, ahead))
    assert (choice != choices.BLEND).float().mean() > 0.99
    chosen = int((choice == 0).sum())
    # Euler's and DDPM's first-order error makes the likelier future win too often
    tolerance = 0.045 if method in ("euler", "ancestral") else 0.035
    assert chosen / n == pytest.approx(0.2, abs=tolerance)


def test_multistep_gets_the_odds_right_with_few_evaluations():
    """22 evaluations against 57 of the ascent; both are first tested to be of those numbers."""
    ahead, n = two_points(0.2), 3000
    c, f = torch.zeros(1, 1, 8, 8), Oracle(ahead, prior=BLIND)
    few = solve(f, c, steps=20, n_samples=n, sigma_0=4.0, generator=generator(5))
    many = ascend(f, c, n_samples=50, sigma_0=4.0, beta=0.5, centre="prediction", generator=generator(5))
    assert (few.evaluations == 22).all() and many.evaluations.float().mean() > 50
    chosen = int((choices.classify(choices.projection(few.x, ahead)) == 0).sum())
    assert stats.binomtest(chosen, n, 0.2).pvalue > 1e-3


def test_a_wrong_level_is_corrected_by_the_residual():
    """Start at twice the noise the ladder believes in: with σ read from the residual the ladder is rejoined."""
    f = lambda y, c: torch.full_like(y, 0.5)  # noqa: E731
    c, noisier = torch.zeros(8, 1, 16, 16), torch.randn(8, 1, 16, 16, generator=generator(9))
    at = {}
    for level_from in ("residual", "ladder"):
        samples = solve(
            f, c, method="euler", steps=8, sigma_0=1.0, sigma_L=0.05, level_from=level_from, centre=0.5 + noisier,
            generator=generator(), callback=lambda t, y, d, s, a, key=level_from: at.__setitem__(key, d.std().item()),
        )  # fmt: skip
        assert samples.finite.all() and samples.reached_sigma_L.all()
    assert at["residual"] == pytest.approx(0.05, rel=0.05)
    assert at["ladder"] > 1.3 * 0.05


@pytest.mark.parametrize("method", METHODS)
def test_samples_do_not_depend_on_the_batch_limit(method):
    ahead = two_points(0.5)
    c, f = torch.zeros(1, 1, 8, 8), Oracle(ahead, prior=BLIND)
    a, b = (
        solve(f, c, method=method, steps=4, n_samples=5, generator=generator(2), batch_limit=limit).x
        for limit in (None, 2)
    )
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("level_from", ["residual", "ladder"])
def test_denoisers_that_need_sigma_are_given_the_ladders_level(level_from):
    """Also where others' levels are read from the residual: the same call serves both kinds."""
    ahead, given, started_from = two_points(0.5), [], []

    @needs_sigma
    def f(y, c, sigma):
        given.append(sigma.unique().tolist())
        return Oracle(ahead)(y, c, sigma)

    solve(
        f, torch.zeros(1, 1, 8, 8), method="euler", steps=2, sigma_0=4.0, sigma_L=1.0, level_from=level_from,
        generator=generator(), callback=lambda t, y, d, sigma, _: started_from.append(sigma.item()),
    )  # fmt: skip
    assert [round(v[0], 5) for v in given] == [4, 4, 2, 1]  # the first for the centre
    assert started_from == pytest.approx([4, 2, 1])


@pytest.mark.parametrize("method", ["euler", "ancestral"])
def test_against_azula(method):
    """The same steps, levels and noise as azula's DDIM and DDPM samplers, frame by frame."""
    noise = pytest.importorskip("azula.noise", exc_type=ImportError)
    sample, denoise = pytest.importorskip("azula.sample"), pytest.importorskip("azula.denoise")
    steps, high, low, seed = 7, 5.0, 0.05, 4
    ahead = two_points(0.3)

    class Exact(denoise.Denoiser):
        schedule = noise.VESchedule(low, high)

        def forward(self, x, t, **_):
            mean = Oracle(ahead)(x, x, float(self.schedule(t)[1]))
            return denoise.DiracPosterior(mean=mean)

    path = []
    solve(
        Oracle(ahead),
        torch.zeros(4, 1, 8, 8),
        method=method, steps=steps, sigma_0=high, sigma_L=low, centre=None, generator=generator(seed),
        callback=lambda t, y, *_: path.append(y),
    )  # fmt: skip
    sampler = {"euler": sample.DDIMSampler, "ancestral": sample.DDPMSampler}[method](Exact(), steps=steps, silent=True)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.randn(4, 1, 8, 8)  # the start
        theirs = sampler(path[0])
    torch.testing.assert_close(path[-1], theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "rk4"},
        {"steps": 0},
        {"steps": 2.0},
        {"sigma_0": 0.01},
        {"sigma_L": -1.0},
        {"rho": 0.0},
        {"beta": 0.0},
        {"beta": 1.5},
        {"method": "churn", "gamma": -0.1},
        {"method": "churn", "gamma": math.nan},
        {"level_from": "guess"},
        {"n_samples": 0},
        {"centre": "mean"},
        {"generator": None},
        {"batch_limit": 0},
    ],
)
def test_bad_input_is_refused_before_any_work(wrong):
    def f(y, c):
        raise AssertionError("work was done")

    with pytest.raises(ValueError):
        solve(f, torch.zeros(1, 1, 4, 4), **{"generator": generator()} | wrong)


def test_the_defaults_are_what_chapter_3_recommends():
    assert Multistep(Ladder(5.0, 0.01, 12), beta=1.0, level_from="residual", centre="prediction") == RECOMMENDED
    c = torch.rand(1, 1, 4, 4, generator=generator())
    default = solvers.solve(lambda y, c: (c + y).tanh(), c, generator=generator(1))
    assert torch.equal(RECOMMENDED(lambda y, c: (c + y).tanh(), c, generator=generator(1)).x, default.x)


def test_a_callback_sees_the_levels_that_a_sampler_names():
    """With churn y has more noise than the ladder's level where it is denoised."""
    sampler, seen = Churn(Ladder(3.0, 0.05, 6, rho=7.0), gamma=0.5, level_from="ladder", centre=None), []
    sampler(
        lambda y, c: torch.full_like(y, 0.5), torch.zeros(200, 1, 16, 16), generator=generator(),
        callback=lambda t, y, d, *_: seen.append(d.std().item()),
    )  # fmt: skip
    assert seen == pytest.approx(sampler.levels(), rel=0.02)
    assert seen[:-1] == pytest.approx([1.5 * level for level in sampler.ladder.levels()[:-1]], rel=0.02)


def test_a_sample_that_diverges_is_neither_finite_nor_down():
    c = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    samples = solve(lambda y, c: torch.where(c > 0.5, torch.nan, 0.5 + 0 * y), c, steps=3, generator=generator())
    assert samples.finite.tolist() == samples.reached_sigma_L.tolist() == [[True], [False]]


def test_progress(capsys):
    c = torch.zeros(1, 1, 4, 4)
    solve(lambda y, c: c, c, steps=3, generator=generator())
    assert capsys.readouterr().err == ""
    solve(lambda y, c: c, c, steps=3, generator=generator(), progress=True)
    assert "4/4" in capsys.readouterr().err
