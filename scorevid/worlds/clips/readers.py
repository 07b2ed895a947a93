"""Footage from files, as grey frames: the official layout of DAVIS, and files of arrays.

Whatever it was, footage becomes a :class:`Clip`: (T, H, W) uint8, one shot without a cut, oldest frame first. Frames are
made smaller by averaging areas, in integers, so that all machines agree. Nothing here downloads anything.

DAVIS 2017 (davischallenge.org) is the unpacked ``DAVIS-2017-trainval-480p.zip``; the page "Data" of the book has its size and
sha256. Its licence, CC BY-NC 4.0, forbids commercial use: it does not come with this package, and weights that were trained
on it have to say so.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scorevid import checks

SEEN = "test, background seen in training"  #: a split of its own, reported apart
SPLITS = ("train", "test", SEEN)
DUPLICATES = {"pigs": ("00025", "00050", "00075")}  # DAVIS frames that repeat the one before
SMALLEST, FEWEST = 32, 2  # pixels of the shorter side, frames: below that there is nothing to predict
NO_CHECKSUMS = "such files hold no checksums, so damage that leaves them readable goes unnoticed"


class UncheckedFootage(UserWarning):
    """Frames were read, and nothing in their file vouches for them."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One shot: frames (T, H, W) uint8 grey, oldest first, and whether it is for training or for testing.

    frames: an array, or :class:`~scorevid.worlds.clips.stored.StoredFrames`. video, group: the file that the shot was cut
    from, and the class or group that this belongs to, "" where nothing is said of them.

    Raises ValueError for other arrays, for fewer than 2 frames, and for frames less than 32 pixels high or wide.
    """

    name: str
    frames: np.ndarray
    split: str = "train"  # one of SPLITS
    video: str = ""
    group: str = ""

    def __post_init__(self):
        frames = self.frames
        if getattr(frames, "dtype", None) != np.uint8 or frames.ndim != 3:
            given = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
            raise ValueError(f"clip {self.name!r}: frames must be (T, H, W) of uint8, got {given}")
        if len(frames) < FEWEST:
            raise ValueError(f"clip {self.name!r} has too few frames: {len(frames)}, at least {FEWEST} are needed")
        if min(frames.shape[1:]) < SMALLEST:
            size = " × ".join(map(str, frames.shape[1:]))
            raise ValueError(f"clip {self.name!r} is too small: {size} pixels, at least {SMALLEST} each way are needed")
        if self.split not in SPLITS:
            raise ValueError(f"clip {self.name!r}: split must be one of {SPLITS}, got {self.split!r}")


def davis(path: Path | str, sequences: Sequence[str] = (), height: int = 96) -> dict[str, Clip]:
    """Sequences of DAVIS 2017 at 480p by name; those of "val" are for testing. About the archive see the module.

    path: the folder that holds ``JPEGImages/480p/<sequence>/00000.jpg …`` and ``ImageSets/2017/{train,val}.txt``.
    sequences: names of those wanted, all if empty. height: of the frames, in pixels.

    The three frames of ``pigs`` that repeat their neighbours are skipped. Raises ValueError that names what is missing or
    damaged: a folder, a list, sequences, a frame. Warns with :class:`UncheckedFootage`, for JPEG has no checksums.
    """
    listed, images = davis_lists(path), Path(path) / "JPEGImages" / "480p"
    if not listed or (unknown := set(sequences) - set(listed)):
        wanted = ", ".join(sorted(unknown)) if listed else "any sequence"
        raise ValueError(f"the lists in {Path(path) / 'ImageSets' / '2017'} do not name {wanted}")
    wanted = [name for name in listed if not sequences or name in sequences]
    if absent := [name for name in wanted if not (images / name).is_dir()]:
        raise ValueError(f"{images} lacks {', '.join(absent)}: folders of 00000.jpg and so on are expected")
    clips = {}
    for name in wanted:
        frames = np.stack([shrink(frame, height) for frame in _jpegs(images / name)])
        clips[name] = Clip(name, frames, "train" if listed[name] == "train" else "test")
    count = sum(len(clip.frames) for clip in clips.values())
    warnings.warn(f"{path}: {count} frames of JPEG were read; {NO_CHECKSUMS}", UncheckedFootage, stacklevel=2)
    return clips


def davis_lists(path: Path | str) -> dict[str, str]:
    """Sequences that the lists in a folder of DAVIS name, and of each its list, "train" or "val". No frame is read.

    Raises ValueError for a folder or a list that is missing.
    """
    path, listed = Path(path), {}
    if not (images := path / "JPEGImages" / "480p").is_dir():
        raise ValueError(f"{images} is missing: {path} should be the unpacked DAVIS-2017-trainval-480p.zip")
    for subset in ("train", "val"):
        listing = path / "ImageSets" / "2017" / f"{subset}.txt"
        if not listing.is_file():
            raise ValueError(f"{listing} is missing: a list of sequences is expected")
        try:
            listed |= dict.fromkeys(listing.read_text().split(), subset)
        except UnicodeDecodeError as error:
            raise ValueError(f"{listing} is damaged: {error}") from error
    return listed


def npz(path: Path | str) -> dict[str, Clip]:
    """Clips from an .npz file of arrays (T, H, W) uint8, by name.

    Raises ValueError for a file that is missing, damaged or empty, and for an array of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}; an .npz of arrays (T, H, W) is expected")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # the readers of .zip and .npy raise whatever a damaged header leads to
        raise ValueError(f"{path} is damaged, or no .npz of arrays (T, H, W): {error}") from error
    if not arrays:
        raise ValueError(f"{path} is empty; arrays (T, H, W) of uint8 are expected")
    return {name: Clip(name, frames) for name, frames in arrays.items()}


