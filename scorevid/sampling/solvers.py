r"""Samplers that go down a fixed ladder of noise levels: solvers to compare the ascent with, and the one we recommend.

With a denoiser D = E[x | y, c] the probability-flow equation in log σ is

.. math:: \frac{dy}{d \ln \sigma} = y - D(y), \qquad
          \text{exactly, for constant } D: \quad y' = D + \frac{\sigma'}{\sigma} (y - D) ,

so that only the ratio r = σ'/σ of two levels matters, and a blind denoiser serves as well as one that needs σ. Each
class is a rule by which y at the level σ becomes y' at the ladder's next level σ'. At the last level y is denoised once more.

Where the level of a step is read from the residual, :math:`\hat\sigma = \|d\| / \sqrt N`, r is the ladder's next level over
σ̂: a sample that is noisier than foreseen takes a longer step, and errors of level do not add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter

import torch
from torch import Tensor

from scorevid import checks
from scorevid.sampling.sampler import Sampler, SamplerState, Samples

LEAST_RATIO, MOST_RATIO = 1e-3, 1 - 1e-3  # of two levels, where the residual decides


@dataclass(frozen=True)
class Ladder:
    """``steps`` + 1 noise levels from σ_0 down to σ_L, in grey units.

    rho: None for equal ratios; otherwise equal steps of σ^{1/ρ} (Karras et al. 2022; 7 there), which are closer together
    at small σ. Raises ValueError for bad input.
    """

    sigma_0: float = 5.0
    sigma_L: float = 0.01
    steps: int = 12
    rho: float | None = None

    def __post_init__(self):
        checks.integer("steps", self.steps)
        checks.ladder_ends(self.sigma_0, self.sigma_L)
        if self.rho is not None:
            checks.number("rho", self.rho, above=0.0)

    def levels(self) -> list[float]:
        """The levels, σ_0 first."""
        part = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64)
        if self.rho is None:
            return (self.sigma_0 * (self.sigma_L / self.sigma_0) ** part).tolist()
        first, last = self.sigma_0 ** (1 / self.rho), self.sigma_L ** (1 / self.rho)
        return ((first + part * (last - first)) ** self.rho).tolist()


@dataclass(frozen=True)
class LadderSampler(Sampler):
    """What these samplers share. Each has a method ``_descend(state)``, which brings ``state.y`` to σ_L."""

    ladder: Ladder = Ladder()

    sigma_0 = property(attrgetter("ladder.sigma_0"), doc="The first noise level, in grey units.")
    expected_steps = property(attrgetter("ladder.steps"), doc="The ladder's steps.")

    def levels(self) -> list[float]:
        """Noise levels of the frames that a callback sees, the last one's with them."""
        return self.ladder.levels()

    def _sample(self, state: SamplerState) -> Samples:
        self._descend(state)
        x, sigma = state.observe(self.ladder.levels()[-1])
        return state.samples(x, True, steps=self.ladder.steps, evaluations=state.evaluations, sigma=sigma)

    def _steps(self, state: SamplerState) -> Iterator[tuple[Tensor, Tensor, Tensor, float]]:
        """Denoise before each step, which is to set ``state.y``: D (n, 1, H, W), σ and r = σ'/σ (n, 1, 1, 1), and σ'."""
        for level, target in pairwise(self.ladder.levels()):
            level = self._raised(state, level)
            x_hat, sigma = state.observe(level)
            r = torch.full_like(sigma, target / level)
            if state.level_from == "residual":
                r = (target / sigma).clamp(LEAST_RATIO, MOST_RATIO)
            yield x_hat, sigma[:, None, None, None], r[:, None, None, None], target

    def _raised(self, state: SamplerState, level: float) -> float:
        return level  # noise may be added before the step


class Euler(LadderSampler):
    """y' = D + r (y − D) (DDIM with no noise; Song et al. 2021). It is the ascent's step with β = 1 and h = 1 − r."""

    def _descend(self, state: SamplerState) -> None:
        for x_hat, _, r, _ in self._steps(state):
            state.y = x_hat + r * (state.y - x_hat)


class Heun(LadderSampler):
    r"""The same for D linear in log σ between its values at the two ends of a step of length H = ln(σ/σ').

    .. math:: y' = r y + (1 - r) D + \big(1 - \tfrac{1 - r}{H}\big) (D' - D) ,

    with D' evaluated where Euler's step ends, so twice as many evaluations. Predictor and corrector as in Karras et al. (2022,
    algorithm 1), but integrated exactly in log σ where theirs averages slopes in σ.
    """

    def _descend(self, state: SamplerState) -> None:
        for x_hat, _, r, target in self._steps(state):
            after = state.denoise(x_hat + r * (state.y - x_hat), target)
            length = -r.log()
            state.y = r * state.y + (1 - r) * x_hat + (1 - (1 - r) / length) * (after - x_hat)


