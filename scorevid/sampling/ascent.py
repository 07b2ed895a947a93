r"""Sampling p(x | c) by stochastic coarse-to-fine ascent of the score that a blind denoiser carries.

The algorithm of Kadkhodaie and Simoncelli (2021, arXiv 2007.13640), which the paper uses. From
:math:`y_0 \sim \mathcal N(\text{centre}, \sigma_0^2 I)`, for t = 1, 2, ...

.. math::
    d_t &= f(y, c) - y, \qquad \sigma_t = \|d_t\| / \sqrt N, \qquad h_t = \frac{h_0 t}{1 + h_0 (t - 1)}, \\
    y &\leftarrow y + h_t d_t + \gamma_t z, \qquad
    \gamma_t^2 = \big[(1 - \beta h_t)^2 - (1 - h_t)^2\big] \sigma_t^2 ,

until :math:`\sigma_t \le \sigma_L`; then the sample is y + d_t = f(y, c), y denoised once more. (The earlier public code
takes the step at which it finds :math:`\sigma_t \le \sigma_L` as well: one more evaluation at the lowest level.)

In words: denoise to (1 − h)σ, then add noise up to (1 − βh)σ. With β = 1 no noise is added and the step is Euler's
for the probability-flow equation in log σ; smaller β forgets more of the past trajectory and takes more steps. How
often a future is chosen is wrong by the order of h at the levels where the choice is made, whatever β, and by the
start where σ_0 is not large (derived in ``book/theory.md``).
Steps and noise estimates are each sample's own; a finished sample leaves the batch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import count, takewhile

import torch
from torch import Tensor

from scorevid import checks
from scorevid.sampling.sampler import Centre, Sampler, SamplerState, Samples


@dataclass(frozen=True)
class Ascent(Sampler):
    """The ascent, by default with the constants of the earlier public code.

    sigma_0, sigma_L: first and last noise level in grey units. For the right frequencies σ_0 has to be several times
    the distance between the futures, and within what f was trained on. h_0: first step size; h grows towards
    ``h_max`` (1 in the published algorithm). beta: in (0, 1], 1 adds no noise. max_steps: bound on the updates.
    level_from: "ladder" is the schedule σ_{t+1} = (1 − β h_t) σ_t from σ_0.

    Samples that are above σ_L at ``max_steps`` are denoised as they are, and a warning says how many; so does one for
    estimates that are not finite.
    """

    sigma_0: float = 1.0
    sigma_L: float = 0.01
    h_0: float = 0.01
    h_max: float = 1.0
    beta: float = 0.01
    max_steps: int = 2000
    _: KW_ONLY
    centre: Centre = None

    def __post_init__(self):
        super().__post_init__()
        checks.ladder_ends(self.sigma_0, self.sigma_L)
        for name in ("h_0", "h_max", "beta"):
            checks.number(name, getattr(self, name), high=1.0, above=0.0)
        checks.integer("max_steps", self.max_steps)

    @property
    def expected_steps(self) -> int:
        """Updates from σ_0 to σ_L with an exact denoiser of known σ; a network's residual may under- or overestimate σ."""
        return sum(1 for _ in takewhile(lambda level: level > self.sigma_L, self.levels()))

    def levels(self) -> Iterator[float]:
        """The noise levels σ_0, σ_1, ... before each update with an exact denoiser of known σ, without end."""
        level = self.sigma_0
        for t in count(1):
            yield level
            level *= 1 - self.beta * step_size(t, self.h_0, self.h_max)

    def _sample(self, state: SamplerState) -> Samples:
        x, steps, of_start = torch.empty_like(state.y), torch.zeros_like(state.active), state.evaluations
        last = torch.zeros_like(state.y[:, 0, 0, 0])
        for t, level in enumerate(self.levels(), 1):
            estimate, sigma = state.observe(level)
            going = (sigma > self.sigma_L) & sigma.isfinite() & (t <= self.max_steps)
            if not going.all():
                over = state.active[~going]
                x[over], steps[over], last[over] = estimate[~going], t - 1, sigma[~going]
                state.keep(going)
                estimate, sigma = estimate[going], sigma[going]
            if not len(state.active):
                break
            h = step_size(t, self.h_0, self.h_max)
            z = state.noise()[state.active] if self.beta < 1 else None
            state.y = partial_step(state.y, estimate - state.y, sigma, h, self.beta, z)
        reached = last <= self.sigma_L
        self._warn(last, reached)
        return state.samples(x, reached, steps=steps, evaluations=of_start + steps + 1, sigma=last)

    def _warn(self, sigma: Tensor, reached: Tensor) -> None:
        lost = ~sigma.isfinite()
        stopped = ~reached & ~lost
        far = f"with a noise estimate of up to {sigma[stopped].max():.3g}" if stopped.any() else ""
        why = f"were stopped at the bound of {self.max_steps} steps {far}, above sigma_L = {self.sigma_L:g}"
        for some, fate in ((stopped, why), (lost, "diverged: their residual is not finite")):
            if some.any():  # at the line that called the sampler
                warnings.warn(f"{int(some.sum())} of {len(some)} samples {fate}", stacklevel=5)


KS2021 = Ascent()  #: as in Kadkhodaie and Simoncelli's earlier public code


def ascend(
    f, c: Tensor, *, generator, n_samples=1, batch_limit=None, callback=None, progress=False, **settings
) -> Samples:
    """Draw samples of the next frame given the past by the stochastic ascent.

    settings: the fields of :class:`Ascent`. The rest is as for any :class:`~scorevid.sampling.sampler.Sampler`, which says
    what is returned and raised.
    """
    call = {"batch_limit": batch_limit, "callback": callback, "progress": progress}
    return Ascent(**settings)(f, c, generator=generator, n_samples=n_samples, **call)


def step_size(t: int, h_0: float = 0.01, h_max: float = 1.0) -> float:
    """h_t = h_0 t / (1 + h_0 (t − 1)), from h_0 at t = 1 towards 1, but no more than h_max."""
    return min(h_0 * t / (1 + h_0 * (t - 1)), h_max)


def partial_step(y: Tensor, d: Tensor, sigma: Tensor, h: float, beta: float, z: Tensor | None) -> Tensor:
    """One update y + h d + γ z: partly denoise, partly renoise.

    y, d, z: (B, 1, H, W). sigma: (B,), noise level of each y. From σ it leaves (1 − h)σ of the old noise and adds new
    up to (1 − βh)σ. z is not used when β = 1.
    """
    if beta == 1:
        return y + h * d
    gamma = math.sqrt((1 - beta * h) ** 2 - (1 - h) ** 2) * sigma
    return y + h * d + gamma[:, None, None, None] * z
