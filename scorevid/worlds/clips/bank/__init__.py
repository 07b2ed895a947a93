"""Real camera footage that comes with the package: one file a shot, and ``index.json``, which tells what each is.

A shot is stored without loss. Its frames are replaced by differences mod 256 along some of the axes t, y, x, which are
small where the footage changes little, and those are packed by LZMA; sums mod 256 along the same axes undo them. The
standard library and numpy are enough to read it. Where the footage comes from, under which licences, and how it was made:
``NOTICE.txt`` beside this file, the page "Data" of the book, and ``scripts/rebuild_bank.py``.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from functools import lru_cache
from pathlib import Path

import numpy as np

from scorevid.worlds.clips.readers import Clip

FOLDER = Path(__file__).parent
AXES = "tyx"
PRESET = 9 | lzma.PRESET_EXTREME  # of LZMA: slow to pack, as fast to unpack as any


class DamagedBank(ValueError):
    """A file of the bank that does not hold the frames that the index describes."""


@lru_cache(maxsize=2)
def bank(folder: Path | str = FOLDER) -> dict[str, Clip]:
    """All embedded shots by name: frames (T, H, W) uint8 and split, "train", "test" or :data:`~.readers.SEEN`.

    Decoding takes a second or two, once. Raises :class:`DamagedBank` for a file that is missing, or whose frames do not
    have the sha256 of the index.
    """
    folder, found = Path(folder), {}
    for shot in index(folder)["shots"]:
        path = folder / shot["file"]
        if not path.is_file():
            raise DamagedBank(f"{path} is missing, though the index names it: install scorevid again")
        try:
            frames = unpack(path.read_bytes(), (shot["frames"], *shot["size"]), shot["differences"])
        except (lzma.LZMAError, EOFError, ValueError) as error:
            raise DamagedBank(f"{path} is damaged: {error}. Install scorevid again") from error
        if (sha256 := hashlib.sha256(frames).hexdigest()) != shot["sha256_frames"]:
            told = f"its frames have the sha256 {sha256}, the index says {shot['sha256_frames']}"
            raise DamagedBank(f"{path} is damaged or was changed: {told}. Install scorevid again")
        frames.flags.writeable = False
        found[shot["name"]] = Clip(shot["name"], frames, shot["split"])
    return found


def index(folder: Path | str = FOLDER) -> dict:
    """What is known of the shots and of the files they were cut from: ``{"sources": {…}, "shots": […]}``."""
    path = Path(folder) / "index.json"
    if not path.is_file():
        raise DamagedBank(f"{path} is missing: install scorevid again")
    return json.loads(path.read_text())


def pack(frames: np.ndarray, differences: str, preset: int = PRESET) -> bytes:
    """Frames (T, H, W) uint8 as the content of a file; differences: the axes along which they are taken, of "tyx"."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "lc": 4, "lp": 0, "pb": 0}]
    for axis in differences:
        frames = np.diff(frames, axis=AXES.index(axis), prepend=np.uint8(0))
    return lzma.compress(frames.tobytes(), format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32, filters=filters)


def unpack(content: bytes, shape: tuple[int, int, int], differences: str) -> np.ndarray:
    """The frames (T, H, W) that were packed. Raises LZMAError or ValueError where the content cannot be theirs."""
    frames = np.frombuffer(lzma.decompress(content, format=lzma.FORMAT_XZ), np.uint8).reshape(shape)
    for axis in differences:
        frames = np.cumsum(frames, axis=AXES.index(axis), dtype=np.uint8)
    return np.array(frames)
