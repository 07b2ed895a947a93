r"""How well a sampler weighs many futures, scene by scene: what supplement 3d measures, and on which scenes.

The scenes are those of :func:`~scorevid.worlds.leaves.meetings.undecided_scenes`, with two to five disks, and in larger
frames with as many disks for their area. They do not depend on the weights, so that what is measured of one network can be
stored beside what was measured of others before.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.exact import Oracle
from scorevid.estimates import Estimate, ratio_interval
from scorevid.measures import calibration, choices
from scorevid.measures.proper_scores import pooled_calibration_test
from scorevid.noise.prior import NoisePrior
from scorevid.sampling.sampler import Samples
from scorevid.sampling.solvers import Ladder, Multistep
from scorevid.studies.stored import load_results
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import inferred_orders, undecided_scenes
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.world import Leaves

WORLD = Leaves(meeting=0.85, close=0.8)  #: the world of ``leaves-32`` but for the number of disks
EIGHT = Multistep(Ladder(steps=6))  #: our solver with eight evaluations
CASES: dict[str, tuple[int, int]] = {  # disks for each 32 × 32 pixels, and how many times as long the sides are
    **{f"{n} disks": (n, 1) for n in (2, 3, 4, 5)},
    "64 × 64": (2, 2),
    "96 × 96": (2, 3),
}


INFERRED = "inferred order"  #: the case in which the order of two disks follows from a third


def many_scenes(case: str, n: int, seed: int) -> tuple[Tensor, Futures, Oracle]:
    """n scenes of a case, one of CASES or INFERRED: past frames (n, M, H, W), futures, exact blind denoiser.

    The futures of INFERRED are those that there would be without the third disk, the true one first
    (:func:`~scorevid.worlds.leaves.meetings.inferred_orders`). Raises ValueError for no case.
    """
    checks.one_of("case", case, (*CASES, INFERRED))
    generator = torch.Generator().manual_seed(seed)
    if case == INFERRED:
        scenes, ahead = inferred_orders(WORLD, n, generator)
        law = futures(scenes)
    else:
        disks, tiles = CASES[case]
        scenes, law = undecided_scenes(WORLD, n, generator, n_disks=disks, tiles=tiles)
        ahead = law
    c = scenes.past()
    return c, ahead, Oracle(law, past=c, prior=NoisePrior(0.005, 100.0))


@dataclass(frozen=True)
class SceneStatistics:
    """How far the choices of a sampler are from their law, scene by scene.

    error: the excess frequency error; error_of_two, error_of_more: the same over scenes with two futures, and with more (None
    for fewer than ten scenes). chi_square: per degree of freedom, for this number of samples. slope: the tempering slope, None
    where there is none. blends: share of samples that chose no future. rendering_error: in grey²,
    from the hull of the futures. p_divergence, p_sharpness: p-values of the pooled test against the true law. futures: of a
    scene, on average. samples: of each scene. evaluations: of the denoiser for one sample.

    All intervals are of 95 % and over scenes. A sample that chose no future counts in blends only.
    """

    error: Estimate
    error_of_two: Estimate | None
    error_of_more: Estimate | None
    chi_square: Estimate
    slope: Estimate | None
    blends: Estimate
    rendering_error: float
    p_divergence: float
    p_sharpness: float
    futures: float
    scenes: int
    samples: int
    evaluations: float

    def record(self) -> dict:
        """The same as it is stored: estimates as [value, low, high]."""
        return {name: list(v) if isinstance(v, Estimate) else v for name, v in vars(self).items()}


def scene_statistics(samples: Samples, ahead: Futures, seed: int = 0, replicates: int = 1000) -> SceneStatistics:
    """How far choices are from their law. seed, replicates: of bootstrap and test. Raises ValueError as the measures do."""
    choice = choices.choose(samples.x, ahead)
    counts, p = choices.tally(choice, ahead.probabilities.shape[1]), ahead.probabilities.double().numpy()
    test = pooled_calibration_test(counts, p, replicates=replicates, seed=seed)
    two, slope = (ahead.count() == 2).numpy(), None
    parts = [
        calibration.excess_frequency_error(counts[part], p[part]) if part.sum() >= 10 else None for part in (two, ~two)
    ]
    with suppress(ValueError):  # all choices of the likeliest
        slope = calibration.tempering_slope(counts, p, seed=seed, replicates=replicates)
    return SceneStatistics(
        error=calibration.excess_frequency_error(counts, p),
        error_of_two=parts[0],
        error_of_more=parts[1],
        chi_square=calibration.chi_square(counts, p, seed=seed, replicates=replicates),
        slope=slope,
        blends=_share(choice == choices.BLEND, choice >= choices.BLEND, seed, replicates),
        rendering_error=choices.rendering_error(samples.x, ahead).mean().item(),
        p_divergence=test.p_divergence,
        p_sharpness=test.p_sharpness,
        futures=ahead.count().double().mean().item(),
        scenes=len(ahead),
        samples=samples.x.shape[1],
        evaluations=samples.evaluations.float().mean().item(),
    )


def inferred_statistics(samples: Samples, without: Futures, seed: int = 0) -> dict:
    """Whether samples follow an order that the past shows only by way of a third disk.

    Shares of the true order among the samples that chose one, as [value, low, high] with an interval over scenes:
    "right" of all scenes, "right_against_size" of those in which the smaller disk is in front by the order. Beside them the
    shares that answers by size alone would have, "by_size" and "by_size_against_size"; "blends", "scenes", "samples".
    """
    choice = choices.choose(samples.x, without)
    p, found = without.probabilities[:, 0].double(), {}
    for name, which in (("", p > 0), ("_against_size", p < 0.5)):
        some = choice[which]
        found[f"right{name}"] = list(_share(some == 0, some != choices.BLEND, seed))
        found[f"by_size{name}"] = p[which].mean().item()
    blends = list(_share(choice == choices.BLEND, choice >= choices.BLEND, seed))
    return found | {"blends": blends, "scenes": len(p), "samples": choice.shape[1]}


def _share(these: Tensor, of: Tensor, seed: int, replicates: int = 1000) -> Estimate:
    """Share of samples (B, S), with its bootstrap interval over scenes: those of one scene are no independent cases."""
    return ratio_interval(these.sum(1).double().numpy(), of.sum(1).double().numpy(), replicates, seed)


def case_statistics(case: str, samples: Samples, ahead: Futures, seed: int = 0) -> dict:
    """What is stored of samples of one case: :func:`inferred_statistics` of INFERRED, else :func:`scene_statistics`."""
    if case == INFERRED:
        return inferred_statistics(samples, ahead, seed)
    return scene_statistics(samples, ahead, seed).record()


def row_key(row: dict) -> str:
    """What tells rows of the sweep apart: network with its sha256, case, and settings of the sampler."""
    return json.dumps([row[name] for name in ("network", "sha256", "case", "settings")])


def stored_rows(parameters: dict, folder: Path | str = "") -> dict[str, dict]:
    """Rows that are stored already for the same parameters of the scenes, by their :func:`row_key`; none if there are none."""
    with suppress(ValueError):
        stored = load_results("many", folder)
        if all(stored["parameters"].get(name) == value for name, value in parameters.items()):
            return {row_key(row): row for row in stored["results"]}
    return {}
