"""Decoded videos on the disk: grey frames, shrunk and cut into shots, made once and read from there.

A file ``KEY.frames`` has the frames of a video, one byte a pixel, and behind them a float32 for each frame, the mean square of
its change from the one before. ``KEY.json`` describes it, or says why there is none. KEY stands for the file's path, size and
time, and the height: a video that was changed is decoded again. Files are moved into place when they are whole, the
description last, so a process may be stopped at any time, and several may fill one folder.

The folder is ``$SCOREVID_CACHE``, by default ``scorevid`` in the user's folder for caches. It holds up to
``$SCOREVID_CACHE_GB``, 20 unless given. What does not fit is left out; nothing is deleted, for somebody may be reading it.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock
from tqdm import tqdm

from scorevid import checks
from scorevid.files import named_errors, replace_file, writing
from scorevid.machine import processors
from scorevid.worlds.clips.readers import FEWEST, SMALLEST
from scorevid.worlds.clips.video_files import Cuts, decode

VERSION = 1  # of the files: others are decoded again
ABANDONED = 3600  # seconds after which a file that nobody writes on is one of a process that was killed


@dataclass(frozen=True, eq=False)
class StoredFrames:
    """Frames (T, H, W) uint8 on the disk, which slices and numbers read. first: their place in a video of ``total`` frames."""

    path: Path
    shape: tuple[int, int, int]
    first: int
    total: int

    dtype, ndim = np.dtype(np.uint8), 3

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.block(0, len(self)).astype(dtype or np.uint8, copy=False)

    def __getitem__(self, index):
        """A slice is another part of the disk; frames by number, one or a list, are read."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return np.asarray(self)[index]
            return StoredFrames(self.path, (max(0, stop - start), *self.shape[1:]), self.first + start, self.total)
        numbers = range(len(self))
        if isinstance(index, list | np.ndarray):
            return np.stack([self.block(numbers[k], numbers[k] + 1)[0] for k in index])
        return self.block(numbers[index], numbers[index] + 1)[0]

    def block(self, start: int, stop: int) -> np.ndarray:
        """The frames from start to before stop, (stop - start, H, W)."""
        size = self.shape[1] * self.shape[2]
        read = self._read(np.uint8, (stop - start) * size, (self.first + start) * size)
        return read.reshape(stop - start, *self.shape[1:])

    def changes(self) -> np.ndarray:
        """Mean square of each frame's change from the one before, (T,) in squares of 1/255."""
        return self._read(np.float32, len(self), self.total * self.shape[1] * self.shape[2] + 4 * self.first)

    def _read(self, kind: type, count: int, offset: int) -> np.ndarray:
        with self.path.open("rb", buffering=0) as file:
            file.seek(offset)
            content = np.frombuffer(file.read(count * np.dtype(kind).itemsize), np.uint8)
        if content.size != count * np.dtype(kind).itemsize:
            raise ValueError(f"{self.path} is shorter than it should be: remove it, and it is made again")
        return content.view(kind)


@dataclass(frozen=True)
class StoredVideo:
    """One video on the disk: its frames, their size, where its shots begin, and whether checksums vouched for the file."""

    path: Path
    frames: int
    height: int
    width: int
    starts: tuple[int, ...]
    checked: bool

    def shots(self) -> Iterator[StoredFrames]:
        """Its shots of 2 frames or more."""
        whole = StoredFrames(self.path, (self.frames, self.height, self.width), 0, self.frames)
        for start, stop in zip(self.starts, (*self.starts[1:], self.frames), strict=True):
            if stop - start >= FEWEST:
                yield whole[start:stop]


@dataclass
class Stored:
    """Videos on the disk by their path, and of those that are left out the reason."""

    videos: dict[Path, StoredVideo] = field(default_factory=dict)
    left_out: dict[Path, str] = field(default_factory=dict)


def cache_folder() -> Path:
    """The folder of decoded videos, which is made if need be."""
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(os.environ.get("SCOREVID_CACHE") or of_user / "scorevid")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def store(paths: Iterable[Path], height: int, *, progress: bool = False, workers: int | None = None) -> Stored:
    """Decode videos that are not on the disk yet, several at once, and tell where all of them are.

    height: of the frames; videos that are lower are left out. workers: threads, one a processor unless given. progress: show a
    bar. Raises ModuleNotFoundError without PyAV or PySceneDetect, OSError where the folder cannot be written.
    """
    checks.integer("height", height)
    cache, made = _Cache(cache_folder(), height), Stored()
    todo = []
    for path in paths:
        known = cache.find(path)
        todo += [path] if known is None else []
        cache.note(made, path, known)
    if not todo:
        return made
    av, _ = checks.installed("av", "video"), checks.installed("scenedetect", "video")
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    pool = ThreadPoolExecutor(workers or processors())
    try:
        with tqdm(total=len(todo), desc="decoding", unit="video", disable=not progress) as bar:
            for path, known in zip(todo, pool.map(cache.make, todo), strict=True):
                cache.note(made, path, known)
                bar.update()
    finally:
        cache.stopped.set()  # of an interrupt: threads end at their next frame
        pool.shutdown(cancel_futures=True)
        av.logging.set_level(level)
    return made


