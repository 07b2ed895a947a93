r"""All shots of a world of natural video in one table, from which patches are drawn and cut.

The motion energy of a patch is the squared error of copying the last frame,

.. math:: E(t, i, j) = \frac{1}{\text{size}^2} \sum_{p \,\in\, \text{patch}} \big( v_t(p) - v_{t - \text{stride}}(p) \big)^2 .

It is kept for every fourth pixel each way: a patch lies up to 3 pixels from where its energy was taken.

Shots of a folder or a list of videos stay on the disk, and so may be more than the memory holds. Of these one number is kept
for each frame, its mean squared change. A frame is drawn in proportion to that, and a place in it in proportion to energies
that are worked out as it is drawn, from every other pixel each way. So the chances of frames differ a little from those of
shots in memory: borders of a frame count as much as its middle, and changes are those between neighbours at every stride.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scorevid.worlds.clips.stored import StoredFrames

if TYPE_CHECKING:
    from scorevid.worlds.clips.world import Clips

GRID = 4  # pixels between places of known motion energy


@dataclass(frozen=True, eq=False)
class Shots:
    """All shots of a world in a row, and where they can be cut. K shots, P places on the grids of all."""

    video: Tensor  # all pixels, uint8
    start: Tensor  # (K,) where the shot begins in them
    shape: Tensor  # (K, 2) height and width
    room: Tensor  # (K, 3) how many places a patch can take: frames from the first that can be next, rows, columns
    chance: Tensor  # (K,) probabilities of the shots, summed up
    grid: Tensor  # (K, 3) how many of these places have a known energy
    begin: Tensor  # (K,) where those of the shot begin
    energy: Tensor  # (P,) motion energies, summed up, in all 1 for each shot

    def choose(self, u: Tensor) -> Tensor:
        """Shots in proportion to the root of their length, (B,) long. u: (B,) uniform in [0, 1)."""
        return torch.searchsorted(self.chance, u, right=True).clamp_max(len(self.chance) - 1)

    def moving(self, shot: Tensor, u: Tensor, u_row: Tensor, u_column: Tensor) -> Tensor:
        """Places in shots (B,) in proportion to motion energy, (B, 3) frame, row, column. u, u_row, u_column: as u above."""
        # the energies of shot k are summed up from k to k + 1
        place = torch.searchsorted(self.energy, shot + u, right=True)
        place = (place - self.begin[shot]).clamp_min(0).minimum(self.grid[shot].prod(1) - 1)
        _, rows, columns = self.grid[shot].unbind(1)
        coarse = torch.stack([place // (rows * columns), place // columns % rows, place % columns], 1)
        step = torch.tensor([1, GRID, GRID], device=place.device)
        nearby = (self.room[shot] - coarse * step).minimum(step)
        return coarse * step + (torch.stack([torch.zeros_like(u), u_row, u_column], 1) * nearby).long()

    def cut(self, world: Clips, shot: Tensor, place: Tensor, memory: int, mirrored: Tensor, speed: Tensor) -> Tensor:
        """Patches at places (B, 3) of shots (B,), with so many frames before: (B, memory + 1, H, W) greys in [0, 1].

        place: (frame, row, column) as ``room`` counts them. mirrored: (B,) bool, which to mirror left to right. speed:
        (B, 2) rows and columns by which the place of a patch moves on from frame to frame.
        """
        tall, wide = self.shape[shot].T
        line = torch.arange(world.size, device=place.device)
        age = torch.arange(-memory, 1, device=place.device)
        times = world.stride * age + first_frame(world) + place[:, :1]
        corners = place[:, None, 1:] + age[:, None] * speed[:, None]  # (B, T, 2)
        rows = corners[..., :1] + line
        columns = corners[..., 1:] + torch.where(mirrored[:, None], line.flip(0), line)[:, None]
        # (B, T, 1, 1) + (B, T, H, 1) + (B, T, 1, W)
        frame = (self.start[shot][:, None] + times * (tall * wide)[:, None])[:, :, None, None]
        within = (rows * wide[:, None, None])[..., None] + columns[:, :, None]
        return self.video[frame + within].float().div_(255)


@dataclass(frozen=True, eq=False)
class StreamedShots:
    """The same of shots that stay on the disk. Frames are read as they are drawn, and none is kept."""

    video: tuple[np.ndarray | StoredFrames, ...]  # the frames of each
    room: Tensor  # (K, 3), chance (K,) and energy as above, but that energy has a value for each frame
    chance: Tensor
    energy: Tensor
    begin: Tensor  # (K,) where those of the shot begin
    world: Clips

    choose = Shots.choose

    def moving(self, shot: Tensor, u: Tensor, u_row: Tensor, u_column: Tensor) -> Tensor:
        """As :meth:`Shots.moving`."""
        index = torch.searchsorted(self.energy, shot + u, right=True)
        index = index.maximum(self.begin[shot]).minimum(self.begin[shot] + self.room[shot, 0] - 1)
        after, before = self.energy[index], torch.where(index > self.begin[shot], self.energy[index - 1], shot)
        rest = ((shot + u - before) / (after - before)).clamp(0, 1)  # as uniform as u
        frame, first, stride = index - self.begin[shot], first_frame(self.world), self.world.stride
        coarse = []
        for k, t, share in zip(shot.tolist(), (frame + first).tolist(), rest.tolist(), strict=True):
            energies = energies_between(*np.asarray(self.video[k][t - stride : t + 1])[[0, -1]], self.world.size)
            summed = energies.ravel().cumsum()
            place = min(int(np.searchsorted(summed, share * summed[-1], side="right")), energies.size - 1)
            coarse.append(np.unravel_index(place, energies.shape))
        corner = GRID * torch.tensor(np.array(coarse, dtype=np.int64).reshape(-1, 2), device=u.device)
        nearby = (self.room[shot][:, 1:] - corner).clamp_max(GRID)
        corner = corner + (torch.stack([u_row, u_column], 1) * nearby).long()
        return torch.cat([frame[:, None], corner], 1)

    def cut(self, world: Clips, shot: Tensor, place: Tensor, memory: int, mirrored: Tensor, speed: Tensor) -> Tensor:
        """As :meth:`Shots.cut`."""
        size, ages = world.size, range(-memory, 1)
        patches = np.empty((len(shot), len(ages), size, size), np.uint8)
        given = (v.tolist() for v in (shot, place, mirrored, speed))
        for patch, k, (time, row, column), flip, (down, right) in zip(patches, *given, strict=True):
            now = first_frame(world) + time
            frames = np.asarray(self.video[k][now - memory * world.stride : now + 1])[:: world.stride]
            for t, age in enumerate(ages):
                i, j = row + age * down, column + age * right
                cut = frames[t, i : i + size, j : j + size]
                patch[t] = cut[:, ::-1] if flip else cut
        return torch.from_numpy(patches).to(place.device).float().div_(255)


def first_frame(world: Clips) -> int:
    """The first frame of a shot that can be the next frame: it has its past, and a frame before it."""
    return max(world.memory, 1) * world.stride


@lru_cache(maxsize=4)
def shot_table(world: Clips, device: str) -> Shots | StreamedShots:
    """The shots of a world in one table; worlds that draw from the same shots in other ways should share one."""
    if any(isinstance(clip.frames, StoredFrames) for clip in world.clips().values()):
        return _streamed(world, device)
    size, first = world.size, first_frame(world)
    video = [clip.frames for clip in world.clips().values()]
    shapes = torch.tensor([v.shape for v in video])
    room = shapes - torch.tensor([first, size - 1, size - 1])
    step = torch.tensor([1, GRID, GRID])
    energies = [motion_energies(v, first, world.stride, size) for v in video]
    summed = [k + e.ravel().cumsum() / e.sum() for k, e in enumerate(energies)]
    counts = torch.tensor([e.size for e in energies])
    chance = shapes[:, 0].double().sqrt().cumsum(0)
    table = Shots(
        video=torch.from_numpy(np.concatenate([v.ravel() for v in video])),
        start=shapes.prod(1).cumsum(0) - shapes.prod(1),
        shape=shapes[:, 1:],
        room=room,
        chance=chance / chance[-1],
        grid=(room + step - 1) // step,
        begin=counts.cumsum(0) - counts,
        energy=torch.from_numpy(np.concatenate(summed)),
    )
    return Shots(**{k: v.to(device) for k, v in vars(table).items()})


def _streamed(world: Clips, device: str) -> StreamedShots:
    video, first = tuple(clip.frames for clip in world.clips().values()), first_frame(world)
    shapes = torch.tensor([v.shape for v in video])
    room = shapes - torch.tensor([first, world.size - 1, world.size - 1])
    energies = [world.size**2 * _changes(v)[first:].astype(np.float64) + 1 for v in video]
    summed = np.concatenate([k + e.cumsum() / e.sum() for k, e in enumerate(energies)])
    chance, counts = shapes[:, 0].double().sqrt().cumsum(0), room[:, 0]
    tables = (room, chance / chance[-1], torch.from_numpy(summed), counts.cumsum(0) - counts)
    return StreamedShots(video, *(v.to(device) for v in tables), world)


def _changes(frames: np.ndarray | StoredFrames) -> np.ndarray:
    """Mean square of each frame's change from the one before, (T,) in squares of 1/255."""
    if isinstance(frames, StoredFrames):
        return frames.changes()
    return np.array([0.0] + [np.square(np.subtract(b, a, dtype=np.float32)).mean() for a, b in pairwise(frames)])


