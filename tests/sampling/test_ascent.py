"""The stochastic ascent: the algorithm to the letter, and the frequencies it gives with an exact denoiser."""

import math
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.unet import UNet
from scorevid.noise.prior import NoisePrior
from scorevid.sampling import KS2021, Ascent, ascend
from scorevid.sampling.ascent import partial_step, step_size
from scorevid.worlds.futures import Futures


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def two_futures(odds, size=8, distance=2.0):
    """Scenes with two futures so far apart, mid-grey midway between them, and pasts that tell the scenes apart."""
    pattern = torch.zeros(size, size)
    pattern[: size // 2] = math.sqrt(2) / size
    odds = torch.tensor(odds)
    frames = torch.stack([0.5 + distance / 2 * pattern, 0.5 - distance / 2 * pattern]).repeat(len(odds), 1, 1, 1)
    c = torch.arange(len(odds))[:, None, None, None].expand(-1, 2, size, size) / len(odds)
    return c, Futures(frames, torch.stack([odds, 1 - odds], 1))


def towards_half(y, c):
    """A denoiser that halves the distance to ½: the residual stays a fixed fraction of the noise."""
    return 0.5 + 0.5 * (y - 0.5)


@pytest.mark.parametrize(("beta", "steps"), [(1.0, 32), (0.5, 47), (0.1, 127), (0.01, 661)])
def test_length_of_the_schedule(beta, steps):
    assert Ascent(beta=beta).expected_steps == steps
    # and the ascent takes that many, within the scatter of the norm of noise, when only one future is possible
    ahead = Futures(torch.full((1, 1, 64, 64), 0.5), torch.ones(1, 1))
    drawn = ascend(partial(Oracle(ahead), sigma=1.0), torch.zeros(3, 1, 64, 64), beta=beta, generator=generator())
    assert drawn.reached_sigma_L.all()
    assert (drawn.steps - steps).abs().max() <= 2 + (0.1 if beta == 0.01 else 0.01) * steps
    torch.testing.assert_close(drawn.x, torch.full_like(drawn.x, 0.5))


def test_step_size():
    assert step_size(1) == 0.01
    assert step_size(100) == pytest.approx(1 / 1.99)
    assert step_size(100, h_max=0.2) == 0.2
    assert [step_size(t, h_0=1.0) for t in (1, 2, 9)] == [1, 1, 1]
    assert Ascent(beta=0.5, h_max=0.1).expected_steps == 1 + next(
        t for t in range(1000) if math.prod(1 - 0.5 * step_size(s, h_max=0.1) for s in range(1, t + 2)) <= 0.01
    )


@pytest.mark.parametrize("beta", [0.01, 0.3, 1.0])
def test_the_algorithm_to_the_letter(beta):
    """Step by step against the published formulas in numpy, and against 'denoise to (1 − h)σ, renoise to (1 − βh)σ'."""
    trace = []
    c = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    drawn = ascend(
        towards_half, c, beta=beta, h_0=0.05, generator=generator(3), callback=lambda *step: trace.append(step)
    )
    same = generator(3)

    def noise():
        return torch.randn(1, 1, 16, 16, generator=same, dtype=torch.float64).numpy()

    y = 0.5 + noise()
    for t, (step, y_t, d_t, sigma_t, active) in enumerate(trace, 1):
        assert step == t and active.tolist() == [0]
        np.testing.assert_allclose(y_t, y, rtol=1e-9)
        d = towards_half(y, None) - y
        sigma = np.linalg.norm(d) / 16
        np.testing.assert_allclose(d_t, d, rtol=1e-9, atol=1e-12)
        assert sigma_t.item() == pytest.approx(sigma)
        if sigma <= 0.01:
            break
        h = 0.05 * t / (1 + 0.05 * (t - 1))
        gamma = np.sqrt(((1 - beta * h) ** 2 - (1 - h) ** 2) * sigma**2)
        z = noise() if beta < 1 else 0
        x_hat, direction = y + d, -d / sigma  # y = x_hat + sigma * direction
        y = y + h * d + gamma * z
        fresh = np.sqrt(((1 - beta * h) * sigma) ** 2 - ((1 - h) * sigma) ** 2)
        np.testing.assert_allclose(y, x_hat + (1 - h) * sigma * direction + fresh * z, rtol=1e-9, atol=1e-12)
    assert len(trace) == t == drawn.steps.item() + 1
    np.testing.assert_allclose(drawn.x[0, 0], towards_half(y, None)[0, 0], rtol=1e-9)


def test_a_step_changes_the_noise_level_as_said():
    """From N(x, σ²) a step with the exact denoiser leads to N(x, (1 − βh)²σ²)."""
    sigma, z = torch.tensor([0.3, 2.0]), torch.randn(2, 2, 1, 200, 200, generator=generator())
    x = 0.4
    y = x + sigma[:, None, None, None] * z[0]
    for h, beta in ((0.01, 0.01), (0.5, 0.01), (0.5, 0.5), (1.0, 0.5), (0.3, 1.0)):
        after = partial_step(y, x - y, sigma, h, beta, z[1])
        torch.testing.assert_close(after.std((1, 2, 3)), (1 - beta * h) * sigma, rtol=0.02, atol=0)


ODDS = [0.05, 0.1, 0.2, 0.35]


def test_frequencies_at_half_churn():
    """Known, by simulation with known σ, to come out as .043 .090 .191 .344: a little too sure (h is not small)."""
    c, ahead = two_futures(ODDS)
    f = Oracle(ahead, prior=NoisePrior(0.005, 20.0), past=c)
    drawn = ascend(f, c, n_samples=1000, sigma_0=8.0, beta=0.5, generator=generator())
    first, second = ahead.frames[:, :1], ahead.frames[:, 1:]
    u = ((drawn.x - second) * (first - second)).sum((2, 3)) / 4
    assert ((u < 0.01) | (u > 0.99)).all()  # the samples are futures, not blends
    expected = torch.tensor([0.043, 0.090, 0.191, 0.344])
    error = (expected * (1 - expected) / 1000).sqrt()
    assert ((u > 0.5).float().mean(1) - expected).abs().le(3.5 * error + 0.005).all()
    assert 55 < drawn.steps.float().mean() < 61


def test_frequencies_at_the_published_constants_are_too_sure():
    """β = .01: true odds of .2 come out as .137 in the limit of many pixels, .153 in 64; in any case below .2."""
    c, ahead = two_futures([0.2])
    f = Oracle(ahead, prior=NoisePrior(0.005, 20.0))
    drawn = ascend(f, c, n_samples=600, sigma_0=8.0, beta=0.01, generator=generator())
    share = (drawn.x[0].mean((1, 2)) > 0.5).float().mean().item()
    assert 0.10 < share < 0.18
    assert drawn.reached_sigma_L.all()


def test_a_sample_depends_on_nothing_but_its_scene_and_its_noise():
    """Neither on the other scenes of the batch, nor on when they finish, nor on how the batch is cut."""
    c, ahead = two_futures([0.3, 0.5, 0.9])
    calls = []

    def f(y, c):
        calls.append(len(y))
        exact = Oracle(ahead, prior=NoisePrior(0.005, 20.0), past=whole)
        return exact(y, c) + (0.02 * (y - 0.5) if (c == 0).all() else 0)

    whole = c
    constants = {"n_samples": 4, "sigma_0": 4.0, "beta": 0.3}
    drawn = ascend(f, c, **constants, generator=generator(1))
    assert len(drawn.steps.unique()) > 1  # they do finish at different times
    assert calls[0] == 12 and calls[-1] < 12 and sorted(calls, reverse=True) == calls
    cut = ascend(f, c, **constants, generator=generator(1), batch_limit=5)
    torch.testing.assert_close(cut.x, drawn.x)
    assert max(calls[calls.index(5) :]) == 5
    assert torch.equal(cut.steps, drawn.steps)
    among_others = ascend(f, c[[2, 1, 0]], **constants, generator=generator(1))
    torch.testing.assert_close(among_others.x[1], drawn.x[1])
    assert torch.equal(among_others.steps[1], drawn.steps[1])


def test_samples_are_laid_out_by_scene():
    ahead = Futures(torch.linspace(0, 1, 3)[:, None, None, None].expand(3, 1, 4, 5), torch.ones(3, 1))
    c = torch.rand(3, 2, 4, 5, generator=generator())
    drawn = ascend(partial(Oracle(ahead, past=c), sigma=1.0), c, n_samples=2, beta=0.5, generator=generator())
    torch.testing.assert_close(drawn.x, ahead.frames.expand(3, 2, 4, 5))
    assert drawn.steps.shape == drawn.sigma.shape == drawn.reached_sigma_L.shape == (3, 2)
    assert (drawn.sigma <= 0.01).all() and drawn.reached_sigma_L.all()


@pytest.mark.parametrize("centre", [None, 0.2, torch.tensor(0.2), "frames", "prediction"])
def test_centre_of_the_start(centre):
    c, ahead = two_futures([0.3, 0.6])
    f = Oracle(ahead, prior=NoisePrior(0.005, 20.0), past=c)
    starts = []
    frames = torch.rand(2, 1, 8, 8, generator=generator(5))
    ascend(
        f,
        c,
        n_samples=3,
        sigma_0=3.0,
        beta=1.0,
        centre=frames if isinstance(centre, str) and centre == "frames" else centre,
        generator=generator(2),
        callback=lambda t, y, d, sigma, active: starts.append(y),
    )
    same = generator(2)
    if isinstance(centre, str) and centre == "prediction":
        mean = f(0.5 + 3 * torch.randn(6, 1, 8, 8, generator=same), c.repeat_interleave(3, 0))
    elif isinstance(centre, str):
        mean = frames.repeat_interleave(3, 0)
    else:
        mean = 0.5 if centre is None else centre
    torch.testing.assert_close(starts[0], mean + 3 * torch.randn(6, 1, 8, 8, generator=same))


def test_a_centred_start_cures_the_pull_of_mid_grey():
    """One future is mid-grey itself and unlikely; the start on mid-grey favours it, the one on the prediction less."""
    c, ahead = two_futures([0.2])
    ahead = Futures(ahead.frames - ahead.frames[:, :1] + 0.5, ahead.probabilities)  # future 0 is mid-grey
    f = Oracle(ahead, prior=NoisePrior(0.005, 20.0))
    share = {}
    for centre in (None, "prediction"):
        drawn = ascend(f, c, n_samples=800, sigma_0=2.0, beta=0.5, centre=centre, generator=generator())
        share[centre] = (drawn.x[0].mean((1, 2)) > 0.45).float().mean().item()
    assert share[None] > 0.26  # .31 in many more samples
    assert abs(share["prediction"] - 0.2) < 0.05


def test_the_bound_on_steps_warns():
    c = torch.zeros(2, 1, 4, 4)
    with pytest.warns(UserWarning, match="6 of 6 samples were stopped at the bound of 7 steps"):
        drawn = ascend(towards_half, c, n_samples=3, max_steps=7, generator=generator())
    assert not drawn.reached_sigma_L.any() and (drawn.steps == 7).all() and drawn.x.isfinite().all()

    def restless(y, c):  # its residual is always .3 in scenes whose past is white
        return torch.where(c > 0.5, y + 0.3, towards_half(y, c))

    mixed = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    with pytest.warns(UserWarning, match="2 of 4 samples were stopped at the bound of 200"):
        drawn = ascend(restless, mixed, n_samples=2, beta=0.5, max_steps=200, generator=generator())
    assert drawn.reached_sigma_L.tolist() == [[True, True], [False, False]] and drawn.finite.all()


def test_a_residual_that_is_not_finite_is_reported_and_spoils_no_other():
    def broken(y, c):
        return torch.where(c > 0.5, torch.nan, towards_half(y, c))

    mixed = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
    with pytest.warns(UserWarning, match="1 of 2 samples diverged"):
        drawn = ascend(broken, mixed, beta=0.5, generator=generator())
    assert drawn.reached_sigma_L.tolist() == drawn.finite.tolist() == [[True], [False]]
    assert drawn.x[0].isfinite().all()


def test_the_state_is_kept_in_single_precision_and_without_gradients():
    seen = []

    def half(y, c):
        seen.append((y.dtype, y.requires_grad))
        return towards_half(y, c).to(torch.bfloat16).requires_grad_()

    drawn = ascend(half, torch.zeros(1, 1, 4, 4, dtype=torch.bfloat16), sigma_L=0.3, beta=0.5, generator=generator())
    assert set(seen) == {(torch.float32, False)} and drawn.x.dtype == torch.float32 and not drawn.x.requires_grad
    double = ascend(towards_half, torch.zeros(1, 1, 4, 4, dtype=torch.float64), sigma_L=0.3, generator=generator())
    assert double.x.dtype == torch.float64


def test_nothing_touches_the_global_generator():
    state = torch.random.get_rng_state()
    a, b = (ascend(towards_half, torch.zeros(1, 1, 4, 4), beta=0.5, generator=generator(7)).x for _ in range(2))
    assert torch.equal(a, b)
    assert torch.equal(state, torch.random.get_rng_state())


def test_progress(capsys):
    ascend(towards_half, torch.zeros(1, 1, 4, 4), beta=0.5, generator=generator())
    assert capsys.readouterr().err == ""
    ascend(towards_half, torch.zeros(1, 1, 4, 4), beta=0.5, generator=generator(), progress=True)
    assert "step" in capsys.readouterr().err


THEORY = (Path(__file__).parents[2] / "book" / "theory.md").read_text()


def table(first_cell):
    """Rows of numbers of the table of the theory page whose first row of numbers begins so."""
    lines = THEORY[THEORY.index(f"\n| {first_cell} |") + 1 :].split("\n\n")[0].splitlines()
    return [[float(x) for x in re.findall(r"(?<![\w.])\d*\.?\d+", line.replace("sigma_0", ""))] for line in lines]


def test_lengths_on_the_theory_page():
    for sigma_0, *steps in table(r"$\sigma_0 = 1$"):
        assert [Ascent(sigma_0, beta=beta).expected_steps for beta in (1, 0.5, 0.1, 0.01)] == steps


def test_frequencies_on_the_theory_page():
    """The same ascent in the one coordinate that matters, with σ known; 20,000 samples for each entry."""
    expected = np.array(table("0.05"))
    odds, random = expected[:, 0], np.random.default_rng(0)
    for column, (beta, exact_start) in enumerate(((1.0, False), (0.5, False), (0.01, False), (1.0, True)), 1):
        y, sigma = 8 * random.standard_normal((4, 20_000)), 8.0
        if exact_start:  # a draw from the density at σ₀: a future, ±1, under noise
            y += np.where(random.random(y.shape) < odds[:, None], 1, -1)
        for t in range(1, Ascent(8.0, beta=beta).expected_steps + 1):
            h = step_size(t)
            mean = np.tanh((special.logit(odds)[:, None] + 2 * y / sigma**2) / 2)  # futures at ±1
            gamma = sigma * math.sqrt(max((1 - beta * h) ** 2 - (1 - h) ** 2, 0))
            y += h * (mean - y) + (gamma * random.standard_normal(y.shape) if beta < 1 else 0)
            sigma *= 1 - beta * h
        error = np.sqrt(odds * (1 - odds) / y.shape[1])
        assert (np.abs((y > 0).mean(1) - expected[:, column]) < 4 * error).all()


def must_not_run(y, c):
    raise AssertionError("no work before the input is checked")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma_0": 0.01},
        {"sigma_L": 0},
        {"sigma_0": math.inf},
        {"sigma_0": math.nan},
        {"beta": 0},
        {"beta": 1.1},
        {"beta": math.nan},
        {"h_0": 0},
        {"h_0": 1.5},
        {"h_max": 0},
        {"n_samples": 0},
        {"n_samples": 2.0},
        {"n_samples": True},
        {"max_steps": 0},
        {"batch_limit": 0},
        {"centre": "grey"},
        {"centre": math.nan},
        {"centre": torch.zeros(2, 1, 4, 4)},
        {"centre": torch.full((1, 1, 4, 4), math.nan)},
        {"generator": 0},
        {"c": torch.zeros(1, 4, 4)},
        {"c": torch.zeros(1, 1, 4, 4, dtype=torch.uint8)},
        {"c": np.zeros((1, 1, 4, 4))},
        {"c": torch.full((1, 1, 4, 4), math.nan)},
        {"c": torch.zeros(0, 1, 4, 4)},
    ],
    ids=lambda wrong: ",".join(wrong),
)
def test_bad_input_is_refused_before_any_work(wrong):
    good = {"f": must_not_run, "c": torch.zeros(1, 1, 4, 4), "generator": generator()}
    with pytest.raises(ValueError, match=r"due|must"):
        ascend(**{**good, **wrong})


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        ascend(UNet(1, (4, 4)), torch.zeros(1, 1, 4, 4), generator=generator())
    network = UNet(1, (4, 4)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # untrained, it may not settle
        assert ascend(network, torch.zeros(1, 1, 4, 4), generator=generator(), max_steps=3).x.shape == (1, 1, 4, 4)


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    n_samples=st.integers(1, 3),
    memory=st.integers(0, 3),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    beta=st.sampled_from([0.2, 0.5, 1.0]),
    h_0=st.sampled_from([0.01, 0.1, 1.0]),
    limit=st.sampled_from([None, 1, 2, 100]),
)
def test_shapes(batch, n_samples, memory, size, beta, h_0, limit):
    def f(y, c):
        assert y.shape == (len(c), 1, *size) and c.shape[1:] == (memory, *size)
        assert limit is None or len(y) <= limit
        return 0.5 + 0.1 * (y - 0.5)

    c = torch.rand(batch, memory, *size, generator=generator())
    drawn = ascend(f, c, n_samples=n_samples, beta=beta, h_0=h_0, batch_limit=limit, generator=generator())
    assert drawn.x.shape == (batch, n_samples, *size) and drawn.x.isfinite().all()
    assert drawn.steps.shape == drawn.sigma.shape == drawn.reached_sigma_L.shape == (batch, n_samples)
    assert drawn.reached_sigma_L.all() and (drawn.sigma <= 0.01).all()
    assert (drawn.steps <= 1000).all()


