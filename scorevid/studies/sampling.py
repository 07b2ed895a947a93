"""How well a sampler weighs futures: what chapter 3 measures, of which samplers, and on which scenes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.exact import Oracle
from scorevid.estimates import Estimate, wilson
from scorevid.measures import calibration, choices
from scorevid.noise.prior import NoisePrior
from scorevid.sampling.ascent import Ascent
from scorevid.sampling.sampler import Sampler, Samples
from scorevid.sampling.solvers import Ancestral, Churn, Euler, Heun, Ladder, Multistep
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

ASCENT = Ascent(sigma_0=5.0, beta=0.5, centre="prediction")  #: the ascent with constants that serve it better
_ONE, _TWO = (6, 12, 20, 36), (3, 6, 10, 18)  # steps of solvers with one evaluation a step, and with two


def _of_steps(kind: type[Sampler], steps: Iterable[int], level_from: str = "ladder", **settings) -> list[Sampler]:
    return [kind(Ladder(steps=n), level_from=level_from, **settings) for n in steps]


SOLVERS: dict[str, list[Sampler]] = {
    "multistep, β = 1, σ from the residual": _of_steps(Multistep, _ONE, "residual"),
    "multistep, β = 1": _of_steps(Multistep, _ONE),
    "multistep, β = ½": _of_steps(Multistep, _ONE, beta=0.5),
    "Heun": _of_steps(Heun, _TWO),
    "Euler": _of_steps(Euler, _ONE),
    "ancestral": _of_steps(Ancestral, _ONE),
    "churn": _of_steps(Churn, _TWO),
}
CONSTANTS: dict[str, list[float]] = {  # of the ascent, in whose place each is put
    "beta": [0.1, 0.25, 0.5, 1.0],
    "h_0": [0.005, 0.01, 0.03, 0.1],
    "h_max": [0.1, 0.2, 1.0],
    "sigma_0": [0.5, 1.0, 2.0, 5.0],
}


def meetings(
    world: Leaves, n: int, generator: torch.Generator, probability: Sequence[float] | Tensor | None = None
) -> tuple[Tensor, Futures, Oracle]:
    """Undecided meetings: past frames (n, M, H, W), futures, exact blind denoiser.

    probability: of the first future, evenly over [0.05, 0.95] if not given. Raises ValueError where such scenes are too rare.
    """
    probability = torch.linspace(0.05, 0.95, n) if probability is None else probability
    scenes, ahead = undecided_meetings(world, n, generator, probability=probability)
    c = scenes.past()
    return c, ahead, Oracle(ahead, past=c, prior=NoisePrior(0.005, 100.0))


@dataclass(frozen=True)
class ChoiceStatistics:
    """How often samples of scenes with two futures chose which.

    slope, intercept: of the log odds chosen against the true ones. towards_grey: the intercept where A is the future
    nearer to mid-grey, a bias of the start. These are None where no line can be fitted. calibration_error: expected, less
    what chance adds; None for too few scenes. blends: share of samples that are neither future. rendering_error: in grey².
    evaluations: of the denoiser for one sample, on average. converged: share of samples that came down to σ_L. scenes: their
    number. bins: of :func:`bins`.

    Intervals are of 95 %. Those of slopes, intercepts and the calibration error draw scenes anew; those of shares and
    frequencies are Wilson's, for the scenes as they are, whose samples are independent.
    """

    slope: Estimate | None
    intercept: Estimate | None
    towards_grey: Estimate | None
    calibration_error: Estimate | None
    blends: Estimate
    rendering_error: float
    evaluations: float
    converged: float
    scenes: int
    bins: dict[str, list[float]]

    def record(self) -> dict:
        """The same as it is stored: estimates as [value, low, high]."""
        return {name: list(v) if isinstance(v, Estimate) else v for name, v in vars(self).items()}


def choice_statistics(samples: Samples, ahead: Futures, seed: int = 0, replicates: int = 2000) -> ChoiceStatistics:
    """How often samples chose which of a scene's two futures. seed, replicates: of the bootstrap."""
    probability = choices.first_probability(ahead).numpy()
    u = choices.projection(samples.x, ahead)
    counts = choices.count_choices(u)
    error, slope, intercept, towards_grey = None, None, None, None
    with suppress(ValueError):  # too few scenes that chose
        error = calibration.calibration_error(probability, counts.first, counts.second, seed=seed).corrected
    with suppress(ValueError):  # nothing was chosen, or nothing but one side
        fit = calibration.fit_logit(probability, counts.first, counts.second, seed=seed, replicates=replicates)
        slope, intercept = fit.slope, fit.intercept
        first = nearer_to_grey(ahead).numpy()
        pairs = (probability, 1 - probability), (counts.first, counts.second), (counts.second, counts.first)
        towards = [np.where(first, *pair) for pair in pairs]  # A and B exchanged where B is the nearer
        towards_grey = calibration.fit_logit(*towards, seed=seed, replicates=replicates).intercept
    return ChoiceStatistics(
        slope=slope,
        intercept=intercept,
        towards_grey=towards_grey,
        calibration_error=error,
        blends=choices.blend_share(u),
        rendering_error=choices.rendering_error(samples.x, ahead).mean().item(),
        evaluations=samples.evaluations.float().mean().item(),
        converged=samples.reached_sigma_L.float().mean().item(),
        scenes=len(probability),
        bins=bins(probability, counts),
    )


def bins(probability: np.ndarray, counts: choices.Counts, n: int = 10) -> dict[str, list[float]]:
    """Scenes in n groups by probability, or one a scene where there are fewer: lists of "probability", "frequency", "low" and
    "high" (Wilson, 95 %).

    probability: (B,) of the first future. Samples that chose neither are left out.
    """
    groups = np.array_split(np.argsort(probability, kind="stable"), min(n, len(probability)))
    shares = [wilson(counts.first[g].sum(), (counts.first + counts.second)[g].sum()) for g in groups]
    return {
        "probability": [float(probability[g].mean()) for g in groups],
        "frequency": [share.value for share in shares],
        "low": [share.low for share in shares],
        "high": [share.high for share in shares],
    }


def nearer_to_grey(ahead: Futures) -> Tensor:
    """Whether the first of a scene's two futures is the one nearer to a frame of mid-grey, (B,) bool."""
    distance = (ahead.frames - 0.5).square().sum((2, 3))
    return distance[:, 0] < distance[:, 1]


def by_solver(results: list[dict], network: str, solvers: Iterable[str]) -> dict[str, list[dict]]:
    """The stored results of a network by solver, without those that have no slope."""
    rows = [r for r in results if r["network"] == network and "slope" in r]
    return {solver: [r for r in rows if r["solver"] == solver] for solver in solvers}


def distance_from_one(slope: Sequence[float] | None) -> list[float] | None:
    """How far from 1, :math:`|b - 1|`, with its interval, from a slope (value, low, high) with its own; None of none."""
    if slope is None:
        return None
    value, low, high = slope
    ends = abs(low - 1), abs(high - 1)
    return [abs(value - 1), 0.0 if low <= 1 <= high else min(ends), max(ends)]
