"""How well a sampler weighs futures, case by case: what chapter 3 measures, and the stored results of its sweep.

``make sweep`` runs the notebooks in ``notebooks/sweeps`` by papermill. They measure samplers, their constants, and the
network as its training went on, each on the same scenes, and store what they found, with their parameters, in
``scorevid/studies/results``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.conditioned import Told
from scorevid.denoisers.exact import blind_posterior_mean
from scorevid.estimates import wilson
from scorevid.measures import calibration, choices
from scorevid.noise.prior import NoisePrior
from scorevid.sampling.ascent import ascend
from scorevid.sampling.solvers import solve
from scorevid.sampling.starts import Samples
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves

FOLDER = Path(__file__).parent / "results"
PUBLISHED = {
    "sigma_0": 1.0,
    "sigma_L": 0.01,
    "h_0": 0.01,
    "beta": 0.01,
    "centre": None,
}  # constants of the sampler's earlier public code
RECOMMENDED = {
    "method": "multistep",
    "steps": 12,
    "beta": 1.0,
    "sigma": "residual",
    "sigma_0": 5.0,
    "centre": "prediction",
}
ASCENT = {"sigma_0": 5.0, "sigma_L": 0.01, "h_0": 0.01, "beta": 0.5, "centre": "prediction"}
_ONE, _TWO = (6, 12, 20, 36), (3, 6, 10, 18)  # steps of solvers with one evaluation a step, and with two
_LADDER = {"sigma": "schedule"}
_SOLVERS: dict[str, tuple[dict, tuple[int, ...]]] = {
    "multistep, β = 1, σ from the residual": ({"method": "multistep", "beta": 1.0, "sigma": "residual"}, _ONE),
    "multistep, β = 1": ({"method": "multistep", "beta": 1.0} | _LADDER, _ONE),
    "multistep, β = ½": ({"method": "multistep", "beta": 0.5} | _LADDER, _ONE),
    "Heun": ({"method": "heun"} | _LADDER, _TWO),
    "Euler": ({"method": "euler"} | _LADDER, _ONE),
    "ancestral": ({"method": "ancestral"} | _LADDER, _ONE),
    "churn": ({"method": "churn"} | _LADDER, _TWO),
}
SOLVERS = {name: [{"sigma_0": 5.0, "steps": n} | case for n in steps] for name, (case, steps) in _SOLVERS.items()}
CONSTANTS: dict[str, list[float]] = {
    "beta": [0.1, 0.25, 0.5, 1.0],
    "h_0": [0.005, 0.01, 0.03, 0.1],
    "h_max": [0.1, 0.2, 1.0],
    "sigma_0": [0.5, 1.0, 2.0, 5.0],
}


def meetings(
    world: Leaves, n: int, generator: torch.Generator, odds: Sequence[float] | Tensor | None = None
) -> tuple[Tensor, Futures, Callable[[Tensor, Tensor], Tensor]]:
    """Undecided meetings: past frames (n, M, H, W), futures, exact blind denoiser. Odds evenly over [0.05, 0.95], or given.

    Raises ValueError where such scenes are too rare in the world.
    """
    odds = torch.linspace(0.05, 0.95, n) if odds is None else odds
    scenes, ahead = undecided_meetings(world, n, generator, probability=odds)
    c = scenes.past()
    return c, ahead, blind_posterior_mean(ahead, NoisePrior(0.005, 100.0), past=c)


def sample(f: Callable[..., Tensor], c: Tensor, settings: dict, generator: torch.Generator, **common) -> Samples:
    """Samples by :func:`~scorevid.sampling.ascent.ascend`, or, where the settings name a method, by ``solve``.

    A network that is told σ takes it from the schedule. common: ``n_samples``, ``batch_limit``.
    """
    if isinstance(f, Told):
        settings = settings | {"told": True, "sigma": "schedule"}
    draw = solve if "method" in settings else ascend
    return draw(f, c, generator=generator, **settings, **common)


def measure(samples: Samples, ahead: Futures, seed: int = 0, replicates: int = 2000) -> dict:
    """How often samples of scenes with two futures chose which: plain numbers, those in threes are value, low and high.

    slope, intercept: of the log odds chosen against the true ones. towards_grey: the intercept where A is the future
    nearer to mid-grey, a bias of the start. blends: share of samples that are neither future. calibration_error:
    expected, less what chance adds. rendering_error: grey² a pixel. evaluations: of the denoiser for one sample, on
    average. converged: share. scenes: their number. bins: scenes in ten groups by probability, mean probability and
    frequency of each. Where no line can be fitted slope, intercept and towards_grey are None.

    Intervals are of 95 %. Those of slopes, intercepts and the calibration error draw scenes anew; those of shares and
    frequencies are Wilson's, for the scenes as they are, whose samples are independent.
    """
    odds = choices.first_probability(ahead).numpy()
    u = choices.projection(samples.x, ahead)
    counts = choices.count_choices(u)
    result = {
        "slope": None,
        "intercept": None,
        "towards_grey": None,
        "calibration_error": None,
        "blends": list(choices.blend_share(u)),
        "rendering_error": choices.rendering_error(samples.x, ahead).mean().item(),
        "evaluations": samples.evaluations.float().mean().item(),
        "converged": samples.converged.float().mean().item(),
        "scenes": len(odds),
        "bins": bins(odds, counts),
    }
    with suppress(ValueError):  # too few scenes that chose
        error = calibration.calibration_error(odds, counts.first, counts.second, seed=seed)
        result["calibration_error"] = list(error.corrected)
    grey_first = nearer_to_grey(ahead).numpy()
    towards = [np.where(grey_first, *pair) for pair in _both_ways(odds, counts)]
    with suppress(ValueError):  # nothing was chosen, or nothing but one side
        fit = calibration.fit_logit(odds, counts.first, counts.second, seed=seed, replicates=replicates)
        result |= {"slope": list(fit.slope), "intercept": list(fit.intercept)}
        grey = calibration.fit_logit(*towards, seed=seed, replicates=replicates)
        result["towards_grey"] = list(grey.intercept)
    return result


def bins(odds: np.ndarray, counts: choices.Counts, n: int = 10) -> dict[str, list[float]]:
    """Scenes in n groups by probability: lists of "probability", "frequency", "low" and "high" (Wilson, 95 %).

    odds: (B,) probability of the first future. Samples that chose neither are left out.
    """
    groups = np.array_split(np.argsort(odds, kind="stable"), n)
    shares = [wilson(counts.first[g].sum(), (counts.first + counts.second)[g].sum()) for g in groups]
    return {
        "probability": [float(odds[g].mean()) for g in groups],
        "frequency": [share.value for share in shares],
        "low": [share.low for share in shares],
        "high": [share.high for share in shares],
    }


def nearer_to_grey(ahead: Futures) -> Tensor:
    """Whether the first of a scene's two futures is the one nearer to a frame of mid-grey, (B,) bool."""
    distance = (ahead.frames - 0.5).square().sum((2, 3))
    return distance[:, 0] < distance[:, 1]