@settings(max_examples=25, deadline=None)
@given(sigma_0=st.floats(-1, 10), sigma_L=st.floats(-1, 10), h_0=st.floats(-0.5, 1.5), beta=st.floats(-0.5, 1.5))
def test_constants_are_accepted_or_refused(sigma_0, sigma_L, h_0, beta):
    good = 0 < sigma_L < sigma_0 and 1e-3 < h_0 <= 1 and 1e-3 < beta <= 1
    constants = {"sigma_0": sigma_0, "sigma_L": sigma_L, "h_0": h_0, "beta": beta}
    if good:
        assert 1 <= Ascent(**constants).expected_steps < 10**6
    elif not (0 < sigma_L < sigma_0 and 0 < h_0 <= 1 and 0 < beta <= 1):
        with pytest.raises(ValueError, match=r"due|must"):
            Ascent(**constants)
        with pytest.raises(ValueError, match=r"due|must"):
            ascend(must_not_run, torch.zeros(1, 1, 4, 4), generator=generator(), **constants)


def test_noise_levels_step_by_step():
    """y + h d + γ z is "denoise to (1 − h)σ, re-noise to (1 − βh)σ": the same frames, and the same levels of noise."""
    x = torch.rand(3, 1, 4, 4, generator=generator(), dtype=torch.float64)
    z, new = torch.randn(2, 3, 1, 4, 4, generator=generator(1), dtype=torch.float64)
    sigma = torch.tensor([0.1, 1.0, 7.0], dtype=torch.float64)
    column = sigma[:, None, None, None]
    y = x + column * z
    for h in (0.01, 0.3, 0.9, 1.0):
        for beta in (0.01, 0.5, 0.99, 1.0):
            after = partial_step(y, x - y, sigma, h, beta, new)
            kept, due = (1 - h) * column, (1 - beta * h) * column
            added = (due.square() - kept.square()).clamp_min(0).sqrt()
            torch.testing.assert_close(after, x + kept * z + added * new, rtol=1e-12, atol=1e-6 if beta == 1 else 1e-12)


