r"""Natural video: what the local linear weights of networks do, shot by shot.

The weights are rows of the Jacobian (:mod:`scorevid.measures.linear_weights`), and w is the sum of those on the noisy
frame y at one pixel. Of each shot all patches of some frames are searched for the places of ``PLACES``, found by optical
flow, at most one of each kind in a patch. Weights are read on those patches in which most changes, at all places and on a
grid of pixels.

**Predictability.** What a network makes of strong noise, σ = 3, is its prediction from the past. Its error at a pixel is
the root mean square over 5 × 5 pixels about it. Fifths of the pixels of a shot are ordered by this error, and so are
thirds of the pixels of each patch. The noise of the prediction is another than that under which weights are read.

**Rare places.** Uncovered places and moving edges are not in every patch. The difference of w between an uncovered place
and a still edge of the same patch, and the centroids of the weights at moving edges, are therefore taken on all searched
patches that have these places, whether much changes in them or not. A shot with fewer than ``LEAST_PAIRS`` such patches,
or fewer than ``LEAST_EDGES`` moving edges, has None there.

**Noise on the last past frame.** Squared errors of each network, with the same noise on y. They are to be compared with
the error of the network without a past, "M = 0".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.estimates import Estimate, mean_interval, over_clusters
from scorevid.measures import linear_weights as linear
from scorevid.measures.spectra import effective_dimension
from scorevid.noise.spoiling import spoil
from scorevid.studies.natural.errors import denoise
from scorevid.worlds.clips.occlusions import estimate_occlusions
from scorevid.worlds.clips.patches import Patches, cut_from_whole_frames, few_frames, held_out
from scorevid.worlds.clips.probes import PROBES, probe_pixels
from scorevid.worlds.clips.world import Clips

PLACES = ("flat", "still edge", "moving edge", "just covered", "just uncovered")  #: those of ``clips.PROBES``, in words
WEAK, MIDDLE, STRONG = 0.02, 0.2, 1.0  #: noise levels at which claims are decided
FIFTHS_AT = (0.1, MIDDLE, 0.5)  #: noise levels at which weights are read on the grid
DIMENSION_AT = (0.02, 0.1, 0.3, 1.0)  #: and those at which the effective dimension is
NOISES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  #: strengths of the noise on the last past frame, grey units
SPOILED_AT = 0.3  #: the noise level of the noisy frame then
ALONE = 3.0  # so much noise that the answer is the prediction from the past
WITHOUT = "M = 0"
PIXELS = 12  # of the grid, read in each patch
BORDER, STEP = 6, 4  # pixels: where the grid begins, and from one of its pixels to the next
LEAST_PAIRS, LEAST_EDGES = 5, 10
BATCH = 32  # patches at once


def measure(
    world: Clips,
    networks: Mapping[str, AnyDenoiser],
    sigmas: Sequence[float],
    *,
    read: Sequence[str] = ("M = 2",),
    traced: Sequence[str] = (),
    patches: int = 12,
    frames: int = 12,
    seed: int = 0,
) -> list[dict]:
    """What the weights of networks do on each of the world's shots, as plain data, one record a shot. See the module.

    world: of patches of 32 pixels and more, with as long a memory as the networks. networks: by name, "M = 0" without a
    past among them. sigmas: noise levels, grey units, those of ``WEAK``, ``MIDDLE`` and ``STRONG`` among them. read: names
    of the networks whose weights are read; they need a past. traced: names of others, whose weights are read at moving
    edges alone, as some networks take long. patches, frames: so many of each shot at most; the frames are those that are
    searched.

    A record has shot, searched and patches (how many were searched, and in how many weights were read), motion (root mean
    square change of the latter from the last frame, grey units), places (how many of them have each kind), and

    - read, of each network: on_y and on_past, sums of the weights on the noisy frame and on all past frames, at each σ, by
      place and for "all" places of a patch alike; predicted, the error of the prediction from the past, grey units, by
      place; fifths: error, grey units, and on_y, at each of ``FIFTHS_AT``; worst_minus_best, w at ``MIDDLE`` in the third
      of a patch's pixels that is predicted worst, less that in the third predicted best; fall, of w from ``WEAK`` to
      ``STRONG``; uncovered_minus_still: value, at ``MIDDLE``, and patches, how many; edges: flow back to the last past
      frame, centroid of the weights on it at ``STRONG``, (x, y) each in pixels, and correlation of the two, both
      components together; a traced network has edges and nothing else;
    - dimension, of each network: the effective dimension of J_y over the number of pixels, at each of ``DIMENSION_AT``;
    - noisy_past, of each network with a past: the squared error a pixel with each of ``NOISES`` on the last past frame,
      and that of "M = 0", grey units².

    None stands where a shot has no such place, or too few. Raises ValueError for names, levels and numbers that do not
    fit.
    """
    _check(world, networks, sigmas, [*read, *traced], patches, frames)
    found, records = few_frames(held_out(world), frames, seed), []
    for k, shot in enumerate(dict.fromkeys(found.clip)):
        own = found.select(torch.tensor([clip == shot for clip in found.clip]))
        seen = _Shot.of(world, own.select(own.motion.argsort(descending=True)), seed + len(_Shot.USES) * k)
        few = seen.first(patches)
        records.append(
            {
                "shot": shot,
                "searched": len(seen.x),
                "patches": len(few.x),
                "motion": few.patches.motion.square().mean().sqrt().item(),
                "places": dict(zip(PLACES, few.there.sum(0).tolist(), strict=True)),
                "read": {
                    **{name: _weights(networks[name], few, sigmas) | _rare(networks[name], seen) for name in read},
                    **{name: {"edges": _edges(networks[name], seen)} for name in traced},
                },
                "dimension": {name: [_dimension(f, few, s) for s in DIMENSION_AT] for name, f in networks.items()},
                "noisy_past": {
                    name: [_error(f, few, t) for t in NOISES] if name != WITHOUT else _error(f, few, 0.0)
                    for name, f in networks.items()
                },
            }
        )
    return records


def places(world: Clips, patches: Patches) -> tuple[Tensor, Tensor, Tensor]:
    """Flow of N patches of the world (N, 2, H, W), the pixels of ``PLACES`` (N, 5, 2), and whether there is one, (N, 5) bool.

    The flow is in pixels as (x, y), back to the last past frame, found in whole frames as the occlusions are.
    """
    flow, masks = cut_from_whole_frames(world, patches, _moves).split(2, 1)
    spots = probe_pixels(patches.x, flow, *(masks > 0.5).unbind(1))
    at, there = (torch.stack(v, 1) for v in zip(*(spots[kind] for kind in PROBES), strict=True))
    return flow, at, there


def described(parameters: Mapping, records: Sequence[Mapping]) -> str:
    """What was measured, in a sentence, from what the sweep has stored."""
    patches = sum(record["patches"] for record in records)
    source = " and ".join(f"`{name}`" for name in parameters["source"])
    return f"Measured on {patches} patches of {len(records)} shots of {source}."


def values(records: Sequence[dict], *keys: str | int) -> np.ndarray:
    """What records have under these keys, (shots, …), NaN where a shot has None. Raises ValueError where all have None."""
    rows = []
    for record in records:
        for key in keys:
            record = None if record is None else record[key]
        rows.append(record)
    shape = next((np.shape(row) for row in rows if row is not None), None)
    if shape is None:
        raise ValueError(f"no shot has {' '.join(map(repr, keys))}")
    return np.array([np.full(shape, np.nan) if row is None else row for row in rows], dtype=float)


def over_shots(measured: np.ndarray, scale: str = "plain") -> Estimate:
    """Mean over shots with its interval by Student's t. measured: (shots,); shots with NaN are left out.

    scale: as of :func:`scorevid.estimates.over_clusters`. Raises ValueError for fewer than two shots.
    """
    there = measured[np.isfinite(measured)]
    if scale == "plain":
        return mean_interval(there)
    return over_clusters(lambda k: there[k[0]], np.arange(len(there)), scale)


def curve(measured: np.ndarray, *, geometric: bool = False) -> list[Estimate]:
    """:func:`over_shots` at each of S levels. measured: (shots, S). geometric: of the logarithms, and back."""
    if not geometric:
        return [over_shots(column) for column in measured.T]
    logs = [over_shots(column) for column in np.log(measured).T]
    return [replace(e, value=math.exp(e.value), low=math.exp(e.low), high=math.exp(e.high)) for e in logs]


def decibels(error: np.ndarray, without: np.ndarray) -> np.ndarray:
    """10 log₁₀ of a ratio, in dB, of arrays whose shapes go together. Raises ValueError for values that are not positive."""
    if not ((np.asarray(error) > 0).all() and (np.asarray(without) > 0).all()):
        raise ValueError(f"errors must be positive, got {np.min(error)} and {np.min(without)} at the least")
    return 10 * np.log10(error / without)


@dataclass(frozen=True)
class _Shot:
    """Patches of one shot, most change first, what is known of them, and the seed of the shot's draws.

    flow: (N, 2, H, W). at, there: pixels of the places (N, 5, 2), and whether there is one, (N, 5). white, other: noise of y
    and of the prediction, (N, 1, H, W).
    """

    patches: Patches
    flow: Tensor
    at: Tensor
    there: Tensor
    white: Tensor
    other: Tensor
    seed: int

    USES = ("white", "other", "past", "probes", "grid")  # draws, no two from one seed

    @classmethod
    def of(cls, world: Clips, patches: Patches, seed: int) -> _Shot:
        draws = (torch.randn(patches.x.shape, generator=_drawn(seed, use)) for use in ("white", "other"))
        return cls(patches, *places(world, patches), *draws, seed)

    @property
    def x(self) -> Tensor:
        return self.patches.x

    def past(self, f: AnyDenoiser) -> Tensor:
        """As many of the past frames as the network remembers."""
        return self.patches.c[:, self.patches.c.shape[1] - _memory(f, self.patches.c.shape[1]) :]

    def noisy(self, sigma: float) -> Tensor:
        return self.x + sigma * self.white

    def first(self, n: int) -> _Shot:
        """The same of the first n patches."""
        return self.which(torch.arange(len(self.x)) < n)

    def which(self, keep: Tensor) -> _Shot:
        """The same of some patches, (N,) bool."""
        parts = {name: getattr(self, name)[keep] for name in ("flow", "at", "there", "white", "other")}
        return replace(self, patches=self.patches.select(keep), **parts)


def _drawn(seed: int, use: str) -> torch.Generator:
    return torch.Generator().manual_seed(seed + _Shot.USES.index(use))


def _memory(f: AnyDenoiser, most: int) -> int:
    return getattr(f, "memory", most)


def _moves(c: Tensor, x: Tensor) -> Tensor:
    """Flow back, and what occludes and is disoccluded, of whole frames: (B, 4, H, W)."""
    found = estimate_occlusions(c[:, -1:], x)
    return torch.cat([found.flow, torch.stack([found.occluding, found.disoccluded], 1).float()], 1)


def _rows(f: AnyDenoiser, seen: _Shot, sigma: float, pixels: Tensor):
    """Rows of some patches at a time, and their pixels. pixels: (N, P, 2)."""
    pieces = (v.split(BATCH) for v in (seen.noisy(sigma), seen.past(f), pixels))
    for y, c, at in zip(*pieces, strict=True):
        yield linear.rows(f, y, c, at), at


def _sums(f: AnyDenoiser, seen: _Shot, sigma: float, pixels: Tensor) -> Tensor:
    """Sums of the weights on all past frames and on y, (N, P, 2)."""
    sums = torch.cat([found.sums() for found, _ in _rows(f, seen, sigma, pixels)])
    return torch.stack([sums[..., :-1].sum(-1), sums[..., -1]], -1)


def _weights(f: AnyDenoiser, seen: _Shot, sigmas: Sequence[float]) -> dict:
    """What is read on the patches in which most changes."""
    at_places = torch.stack([_sums(f, seen, s, seen.at) for s in sigmas]).masked_fill(~seen.there[..., None], torch.nan)
    on_past, on_y = at_places.unbind(-1)  # (S, B, 5)
    guess = denoise(f, seen.x + ALONE * seen.other, seen.past(f))
    missed = functional.avg_pool2d((guess - seen.x).square(), 5, 1, padding=2).sqrt()
    batch = torch.arange(len(seen.x))[:, None]
    predicted = missed[batch, 0, seen.at[..., 0], seen.at[..., 1]].masked_fill(~seen.there, torch.nan)
    of_patch = on_y.nanmean(2)
    ladder = list(sigmas)
    fall = of_patch[ladder.index(WEAK)] - of_patch[ladder.index(STRONG)]
    return {
        "on_y": _by_place(on_y),
        "on_past": _by_place(on_past),
        "predicted": {kind: _plain(predicted[:, k].nanmean()) for k, kind in enumerate(PLACES)},
        "fall": _plain(fall.nanmean()),
    } | _by_predictability(f, seen, missed[:, 0])


def _by_place(sums: Tensor) -> dict[str, list | None]:
    """(S, B, 5) weights to their means over patches, by place and over all places of a patch."""
    return {"all": _plain(sums.nanmean(2).nanmean(1))} | {
        kind: _plain(sums[..., k].nanmean(1)) for k, kind in enumerate(PLACES)
    }


def _by_predictability(f: AnyDenoiser, seen: _Shot, missed: Tensor) -> dict:
    """Weights on y at pixels of the grid, in the order of the error of the prediction, (B, H, W)."""
    grid = _grid(missed.shape[-1])
    grid = grid[torch.randperm(len(grid), generator=_drawn(seen.seed, "grid"))[:PIXELS]]
    error = missed[:, grid[:, 0], grid[:, 1]]  # (B, PIXELS)
    pixels = grid.expand(len(error), *grid.shape)
    on_y = {s: _sums(f, seen, s, pixels)[..., 1] for s in FIFTHS_AT}
    fifth = error.flatten().argsort().argsort().view_as(error) * 5 // error.numel()  # 0 is predicted best
    ordered = on_y[MIDDLE].gather(1, error.argsort(1, descending=True))
    third = PIXELS // 3
    return {
        "fifths": {
            "error": [_plain(error[fifth == k].mean()) for k in range(5)],
            "on_y": [[_plain(v[fifth == k].mean()) for k in range(5)] for v in on_y.values()],
        },
        "worst_minus_best": _plain((ordered[:, :third].mean(1) - ordered[:, -third:].mean(1)).mean()),
    }


def _grid(size: int) -> Tensor:
    """Pixels (row, column) from which some are drawn, (G, 2)."""
    line = torch.arange(BORDER, size - BORDER - STEP + 1, STEP)
    return torch.cartesian_prod(line, line)


def _rare(f: AnyDenoiser, seen: _Shot) -> dict:
    """What is read on all searched patches that have an uncovered place and a still edge, or a moving edge."""
    hidden, still = PLACES.index("just uncovered"), PLACES.index("still edge")
    both = seen.which(seen.there[:, [hidden, still]].all(1))
    more, pairs = None, len(both.x)
    if pairs >= LEAST_PAIRS:
        on_y = _sums(f, both, MIDDLE, both.at[:, [hidden, still]])[..., 1]
        more = _plain((on_y[:, 0] - on_y[:, 1]).mean())
    return {"uncovered_minus_still": {"value": more, "patches": pairs}, "edges": _edges(f, seen)}


def _edges(f: AnyDenoiser, seen: _Shot) -> dict:
    """Flow at moving edges, and where the weights on the last past frame lie."""
    moving = PLACES.index("moving edge")
    edges = seen.which(seen.there[:, moving])
    at = edges.at[:, moving]
    flow = edges.flow[torch.arange(len(at)), :, at[:, 0], at[:, 1]]
    lies = [found.centroids(pixels)[:, 0, -2] for found, pixels in _rows(f, edges, STRONG, at[:, None])]
    lies = torch.cat([flow[:0], *lies])
    there = lies.isfinite().all(1)
    flow, lies = flow[there], lies[there]
    return {"flow": _rounded(flow), "centroid": _rounded(lies), "correlation": _correlation(flow, lies)}


def _correlation(a: Tensor, b: Tensor) -> float | None:
    """Of all components together, (N, 2) both; None for too few, and for those that do not vary."""
    a, b = a.double().flatten().numpy(), b.double().flatten().numpy()
    if len(a) < 2 * LEAST_EDGES or min(a.std(), b.std()) < 1e-3:  # pixels
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _dimension(f: AnyDenoiser, seen: _Shot, sigma: float) -> float:
    """Effective dimension of J_y as a share of the pixels, mean over patches, by one probe each."""
    kept = effective_dimension(f, seen.noisy(sigma), seen.past(f), _drawn(seen.seed, "probes"), probes=1)
    return kept.mean().item() / seen.x[0].numel()


def _error(f: AnyDenoiser, seen: _Shot, strength: float) -> float:
    """Squared error a pixel with noise on the last past frame."""
    if _memory(f, 1):
        past = spoil(seen.patches.c, -1, "noise", _drawn(seen.seed, "past"), strength)
    else:
        past = seen.patches.c
    return (denoise(f, seen.noisy(SPOILED_AT), past) - seen.x).square().mean().item()


def _rounded(points: Tensor) -> list[list[float]]:
    """To hundredths of a pixel."""
    return [[round(v, 2) for v in point] for point in points.tolist()]


def _plain(v: Tensor) -> list | float | None:
    """Numbers, or None in the place of NaN, all of which are NaN together."""
    return None if v.isnan().any() else v.tolist()


def _check(world, networks, sigmas, read, patches, frames) -> None:
    checks.integer("patches", patches)
    checks.integer("frames", frames)
    checks.integer("the size of the world's patches", world.size, 32)
    if WITHOUT not in networks:
        raise ValueError(f"networks must have {WITHOUT!r}, which has no past, got {', '.join(networks) or 'none'}")
    for sigma in sigmas:
        checks.number("a noise level", sigma, above=0)
    if missing := {WEAK, MIDDLE, STRONG}.difference(sigmas):
        raise ValueError(f"sigmas must have {WEAK}, {MIDDLE} and {STRONG}, {sorted(missing)} are missing")
    for name in read:
        checks.one_of("a network to read", name, networks)
        if not _memory(networks[name], world.memory):
            raise ValueError(f"a network to read must have a past, {name!r} has none")
    longest = max(_memory(f, 0) for f in networks.values())
    checks.integer("the memory of the world", world.memory, max(1, longest))
