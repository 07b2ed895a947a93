r"""Natural video as a world: patches of real footage, past frames and next.

A draw is a patch of ``size`` × ``size`` pixels in ``memory`` + 1 frames of one shot. Which shot: in proportion to the root
of its length, so that a long shot of one scene does not crowd out the others. Where in it: evenly, for a share of the
draws, and otherwise in proportion to the motion energy of the patch (:mod:`scorevid.worlds.clips.shots`), for most of what a
fixed camera sees teaches nothing but copying.

The few shots that there are show few motions. With ``pan`` the place of every other draw moves on from frame to frame, at a
speed of its own, as if the camera panned. With ``halved`` every fourth draw is of twice the size and made smaller, so that
some pan by halves of a pixel. Networks of different memory see the same next frames: there is always a frame before, even
for a memory of 0.

The bank and DAVIS say which shots are for testing, and ``test`` names others. Where neither does, a share ``hold_out`` is held
out. Of a folder or a list of videos these are whole videos. Of a single video, and of arrays, it is the end of each shot, 5
frames at least. A network has seen the beginning of these shots, so its errors on their ends are smaller than on shots that it
has not seen. A folder or list may say itself which videos are for testing (:mod:`scorevid.worlds.clips.folders`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.clips.bank import bank
from scorevid.worlds.clips.folders import collection, is_collection, parted_by_video
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.readers import SPLITS, Clip, davis, davis_lists, npz
from scorevid.worlds.clips.shots import Shots, StreamedShots, first_frame, shot_table
from scorevid.worlds.clips.stored import StoredFrames
from scorevid.worlds.clips.video_files import video
from scorevid.worlds.registry import TestScenes, register

NAMED = 50  # shots that a message names
LEAST_HELD_OUT = 5  # frames: memories of up to 4 frames part shots alike


@register("train-clips", "natural video: the embedded bank, DAVIS, files and folders of your own", "natural")
@dataclass(frozen=True)
class Clips:
    """The world of natural video.

    Shots that are too short or small are left out. Files are read once in a process, when frames are first needed. Raises
    ValueError for values that describe no world, for sources that cannot be read, and for those without a fitting shot.
    """

    size: int = 32  # frames are size x size pixels
    memory: int = 2  # M, past frames; 0 gives single frames
    # "bank", a folder of DAVIS, an .npz or a video file, a folder or a list of videos; or several of them
    source: str | tuple[str, ...] = "bank"
    split: str = "train"  # "train", "test", or "test, background seen in training"
    # names of shots, videos or classes that are for testing, beside those of which the source says so
    test: tuple[str, ...] = ()
    only: tuple[str, ...] = ()  # names of the only shots, videos or classes to take; all that the sources have if empty
    motion: float = 0.75  # share of draws whose place is chosen by motion energy
    flip: bool = True  # mirror every other draw left to right
    pan: int = 0  # in every other draw the place moves on by up to so many pixels a frame, each way: a camera that pans
    halved: bool = False  # every fourth draw is of twice the size, halved: from further away, moving by half pixels too
    stride: int = 1  # frames from one frame of a draw to the next
    height: int = 96  # pixels, to which DAVIS and video files are made smaller; the bank and .npz are taken as they are
    hold_out: float = 0.2  # share of each shot, its end, that is for testing where no source and no name says what is

    earlier: ClassVar[dict] = {"hold_out": 0.0}  # fields that descriptions of earlier versions lack, as they were then

    def __post_init__(self):
        for name, least in (("size", 1), ("memory", 0), ("pan", 0), ("stride", 1), ("height", 1)):
            checks.integer(name, getattr(self, name), least)
        for name in ("source", "test", "only"):
            value = getattr(self, name)
            several = isinstance(value, tuple) and all(isinstance(v, str) for v in value)
            if not several and not (name == "source" and isinstance(value, str)):
                raise ValueError(f"{name} must be a tuple of strings, got {value!r}")
        if not self.source:
            raise ValueError("source must be 'bank' or a path, got nothing")
        checks.one_of("split", self.split, SPLITS)
        checks.number("motion", self.motion, 0, 1)
        checks.number("hold_out", self.hold_out, 0, 0.9)

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training pairs: past c (batch, M, H, W), oldest first, and next frame x (batch, 1, H, W), greys in [0, 1]."""
        if self.halved:
            near, far = replace(self, halved=False), replace(self, halved=False, size=2 * self.size)
            drawn = near.draw(batch - batch // 4, generator), far.draw(batch // 4, generator)
            return tuple(torch.cat([some, _halve(larger)]) for some, larger in zip(*drawn, strict=True))
        shots = self.shots(generator.device)
        u = torch.rand(9, batch, generator=generator, dtype=torch.float64, device=generator.device)
        u_shot, u_frame, u_row, u_column, u_energy, u_down, u_right, u_moving, u_mirror = u
        shot = shots.choose(u_shot)
        room = shots.room[shot]  # (batch, 3): frames, rows, columns
        anywhere = (torch.stack([u_frame, u_row, u_column], 1) * room).long()
        moving = shots.moving(shot, u_energy, u_down, u_right)
        place = torch.where((u_moving < self.motion)[:, None], moving, anywhere)
        speed = self._speed(place[:, 1:], room[:, 1:], generator) if self.pan else torch.zeros_like(place[:, 1:])
        frames = shots.cut(self, shot, place, self.memory, (u_mirror < 0.5) & self.flip, speed)
        return frames[:, :-1], frames[:, -1:]

    def test_scenes(self, n: int, generator: torch.Generator) -> TestScenes:
        """Patches of the shots for testing, as many of each as there are, up to an even share of n, and of n shots at most."""
        world = replace(self, split="test")
        patches = held_out(world, max(1, n // len(world.clips())), generator.initial_seed(), shots_most=n)
        c, x = (v.to(generator.device) for v in (patches.c, patches.x))
        return TestScenes(c, x, patches.motion.square().mean())

    def _speed(self, place: Tensor, room: Tensor, generator: torch.Generator) -> Tensor:
        """(batch, 2) rows and columns a frame that places move on by, not so fast that they would come from outside.

        place, room: (batch, 2) rows and columns of the next frame, and how many there are.
        """
        *u, u_pans = torch.rand(3, len(place), generator=generator, dtype=torch.float64, device=place.device)
        wanted = ((2 * self.pan + 1) * torch.stack(u, 1)).long() - self.pan
        frames = max(self.memory, 1)
        fits = torch.maximum(wanted, -((room - 1 - place) // frames)).minimum(place // frames)
        return torch.where(u_pans[:, None] < 0.5, fits, 0)

    def shots(self, device: torch.device | str) -> Shots | StreamedShots:
        """Its shots in one table, made once for all worlds that draw from them in other ways."""
        return shot_table(replace(self, motion=0.0, flip=False, pan=0, halved=False), str(device))

    @property
    def streams(self) -> bool:
        """Whether frames are read from the disk as they are drawn."""
        return any(isinstance(clip.frames, StoredFrames) for clip in self.clips().values())

    def clips(self) -> dict[str, Clip]:
        """The shots of its split that are long and large enough, by name."""
        found = footage(self.source, self.test, self.height, self.only)
        least = first_frame(self) + 1
        if self.hold_out and not self.test and not _says_what_is_for_testing(self.source, found):
            whole = {name: clip for name, clip in found.items() if clip.video}
            parted = (parted_by_video(whole, self.hold_out) if whole else None) or {}
            found = {n: parted.get(n) or self._part(clip, max(least, LEAST_HELD_OUT)) for n, clip in found.items()}
        fit = {k: v for k, v in found.items() if v.split == self.split and len(v.frames) >= least}
        fit = {k: v for k, v in fit.items() if min(v.frames.shape[1:]) >= self.size}
        if not fit:
            some = [f"{k} {v.frames.shape} ({v.split})" for k, v in islice(found.items(), NAMED)]
            raise ValueError(
                f"{self.source!r} has no shot in the split {self.split!r} of {least} frames and {self.size} × {self.size} "
                f"pixels or more; it has {', '.join(some)}{', …' if len(found) > NAMED else ''}"
            )
        return fit

    def _part(self, clip: Clip, least: int) -> Clip:
        """The end of a shot that is for testing, or the rest; a shot too short for two parts of so many frames is whole."""
        tested = max(math.ceil(self.hold_out * len(clip.frames)), least)
        if len(clip.frames) < tested + least:
            return clip
        if self.split == "test":
            return replace(clip, frames=clip.frames[-tested:], split="test")
        return replace(clip, frames=clip.frames[:-tested])


def every_shot(source: str | tuple[str, ...], only: Sequence[str] = (), *, size: int = 32, memory: int = 3) -> Clips:
    """The world of all shots of a source, or of those named in ``only``, whatever they are for there.

    source, size, memory: as in :class:`Clips`. Raises ValueError as that does, and for shots that are
    too short or too small.
    """
    names = tuple(footage(source, only=tuple(only)))
    world = Clips(size=size, memory=memory, source=source, split="test", test=names, only=names)
    if unfit := set(names) - set(world.clips()):
        raise ValueError(f"{', '.join(sorted(unfit))} of {source!r} are too short or too small to be measured")
    return world


@lru_cache(maxsize=8)
def footage(
    source: str | tuple[str, ...] = "bank", test: tuple[str, ...] = (), height: int = 96, only: tuple[str, ...] = ()
) -> dict[str, Clip]:
    """Shots of one or several sources, by name; test, height and only as in :class:`Clips`. Read once in a process.

    They come in the order of ``only``, or else as the sources have them; of a folder of DAVIS no others are read. Raises
    ValueError for a source that does not exist or cannot be read, for names in ``test`` or ``only`` that none of them
    has, and for one name in two sources.
    """
    read: dict[str, Clip] = {}
    names: list[str] = []  # of all shots, those that are not wanted too
    for one in _several(source):
        path, listed = Path(one), None
        if one == "bank":
            shots = bank()
        elif is_collection(one):
            shots = collection(one, height)
        elif path.is_dir():
            listed = davis_lists(path)
            wanted = [name for name in listed if name in only]
            shots = davis(path, wanted, height) if wanted or not only else {}
        elif not path.is_file():
            known = "'bank', a folder of DAVIS, an .npz or a video file, a folder or a list of videos"
            raise ValueError(f"there is no {one}: {known} is expected")
        else:
            shots = npz(path) if path.suffix == ".npz" else {path.name: video(path, height)}
        if twice := set(names).intersection(listed or shots):
            raise ValueError(f"{', '.join(sorted(twice))} of {one} has the name of a shot of another source")
        read |= shots
        names += listed or shots
    wider = {word for clip in read.values() for word in (clip.video, clip.group)}
    if unknown := {*test, *only}.difference(names, wider):
        some = f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
        raise ValueError(f"no shot is named {', '.join(sorted(unknown))}; there are {some}")
    tested = {name for name, clip in read.items() if {name, clip.video, clip.group}.intersection(test)}
    wanted = [name for word in only for name, clip in read.items() if word in (name, clip.video, clip.group)]
    return {name: replace(read[name], split="test") if name in tested else read[name] for name in wanted or read}


def _says_what_is_for_testing(source: str | tuple[str, ...], found: dict[str, Clip]) -> bool:
    """Whether one of the sources does: the bank, DAVIS, and a folder or list with such videos."""
    if any(clip.video and clip.split != "train" for clip in found.values()):
        return True
    return any(s == "bank" or (Path(s).is_dir() and not is_collection(s)) for s in _several(source))


def _several(source: str | tuple[str, ...]) -> tuple[str, ...]:
    return (source,) if isinstance(source, str) else source


def _halve(frames: Tensor) -> Tensor:
    """Frames (B, T, H, W) of half the height and width, each pixel the mean of four."""
    return frames.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))