def test_the_schedules_level_is_that_of_the_residual_for_an_exact_residual():
    """Where ‖d‖ is σ√N exactly, taking σ from the schedule changes nothing."""

    def f(y, c):  # an "estimate" whose residual has the norm that the schedule foresees
        return y + levels[next(at)] * y / y.flatten(1).norm(dim=1)[:, None, None, None] * 4

    steps = Ascent(2.0, 0.05, 0.1, beta=0.5).expected_steps
    levels = [2.0]
    for t in range(1, steps + 1):
        levels.append(levels[-1] * (1 - 0.5 * step_size(t, 0.1)))
    found = []
    for source in ("residual", "ladder"):
        at = iter(range(steps + 1))
        c = torch.zeros(3, 1, 4, 4, dtype=torch.float64)
        found.append(
            ascend(f, c, sigma_0=2.0, sigma_L=0.05, h_0=0.1, beta=0.5, level_from=source, generator=generator())
        )
    torch.testing.assert_close(found[0].x, found[1].x)
    assert (found[0].steps == steps).all() and (found[1].steps == steps).all()
    assert (found[0].evaluations == steps + 1).all()


@pytest.mark.parametrize("level_from", ["residual", "ladder"])
def test_a_denoiser_that_needs_sigma_gets_the_schedules_level(level_from):
    given = []

    def f(y, c, sigma):
        given.append(sigma.unique().item())
        return torch.full_like(y, 0.5)

    f.needs_sigma = True
    c = torch.zeros(2, 1, 4, 4)
    samples = ascend(
        f, c, sigma_0=1.0, sigma_L=0.4, h_0=0.5, beta=0.5, level_from=level_from, centre="prediction",
        generator=generator(),
    )  # fmt: skip
    assert given == pytest.approx([1, 1, 0.75, 0.5, 0.3125])
    assert (samples.evaluations == 5).all() and (samples.steps == 3).all()


def test_the_source_of_sigma_is_checked():
    with pytest.raises(ValueError, match="level_from must be one of residual, ladder, got 'known'"):
        Ascent(level_from="known")


def test_the_published_constants():
    assert Ascent(1.0, 0.01, 0.01, 1.0, 0.01, 2000, level_from="residual", centre=None) == KS2021