def energies_between(earlier: np.ndarray, later: np.ndarray, size: int) -> np.ndarray:
    """What :func:`motion_energies` has for one pair of frames (H, W), from every other pixel each way, (rows, columns)."""
    tall, wide = earlier.shape
    if size % GRID or tall < size or wide < size:
        return motion_energies(np.stack([earlier, later]), 1, 1, size)[0]
    down, right, across = tall // GRID, wide // GRID, size // GRID
    step = np.subtract(
        later[: down * GRID : 2, : right * GRID : 2], earlier[: down * GRID : 2, : right * GRID : 2], dtype=np.float32
    )
    step *= step
    step = step[::2] + step[1::2]
    # sums of blocks, which patches on the grid are made of
    blocks = np.zeros((down + 1, right + 1))
    blocks[1:, 1:] = 4 * (step[:, ::2] + step[:, 1::2])
    np.cumsum(np.cumsum(blocks, 0, out=blocks), 1, out=blocks)
    strips = blocks[across:] - blocks[:-across]
    return (strips[:, across:] - strips[:, :-across] + 1) * _weights(tall, wide, size)


@lru_cache(maxsize=64)
def _weights(tall: int, wide: int, size: int) -> np.ndarray:
    """How many places each place on the grid stands for."""
    rows, columns = (np.arange(0, n - size + 1, GRID) for n in (tall, wide))
    return np.minimum(GRID, tall - size + 1 - rows)[:, None] * np.minimum(GRID, wide - size + 1 - columns)


def motion_energies(frames: np.ndarray, first: int, stride: int, size: int) -> np.ndarray:
    """Motion energy of patches on a grid, times the number of places that each stands for, (T - first, rows, columns)."""
    tall, wide = frames.shape[1:]
    rows, columns = np.arange(0, tall - size + 1, GRID), np.arange(0, wide - size + 1, GRID)
    places = _weights(tall, wide, size)
    found = np.empty((len(frames) - first, len(rows), len(columns)))
    summed = np.zeros((tall + 1, wide + 1), dtype=np.int64)
    for k, t in enumerate(range(first, len(frames))):
        change = frames[t].astype(np.int64) - frames[t - stride]
        summed[1:, 1:] = np.square(change).cumsum(0).cumsum(1)
        strips = summed[rows + size] - summed[rows]
        found[k] = strips[:, columns + size] - strips[:, columns]
    return (found + 1) * places  # where nothing ever moves, all places are alike