class _Cache:
    """The folder for frames of one height. What it knows of a video is a dict: what was stored, or "left_out"."""

    def __init__(self, folder: Path, height: int):
        self.folder, self.height, self.stopped = folder, height, threading.Event()
        limit = os.environ.get("SCOREVID_CACHE_GB") or "20"
        try:
            self.limit = float(limit) * 1e9
        except ValueError:
            raise ValueError(f"SCOREVID_CACHE_GB must be a number, got {limit!r}") from None
        self.used = sum(file.stat().st_size for file in folder.glob("*.frames"))
        self._room_changed = threading.Condition()
        self._claiming = self._waiting = 0
        for partial in folder.glob("*.partial"):
            with suppress(FileNotFoundError):
                if time.time() - partial.stat().st_mtime > ABANDONED:
                    partial.unlink()

    def find(self, path: Path) -> dict | None:
        """What is known of a video; None if it is yet to be decoded."""
        try:
            described = self._described(path)
            known = json.loads(described.read_text())
            return known if "left_out" in known or self._is_whole(described.with_suffix(".frames"), known) else None
        except FileNotFoundError:
            return None if path.is_file() else {"left_out": "no such file"}
        except (ValueError, TypeError, KeyError):  # damaged: it is made again
            return None

    def note(self, made: Stored, path: Path, known: dict | None) -> None:
        """Enter it among the videos or those left out."""
        if known and "left_out" in known:
            made.left_out[path] = known["left_out"]
        elif known:
            known = known | {"path": self._described(path).with_suffix(".frames"), "starts": tuple(known["starts"])}
            made.videos[path] = StoredVideo(**known)

    def make(self, path: Path) -> dict:
        """Decode and store a video, once among all processes."""
        described = self._described(path)
        with FileLock(self.folder / f".lock-{described.name[:2]}"):
            return self.find(path) or self._make(path, described)

    def _make(self, path: Path, described: Path) -> dict:
        try:
            known = self._decode(path, described.with_suffix(".frames"))
        except _Full:
            return {"left_out": f"beyond the limit of {self.limit / 1e9:g} GB: raise SCOREVID_CACHE_GB"}  # not for ever
        except ValueError as problem:
            known = {"left_out": _reason(str(problem), path)}
        replace_file(described, json.dumps(known).encode())
        return known

    def _decode(self, path: Path, target: Path) -> dict:
        cuts, changes, shape, last = Cuts(), [], None, None
        with self._room() as room, writing(target) as file:

            def keep(frame: np.ndarray) -> None:
                nonlocal shape, last
                if self.stopped.is_set():
                    raise KeyboardInterrupt
                if shape not in (None, frame.shape):
                    raise ValueError("frames of several sizes")
                if min(frame.shape) < SMALLEST:
                    raise ValueError("too small")
                room(frame.size + 4)
                with named_errors(target):
                    file.write(np.ascontiguousarray(frame))
                changes.append(0.0 if last is None else np.square(np.subtract(frame, last, dtype=np.float32)).mean())
                cuts.see(frame)
                shape, last = frame.shape, frame

            unchecked = decode(path, keep, self.height)
            if len(changes) < FEWEST:
                raise ValueError("too short")
            with named_errors(target):
                file.write(np.array(changes, np.float32))
        height, width = shape
        return {
            "frames": len(changes),
            "height": height,
            "width": width,
            "starts": cuts.starts,
            "checked": not unchecked,
        }

    @staticmethod
    def _is_whole(file: Path, known: dict) -> bool:
        return file.stat().st_size == known["frames"] * (known["height"] * known["width"] + 4)

    @contextmanager
    def _room(self) -> Iterator:
        """Claims bytes of the folder, and gives them back where what they were for is not stored.

        Where the folder is full, a claim waits for what others give back. If all others wait, it fails: so what is stored does
        not depend on how many are decoded at once.
        """
        claimed = 0

        def claim(size: int) -> None:
            nonlocal claimed
            with self._room_changed:
                while self.used + size > self.limit:
                    if self._waiting == self._claiming - 1:
                        raise _Full
                    self._waiting += 1
                    self._room_changed.wait()
                    self._waiting -= 1
                self.used += size
            claimed += size

        with self._room_changed:
            self._claiming += 1
        try:
            yield claim
        except BaseException:
            with self._room_changed:
                self.used -= claimed
            raise
        finally:
            with self._room_changed:
                self._claiming -= 1
                self._room_changed.notify_all()

    def _described(self, path: Path) -> Path:
        """The file that describes a video as it is now. Raises FileNotFoundError."""
        status = path.stat()
        about = f"{VERSION} {path.resolve()} {status.st_size} {status.st_mtime_ns} {self.height}"
        return self.folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.json"


class _Full(Exception):
    """The folder holds as much as it may."""


def _reason(message: str, path: Path) -> str:
    """Why a video is left out, its kind before a colon, without the path, which stands beside it."""
    said = message.replace(f"{path} ", "")
    kinds = ("too short", "too small", "several sizes", "no video stream")
    return f"{next((kind for kind in kinds if kind in said), 'damaged')}: {said}"
