"""Samples of given seeds stay what they were: another order of random draws would part them from all that is stored."""

import pytest
import torch

from scorevid.sampling import ascend, solve

C = torch.linspace(0, 1, 32, dtype=torch.float64).reshape(2, 1, 4, 4)


def f(y, c):
    return (c.mean(1, keepdim=True) + (3 * y).tanh()) / 2


def generator():
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method": "euler"}, [0.627508, 0.898715, 0.915251]),
        ({"method": "heun"}, [0.868018, 0.898711, 0.915251]),
        ({"method": "ancestral"}, [0.675947, 0.898845, 0.915558]),
        ({"method": "churn"}, [0.887097, 0.898403, 0.91447]),
        ({"method": "multistep"}, [0.886738, 0.898588, 0.915244]),
        ({"method": "multistep", "beta": 0.5}, [0.886991, 0.901044, 0.915545]),
    ],
)
def test_solvers(settings, expected):
    samples = solve(f, C, steps=4, n_samples=2, rho=7.0, generator=generator(), **settings)
    assert samples.x[1, 1, 2, :3].tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.filterwarnings("ignore:2 of 4 samples were stopped")
@pytest.mark.parametrize(
    ("beta", "expected", "steps"),
    [
        (0.05, [0.880358, 0.898191, 0.915221], [[36, 25], [40, 40]]),
        (0.5, [0.881799, 0.89863, 0.915249], [[21, 22], [20, 19]]),
        (1.0, [0.882098, 0.898695, 0.915257], [[20, 18], [16, 15]]),
    ],
)
def test_the_ascent(beta, expected, steps):
    samples = ascend(f, C, n_samples=2, sigma_0=2.0, h_0=0.1, beta=beta, max_steps=40, generator=generator())
    assert samples.x[1, 1, 2, :3].tolist() == pytest.approx(expected, abs=2e-6)
    assert samples.steps.tolist() == steps