def by_solver(results: list[dict], network: str, solvers: Iterable[str]) -> dict[str, list[dict]]:
    """The stored results of a network by solver, each with ``off``, the distance of its slope from one."""
    return {
        solver: [
            r | {"off": distance_from_one(r["slope"])}
            for r in results
            if (r["network"], r["solver"]) == (network, solver)
        ]
        for solver in solvers
    }


def distance_from_one(slope: list[float] | None) -> list[float] | None:
    """How far from 1, :math:`|b - 1|`, with its interval, from a slope with its own: value, low, high; None of none."""
    if slope is None:
        return None
    value, *ends = (abs(v - 1) for v in slope)
    return [value, 0.0 if slope[1] <= 1 <= slope[2] else min(ends), max(ends)]


def _both_ways(odds: np.ndarray, counts: choices.Counts) -> list[tuple[np.ndarray, np.ndarray]]:
    """Probability, choices of A, choices of B: each as they are, and with A and B exchanged."""
    return [(odds, 1 - odds), (counts.first, counts.second), (counts.second, counts.first)]


def store(name: str, parameters: dict, results: list[dict], folder: Path | str = "") -> Path:
    """Write the results of a sweep with its parameters, into the package's own folder unless told; returns the path."""
    folder = Path(folder) if str(folder) else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"parameters": parameters, "results": results}, indent=1, ensure_ascii=False) + "\n")
    return path


def load(name: str) -> dict:
    """Parameters and results of a stored sweep. Raises ValueError for a name that is not stored."""
    path = FOLDER / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.json"))) or "none"
        raise ValueError(f"there is no stored sweep named {name!r}; stored are: {known}")
    return json.loads(path.read_text())
