r"""What is measured inside one network, block by block, as plain data: a row a figure, [value, low, high] each.

Channel averages φ are those of :mod:`scorevid.measures.representations.activations`. Blocks are named alike in all networks,
"encoder.2" say, the coarsest one (:data:`MIDDLE`). Scenes do not depend on the network.

* :func:`sparsity_rows`: how sparse φ is at each of :data:`SIGMAS`, and how often the nearest φ of all scenes is that of the
  same scene one frame earlier. By its pixels such a frame may be found as well, so pixels are the baseline.
* :func:`readout_rows`: what a linear decoder finds in φ, for each target of scenes and meetings, at :data:`READ_AT`.
* :func:`odds_rows`: the log odds of two futures, from φ averaged about the pixels in which they differ.
* :func:`adaptation_rows`: how far the active set stays the same from one noise level to another, how far it tells undecided
  scenes from decided ones, and how well σ is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from scorevid import checks
from scorevid.estimates import exactly, mean_interval, wilson
from scorevid.measures.representations.activations import active_sets, block_names, channel_averages, rectifiers
from scorevid.measures.representations.overlaps import by_chance, jaccard, separation
from scorevid.measures.representations.readout import Readout, decode
from scorevid.measures.representations.sparsity import active_fraction, gini, participation_ratio
from scorevid.studies.representations.networks import WORLD
from scorevid.studies.representations.targets import (
    decided_twins,
    open_pixels,
    targets_of_meetings,
    targets_of_scenes,
)
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene

SIGMAS = (0.1, 0.3, 1.0, 3.0)  #: noise levels, grey units
READ_AT = 1.0  #: noise level at which scene variables are decoded
ODDS_AT = (1.0, 3.0)  #: levels at which log odds are decoded
MARGINS = (0, 2)  #: pixels about those in which futures differ, over which φ is averaged for the log odds
LOW, HIGH = 0.1, 1.0  #: noise levels between which active sets are compared
LEVELS = tuple(np.geomspace(0.05, 5.0, 10).round(4).tolist())  #: noise levels that are to be told apart
MIDDLE = "encoder.2"  #: the coarsest block
LEAST = 10  # scenes of either kind, to decode which is which


@dataclass(frozen=True)
class Seen:
    """B scenes with their past frames c (B, 2, H, W), next frames x (B, 1, H, W), and the law of these."""

    scene: Scene
    law: Futures
    c: Tensor
    x: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def part(self, rows: slice) -> Seen:
        """Some of the scenes."""
        return Seen(self.scene[rows], self.law[rows], self.c[rows], self.x[rows])


def random_scenes(n: int, seed: int) -> Seen:
    """Scenes of two to five disks, as the world of training draws them."""
    checks.integer("n", n)
    scene = WORLD.scenes(n, torch.Generator().manual_seed(seed))
    return Seen(scene, futures(scene), scene.past(), scene.next_frame())


def meetings(n: int, seed: int) -> Seen:
    """Scenes of two disks with two futures (:func:`~scorevid.worlds.leaves.meetings.undecided_meetings`)."""
    scene, law = undecided_meetings(WORLD, n, torch.Generator().manual_seed(seed))
    return Seen(scene, law, scene.past(), scene.next_frame())


def common(block: str) -> str:
    """A block's name without that of the network around the backbone."""
    return ".".join(block.split(".")[-2:])


def averages(network: nn.Module, seen: Seen, sigma: float, seed: int, where: Tensor | None = None) -> dict[str, Tensor]:
    """φ by common name of the block, (B, channels), with noise of this seed."""
    draw = torch.Generator().manual_seed(seed)
    found = channel_averages(network, seen.c, seen.x, sigma, generator=draw, where=where)
    return {common(block): phi for block, phi in found.items()}


def noisy(seen: Seen, sigma: float, seed: int) -> Tensor:
    """The next frames with noise of this seed, (B, 1, H, W)."""
    return seen.x + sigma * torch.randn(seen.x.shape, generator=torch.Generator().manual_seed(seed))


def pixels(seen: Seen, sigma: float, seed: int) -> dict[str, Tensor]:
    """The baseline: past frames and noisy frame as they are, as one "block" of features."""
    return {"pixels": torch.cat([seen.c, noisy(seen, sigma, seed)], 1).flatten(1)}


def sparsity_rows(network: nn.Module, seen: Seen, seed: int) -> Iterator[dict]:
    """Of each σ and block: "active", "participation", "gini" over scenes, and "found", the share of scenes found again.

    A last row has "found" of pixels, at the weakest noise only.
    """
    earlier = seen.scene.replace(position=seen.scene.position - seen.scene.velocity)
    before = Seen(earlier, seen.law, earlier.past(), earlier.next_frame())  # its law is not used
    for sigma in SIGMAS:
        now, then = averages(network, seen, sigma, seed), averages(network, before, sigma, seed + 1)
        for block, phi in now.items():
            measures = {"active": active_fraction, "participation": participation_ratio, "gini": gini}
            row = {"kind": "sparsity", "sigma": sigma, "block": block, "channels": phi.shape[1]}
            row |= {name: list(mean_interval(m(phi).numpy())) for name, m in measures.items()}
            yield row | {"found": found_again(phi, then[block])}
    for sigma in SIGMAS[:1]:
        now, then = pixels(seen, sigma, seed), pixels(before, sigma, seed + 1)
        yield {
            "kind": "sparsity",
            "sigma": sigma,
            "block": "pixels",
            "found": found_again(now["pixels"], then["pixels"]),
        }