def shrink(frame: np.ndarray, height: int) -> np.ndarray:
    """A uint8 frame (H, W) made smaller, each pixel the rounded mean of the area that it covers.

    The width follows, rounded down; what is too much for it is cut off evenly at the left and right. Raises ValueError
    for frames lower than the height: nothing is made larger.
    """
    checks.integer("height", height)
    tall, wide = frame.shape
    if tall < height:
        raise ValueError(f"a frame {tall} × {wide} is too small for a height of {height} pixels")
    if tall == height:
        return frame
    width = wide * height // tall
    used = min(wide, round(width * tall / height))
    left = (wide - used) // 2
    # float64 holds these whole numbers exactly, in whatever order they are summed
    total = _overlap(tall, height) @ frame[:, left : left + used].astype(np.float64) @ _overlap(used, width).T
    area = tall * used
    return ((2 * total.astype(np.int64) + area) // (2 * area)).astype(np.uint8)


def _overlap(fine: int, coarse: int) -> np.ndarray:
    """By how much each of the coarse pixels on a line covers each of the fine ones, in 1/coarse of a fine pixel."""
    i, j = np.arange(coarse)[:, None], np.arange(fine)
    shared = np.minimum((i + 1) * fine, (j + 1) * coarse) - np.maximum(i * fine, j * coarse)
    return shared.clip(0).astype(np.float64)


def _jpegs(folder: Path) -> Iterator[np.ndarray]:
    """The frames of a DAVIS sequence, (H, W) uint8, without those that repeat one."""
    paths = sorted(p for p in folder.glob("*.jpg") if re.fullmatch(r"\d{5}", p.stem))
    if not paths:
        raise ValueError(f"{folder} has no frames: 00000.jpg and so on are expected")
    skipped, size = DUPLICATES.get(folder.name, ()), None
    missing = {f"{k:05d}" for k in range(int(paths[-1].stem))} - {p.stem for p in paths} - set(skipped)
    if missing:
        raise ValueError(f"{folder} lacks the frame {min(missing)}.jpg, though later ones are there")
    for path in paths:
        if path.stem in skipped:
            continue
        try:
            with Image.open(path) as image:
                frame = np.asarray(image.convert("L"))
        except Exception as error:  # as above, and one of its own for sizes that cannot be
            raise ValueError(f"{path} is damaged: {error}") from error
        if size not in (None, frame.shape):
            raise ValueError(f"{path} is {frame.shape}, the frames before it are {size}")
        size = frame.shape
        yield frame