class Ancestral(LadderSampler):
    r""":math:`y' = D + r^2 (y - D) + \sigma' \sqrt{1 - r^2}\, z`, the exact posterior of the noise, given D.

    DDPM (Ho et al. 2020), for noise that explodes.
    """

    def _descend(self, state: SamplerState) -> None:
        for x_hat, _, r, target in self._steps(state):
            state.y = x_hat + r.square() * (state.y - x_hat) + target * (1 - r.square()).sqrt() * state.noise()


@dataclass(frozen=True)
class Churn(LadderSampler):
    """Noise up to σ̂ = (1 + γ) σ, then Heun's step from σ̂ (Karras et al. 2022, algorithm 2), in σ rather than in log σ.

    gamma: γ ≥ 0, relative noise that is added before each step: one for all levels, with no bounds and no factor on the
    noise, which Karras et al. have besides. Twice as many evaluations as steps.
    """

    gamma: float = 0.4

    def __post_init__(self):
        super().__post_init__()
        checks.number("gamma", self.gamma, low=0)

    def levels(self) -> list[float]:
        """Noise levels of the frames that a callback sees: raised above the ladder's, but for the last one's."""
        *levels, last = self.ladder.levels()
        return [(1 + self.gamma) * level for level in levels] + [last]

    def _descend(self, state: SamplerState) -> None:
        for x_hat, _, r, target in self._steps(state):
            there = x_hat + r * (state.y - x_hat)
            after = there - state.denoise(there, target)
            state.y = state.y + (r - 1) / 2 * ((state.y - x_hat) + after / r)

    def _raised(self, state: SamplerState, level: float) -> float:
        raised = (1 + self.gamma) * level
        state.y = state.y + math.sqrt(raised**2 - level**2) * state.noise()
        return raised


@dataclass(frozen=True)
class Multistep(LadderSampler):
    r"""Our own, second-order with one evaluation a step.

    It keeps :math:`r^{1/\beta}` of the old noise, adds new up to σ', and extrapolates D from the last two evaluations
    over the log σ that the *residuals* have measured:

    .. math:: y' = (1 - h) y + h \bar D + \gamma z, \qquad 1 - h = r^{1/\beta}, \qquad \gamma^2 = \sigma'^2 - (1-h)^2 \sigma^2,

    .. math:: \bar D = D_n + \Big( \frac{H}{h} - \beta \Big) \frac{D_n - D_{n-1}}{H_{n-1}} , \qquad
              H = \ln \frac{\sigma}{\sigma'}, \quad H_{n-1} = \ln \frac{\sigma_{n-1}}{\sigma_n} .

    For D linear in log σ, the coefficient makes the step exact (the integral of :math:`e^{-(H - s)/\beta} / \beta` against
    D + s D'). β = 1 agrees to second order with the DPM-Solver++(2M) of Lu et al. (2022), β = ½ with its stochastic
    variant; the weight here is the exact one. beta: in (0, 1], 1 adds no noise.
    """

    beta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        checks.number("beta", self.beta, high=1.0, above=0.0)

    def _descend(self, state: SamplerState) -> None:
        before = None  # estimate and level of the step before
        for x_hat, sigma, r, _ in self._steps(state):
            length, kept = -r.log(), r ** (1 / self.beta)
            mean = x_hat
            if before is not None:
                earlier, was = before
                passed = (was / sigma).log().clamp_min(0.1 * length)  # a residual may not have fallen at all
                mean = x_hat + (length / (1 - kept) - self.beta) / passed * (x_hat - earlier)
            before = x_hat, sigma
            state.y = kept * state.y + (1 - kept) * mean
            if self.beta < 1:
                state.y = state.y + sigma * (r.square() - kept.square()).sqrt() * state.noise()


RECOMMENDED = Multistep()  #: what chapter 3 recommends
METHODS = {"euler": Euler, "heun": Heun, "ancestral": Ancestral, "churn": Churn, "multistep": Multistep}


def solve(
    f, c: Tensor, *, method="multistep", steps=12, sigma_0=5.0, sigma_L=0.01, rho=None, generator, n_samples=1, **more
) -> Samples:
    """Draw samples of the next frame given the past in a fixed number of steps; by default as chapter 3 recommends.

    method: a sampler's name in small letters. steps, sigma_0, sigma_L, rho: of its :class:`Ladder`. more: its own settings
    (level_from, centre, beta of "multistep", gamma of "churn"), and batch_limit, callback and progress. These and the rest
    are as for any :class:`~scorevid.sampling.sampler.Sampler`, which says what is returned and raised.
    """
    checks.one_of("method", method, METHODS)
    call = {name: more.pop(name) for name in ("batch_limit", "callback", "progress") if name in more}
    sampler = METHODS[method](ladder=Ladder(sigma_0, sigma_L, steps, rho), **more)
    return sampler(f, c, generator=generator, n_samples=n_samples, **call)