def found_again(a: Tensor, b: Tensor) -> list[float]:
    """Share of scenes of a (B, features) whose nearest one in b, in features of unit deviation, is the same scene."""
    scale = torch.cat([a, b]).std(0).clamp_min(1e-9)
    nearest = torch.cdist(a / scale, b / scale).argmin(1)
    return list(wilson(int((nearest == torch.arange(len(a))).sum()), len(a)))


def readout_rows(network: nn.Module | None, scenes: Seen, met: Seen, seed: int) -> Iterator[dict]:
    """Of each block and target, what is decoded: "figure" is r or the area under the curve, as "measure" says.

    network: None for the baseline of pixels. scenes, met: of :func:`random_scenes` and :func:`meetings`.
    """
    for group, seen, targets in (
        ("scenes", scenes, targets_of_scenes(scenes.scene, scenes.law)),
        ("meetings", met, targets_of_meetings(met.scene)),
    ):
        features = pixels(seen, READ_AT, seed) if network is None else averages(network, seen, READ_AT, seed)
        for block, phi in features.items():
            for name, target in targets.items():
                if target.dtype == torch.bool and min(int(target.sum()), int((~target).sum())) < LEAST:
                    continue  # too few of one kind, in a small sweep
                found = _decode(phi, target, seed)
                row = {"kind": "readout", "of": group, "target": name, "block": block, "sigma": READ_AT}
                yield row | {"measure": found.kind, "figure": list(found.estimate)}


def odds_rows(network: nn.Module, met: Seen, seed: int, cases: Sequence[tuple[float, int, str]] = ()) -> Iterator[dict]:
    """Correlation of decoded log odds with the true ones; of each σ, margin and block, or only of those named in cases."""
    target = targets_of_meetings(met.scene)["log odds"]
    for sigma in ODDS_AT:
        for margin in MARGINS:
            phi = None
            for block in map(common, block_names(network)):
                if cases and (sigma, margin, block) not in cases:
                    continue
                if phi is None:
                    phi = averages(network, met, sigma, seed, open_pixels(met.law, margin))
                found = _decode(phi[block], target, seed)
                row = {"kind": "odds", "sigma": sigma, "margin": margin, "block": block}
                yield row | {"measure": found.kind, "figure": list(found.estimate)}


def adaptation_rows(network: nn.Module, scenes: Seen, met: Seen, seed: int) -> Iterator[dict]:
    """Of all ReLUs together: "overlap" between LOW and HIGH, and by chance, and "separation" of undecided scenes from decided
    ones; and of each block, "figure", how well log σ is decoded from φ.

    The undecided scenes are one half of the meetings, the decided ones the others one frame earlier.
    """
    blocks = rectifiers(network)

    def active(c: Tensor, x: Tensor, sigma: float, offset: int) -> Tensor:
        draw = torch.Generator().manual_seed(seed + offset)
        return torch.cat(list(active_sets(network, c, x, sigma, generator=draw, blocks=blocks).values()), 1)

    low, high = (active(scenes.c, scenes.x, sigma, k) for k, sigma in enumerate((LOW, HIGH)))
    yield {
        "kind": "overlap",
        "overlap": list(mean_interval(jaccard(low, high).numpy())),
        "chance": list(mean_interval(by_chance(low, high).numpy())),
        "same": list(mean_interval(jaccard(low, active(scenes.c, scenes.x, LOW, 2)).numpy())),
        "active": list(mean_interval(low.double().mean(1).numpy())),
    }
    half = len(met) // 2
    twins = decided_twins(met.scene[half:])
    for sigma in (LOW, HIGH):
        undecided = active(met.c[:half], met.x[:half], sigma, 3)
        decided = active(twins.past(), twins.next_frame(), sigma, 4)
        yield {"kind": "separation", "sigma": sigma, "figure": list(separation(undecided, decided))}
    parts = [scenes.part(slice(k, None, len(LEVELS))) for k in range(len(LEVELS))]
    found = [averages(network, part, sigma, seed + 5) for part, sigma in zip(parts, LEVELS, strict=True)]
    target = torch.cat([torch.full((len(part),), np.log(s)) for part, s in zip(parts, LEVELS, strict=True)])
    for block in found[0]:
        readout = _decode(torch.cat([phi[block] for phi in found]), target, seed)
        yield {"kind": "level", "block": block, "measure": readout.kind, "figure": list(readout.estimate)}


def _decode(phi: Tensor, target: Tensor, seed: int) -> Readout:
    if not phi.std(0).any():  # nothing varies, such as where y is not looked at
        return Readout("r", exactly(0.0, len(phi)), np.zeros(len(phi)))
    return decode(phi.numpy(), target.numpy(), seed=seed)
