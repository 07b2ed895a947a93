r"""Natural video as a world: patches of real footage, past frames and next.

A draw is a patch of ``size`` × ``size`` pixels in ``memory`` + 1 frames of one shot. Which shot: in proportion to the root
of its length, so that a long shot of one scene does not crowd out the others. Where in it: evenly, for a share of the
draws, and otherwise in proportion to the motion energy of the patch,

.. math:: E(t, i, j) = \frac{1}{\text{size}^2} \sum_{p \,\in\, \text{patch}} \big( v_t(p) - v_{t - \text{stride}}(p) \big)^2 ,

the squared error of copying the last frame: most of what a fixed camera sees would teach nothing else. Energies are kept
for every fourth pixel each way, so patches lie up to 3 pixels from where theirs was taken.

With ``pan`` the place of every other draw moves on from frame to frame, at a speed of its own, as if the camera panned: the
few shots that there are show few motions. With ``halved`` every fourth draw is of twice the size and made smaller: some pan by
halves of a pixel.

Sources are the embedded bank, folders of DAVIS, .npz files and video files (:mod:`scorevid.worlds.clips.readers`). Networks of
different memory are to see the same next frames: there is always a frame before, even for a memory of 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scorevid.worlds.clips.bank import bank
from scorevid.worlds.clips.readers import SPLITS, Clip, davis, davis_lists, npz, video
from scorevid.worlds.registry import register

__all__ = ["Clip", "Clips", "Patches", "bank", "davis", "footage", "held_out", "npz", "only_held_out", "video"]

GRID = 4  # pixels between places of known motion energy


@register("train-clips", "natural video: the embedded bank, DAVIS, files of your own", "natural")
@dataclass(frozen=True)
class Clips:
    """The world of natural video.

    Raises ValueError for values that describe no world, and, when frames are first due, for sources that cannot be read
    or that hold no shot of the split that is long and large enough. Shots that are too short or small are left out.
    Files are read once in a process.
    """

    size: int = 32  # frames are size x size pixels
    memory: int = 2  # M, past frames; 0 gives single frames
    source: str | tuple[str, ...] = "bank"  # "bank", a folder of DAVIS, an .npz or a video file; or several of them
    split: str = "train"  # "train", "test", or "test, background seen in training"
    test: tuple[str, ...] = ()  # names of shots that are for testing, beside those of which the source says so
    only: tuple[str, ...] = ()  # names of the only shots to take; all that the sources have if empty
    motion: float = 0.75  # share of draws whose place is chosen by motion energy
    flip: bool = True  # mirror every other draw left to right
    pan: int = 0  # in every other draw the place moves on by up to so many pixels a frame, each way: a camera that pans
    halved: bool = False  # every fourth draw is of twice the size, halved: from further away, moving by half pixels too
    stride: int = 1  # frames from one frame of a draw to the next
    height: int = 96  # pixels, to which DAVIS and video files are made smaller; the bank and .npz are taken as they are

    def __post_init__(self):
        for name, least in (("size", 1), ("memory", 0), ("pan", 0), ("stride", 1), ("height", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} must be an integer of {least} or more, got {value!r}")
        for name in ("source", "test", "only"):
            value = getattr(self, name)
            several = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
            if not several and not (name == "source" and isinstance(value, str)):
                raise ValueError(f"{name} must be a tuple of strings, got {value!r}")
        if not self.source:
            raise ValueError("source is empty: 'bank' or a path was due")
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {self.split!r}")
        if not 0 <= self.motion <= 1:
            raise ValueError(f"motion is a share and must lie in [0, 1], got {self.motion!r}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W), oldest first, and next frame x (batch, 1, H, W), greys in [0, 1]."""
        device = generator.device
        if self.halved:
            near, far = replace(self, halved=False), replace(self, halved=False, size=2 * self.size)
            drawn = near.draw(batch - batch // 4, generator), far.draw(batch // 4, generator)
            return tuple(torch.cat([some, _halve(larger)]) for some, larger in zip(*drawn, strict=True))
        shots = _shots_of(self, str(device))
        u = torch.rand(9, batch, generator=generator, dtype=torch.float64, device=device)
        shot = torch.searchsorted(shots.chance, u[0], right=True).clamp_max(len(shots.chance) - 1)
        room = shots.room[shot]  # (batch, 3) as all below: frame, row, column
        even = (u[1:4].T * room).long()
        # the energies of shot k are summed up from k to k + 1
        place = torch.searchsorted(shots.energy, shot + u[4], right=True)
        place = (place - shots.begin[shot]).clamp_min(0).minimum(shots.grid[shot].prod(1) - 1)
        _, rows, columns = shots.grid[shot].unbind(1)
        coarse = torch.stack([place // (rows * columns), place // columns % rows, place % columns], 1)
        corner = coarse * torch.tensor([1, GRID, GRID], device=device)
        nearby = (u[5:7].T * (room - corner)[:, 1:].clamp_max(GRID)).long()
        moving = torch.cat([corner[:, :1], corner[:, 1:] + nearby], 1)
        at = torch.where((u[7] < self.motion)[:, None], moving, even)
        mirrored = (u[8] < 0.5) & self.flip
        speed = self._speed(at[:, 1:], room[:, 1:], generator) if self.pan else None
        frames = _cut(self, shots, shot, at, mirrored, self.memory, speed)
        return frames[:, :-1], frames[:, -1:]

    def _speed(self, place: Tensor, room: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, 2) rows and columns a frame that places move on by, not so fast that they would come from outside.

        place, room: (batch, 2) rows and columns of the next frame, and how many there are.
        """
        u = torch.rand(3, len(place), generator=generator, dtype=torch.float64, device=place.device)
        wanted = ((2 * self.pan + 1) * u[:2].T).long() - self.pan
        frames = max(self.memory, 1)
        fits = torch.maximum(wanted, -((room - 1 - place) // frames)).minimum(place // frames)
        return torch.where(u[2, :, None] < 0.5, fits, 0)

    def clips(self) -> dict[str, Clip]:
        """The shots of its split that are long and large enough, by name."""
        found = footage(self.source, self.test, self.height, self.only)
        due = _first(self) + 1
        fit = {k: v for k, v in found.items() if v.split == self.split and len(v.frames) >= due}
        fit = {k: v for k, v in fit.items() if min(v.frames.shape[1:]) >= self.size}
        if not fit:
            raise ValueError(
                f"{self.source!r} has no shot in the split {self.split!r} of {due} frames and {self.size} × {self.size} "
                f"pixels or more; it has {', '.join(f'{k} {v.frames.shape} ({v.split})' for k, v in found.items())}"
            )
        return fit


@dataclass(frozen=True)
class Patches:
    """Held-out patches: c (N, M, H, W), oldest first, and x (N, 1, H, W), greys in [0, 1], and where each is from.

    clip: the N names of their shots, over which intervals are to be taken. place: (N, 3) frame of x, top row, left
    column. motion: (N,) root mean square of x minus the frame before, in grey units.
    """

    c: Tensor
    x: Tensor
    clip: list[str]
    place: Tensor
    motion: Tensor


def held_out(world: Clips, most: int | None = None, seed: int = 0) -> Patches:
    """Patches of the world's shots that share no pixel: tiles of each frame, and frames that no two patches share.

    most: so many of each shot at most, chosen evenly by the seed. The world's split should be one for testing; for a
    comparison of memories take the patches of the longest, and ``c[:, -M:]``. Raises ValueError as the world does.
    """
    if most is not None and most < 1:
        raise ValueError(f"most must be 1 or more, got {most!r}")
    generator, found = torch.Generator().manual_seed(seed), []
    shots, first = _shots_of(world, "cpu"), _first(world)
    for k, name in enumerate(world.clips()):
        times, rows, columns = shots.room[k].tolist()
        tiles = [range((room - 1) % world.size // 2, room, world.size) for room in (rows, columns)]
        axes = [torch.tensor(list(axis)) for axis in (range(0, times, first + world.stride), *tiles)]
        at = torch.cartesian_prod(*axes)
        if most is not None:
            at = at[torch.randperm(len(at), generator=generator)[:most].sort().values]
        shot = torch.full((len(at),), k)
        frames = _cut(world, shots, shot, at, torch.zeros(len(at), dtype=torch.bool), max(world.memory, 1))
        found.append((frames, [name] * len(at), at + torch.tensor([first, 0, 0])))
    frames, names, places = (list(v) for v in zip(*found, strict=True))
    frames = torch.cat(frames)
    return Patches(
        c=frames[:, frames.shape[1] - 1 - world.memory : -1],
        x=frames[:, -1:],
        clip=[name for shot in names for name in shot],
        place=torch.cat(places),
        motion=(frames[:, -1] - frames[:, -2]).square().mean((1, 2)).sqrt(),
    )


def only_held_out(world: Clips, source: str | tuple[str, ...]) -> Clips:
    """The world of those shots of a source that another world names in ``test``, and of no others.

    To measure a network on what its training did not see, whatever the source takes for its test set: the published
    networks learned from sequences of what DAVIS calls its validation set. Raises ValueError where the world names none,
    and for names of shots that the source lacks, or has too short or too small.
    """
    if not world.test:
        raise ValueError("the world names no shots that were held out for testing")
    held = replace(world, source=source, split="test", only=world.test)
    if unfit := set(world.test) - set(held.clips()):
        raise ValueError(f"{', '.join(sorted(unfit))} of {source!r} are too short or too small to be measured")
    return held


@lru_cache(maxsize=8)
def footage(
    source: str | tuple[str, ...] = "bank", test: tuple[str, ...] = (), height: int = 96, only: tuple[str, ...] = ()
) -> dict[str, Clip]:
    """Shots of one or several sources, by name; test, height and only as in :class:`Clips`. Read once in a process.

    They come in the order of ``only``, or else as the sources have them; of a folder of DAVIS no others are read. Raises
    ValueError for a source that does not exist or cannot be read, for names in ``test`` or ``only`` that none of them
    has, and for one name in two sources.
    """
    found: dict[str, Clip] = {}
    there: dict[str, None] = {}  # names of all shots, those that are not wanted too
    for one in (source,) if isinstance(source, str) else source:
        listed = None
        if one == "bank":
            read = bank()
        elif Path(one).is_dir():
            listed = davis_lists(one)
            wanted = [name for name in listed if name in only]
            read = davis(one, sequences=wanted, height=height) if wanted or not only else {}
        elif not Path(one).is_file():
            raise ValueError(f"there is no {one}: 'bank', a folder of DAVIS, an .npz or a video file was due")
        elif Path(one).suffix == ".npz":
            read = npz(one)
        else:
            read = {Path(one).name: video(one, height=height)}
        names = dict.fromkeys(listed or read)
        if twice := set(there) & set(names):
            raise ValueError(f"{', '.join(sorted(twice))} of {one} has the name of a shot of another source")
        found, there = found | read, there | names
    if unknown := {*test, *only} - set(there):
        raise ValueError(f"no shot is named {', '.join(sorted(unknown))}; there are {', '.join(there)}")
    found = {name: found[name] for name in only or found}
    return found | {name: replace(found[name], split="test") for name in test if name in found}


@dataclass(frozen=True)
class _Shots:
    """All shots of a world in a row, and where they can be cut. K shots, P places on the grids of all."""

    video: Tensor  # all pixels, uint8
    start: Tensor  # (K,) where the shot begins in them
    shape: Tensor  # (K, 2) height and width
    room: Tensor  # (K, 3) how many places a patch can take: frames from the first that can be next, rows, columns
    chance: Tensor  # (K,) probabilities of the shots, summed up
    grid: Tensor  # (K, 3) how many of these places have a known energy
    begin: Tensor  # (K,) where those of the shot begin
    energy: Tensor  # (P,) motion energies, summed up, in all 1 for each shot


def _shots_of(world: Clips, device: str) -> _Shots:
    """Its shots, made once for all worlds that draw from them in other ways."""
    return _shots(replace(world, motion=0.0, flip=False, pan=0, halved=False), device)


@lru_cache(maxsize=4)
def _shots(world: Clips, device: str) -> _Shots:
    size, first = world.size, _first(world)
    video = [clip.frames for clip in world.clips().values()]
    shapes = torch.tensor([v.shape for v in video])
    room = shapes - torch.tensor([first, size - 1, size - 1])
    step = torch.tensor([1, GRID, GRID])
    energies = [_energies(v, first, world.stride, size) for v in video]
    summed = [k + e.ravel().cumsum() / e.sum() for k, e in enumerate(energies)]
    counts = torch.tensor([e.size for e in energies])
    chance = shapes[:, 0].double().sqrt().cumsum(0)
    table = _Shots(
        video=torch.from_numpy(np.concatenate([v.ravel() for v in video])),
        start=shapes.prod(1).cumsum(0) - shapes.prod(1),
        shape=shapes[:, 1:],
        room=room,
        chance=chance / chance[-1],
        grid=(room + step - 1) // step,
        begin=counts.cumsum(0) - counts,
        energy=torch.from_numpy(np.concatenate(summed)),
    )
    return _Shots(**{k: v.to(device) for k, v in vars(table).items()})


def _halve(frames: Tensor) -> Tensor:
    """Frames (B, T, H, W) of half the height and width, each pixel the mean of four."""
    return frames.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))


def _first(world: Clips) -> int:
    """The first frame of a shot that can be the next frame: it has its past, and a frame before it."""
    return max(world.memory, 1) * world.stride


def _energies(frames: np.ndarray, first: int, stride: int, size: int) -> np.ndarray:
    """Motion energy of patches on a grid, times the number of places that each stands for, (T - first, rows, columns)."""
    tall, wide = frames.shape[1:]
    rows, columns = np.arange(0, tall - size + 1, GRID), np.arange(0, wide - size + 1, GRID)
    places = np.minimum(GRID, tall - size + 1 - rows)[:, None] * np.minimum(GRID, wide - size + 1 - columns)
    found = np.empty((len(frames) - first, len(rows), len(columns)))
    summed = np.zeros((tall + 1, wide + 1), dtype=np.int64)
    for k, t in enumerate(range(first, len(frames))):
        change = frames[t].astype(np.int64) - frames[t - stride]
        summed[1:, 1:] = np.square(change).cumsum(0).cumsum(1)
        strips = summed[rows + size] - summed[rows]
        found[k] = strips[:, columns + size] - strips[:, columns]
    return (found + 1) * places  # where nothing ever moves, all places are alike


def _cut(
    world: Clips, shots: _Shots, shot: Tensor, at: Tensor, mirrored: Tensor, memory: int, speed: Tensor | None = None
) -> Tensor:
    """Patches at (frame, row, column) of their shots' room, with so many frames before: (B, memory + 1, H, W) float.

    speed: (B, 2) rows and columns by which the place of a patch moves on from frame to frame; it stays unless given.
    """
    tall, wide = shots.shape[shot].T
    line = torch.arange(world.size, device=at.device)
    age = torch.arange(-memory, 1, device=at.device)
    times = world.stride * age + _first(world) + at[:, :1]
    places = at[:, None, 1:] + (0 if speed is None else age[:, None] * speed[:, None])  # (B, T or 1, 2)
    rows = places[..., :1] + line
    columns = places[..., 1:] + torch.where(mirrored[:, None], line.flip(0), line)[:, None]
    # (B, T, 1, 1) + (B, T or 1, H, 1) + (B, T or 1, 1, W)
    frame = (shots.start[shot][:, None] + times * (tall * wide)[:, None])[:, :, None, None]
    within = (rows * wide[:, None, None])[..., None] + columns[:, :, None]
    return shots.video[frame + within].float().div_(255)
