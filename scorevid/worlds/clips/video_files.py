"""Video files of one's own, decoded by PyAV, and how damage to them is noticed.

A file that was cut or damaged must not pass for a whole one, and players are made to let it pass. So decoding stops at the
first error that a demuxer or a decoder reports, those that are concealed for viewers included; frames are compared with
what the container declares; and the container is looked through for what decoders ignore: the checksums of Matroska, the
trailer of GIF, the length of transport streams.

Only Matroska as FFmpeg writes it, with a checksum for each cluster, can be trusted after that. In other files pictures
may change without an error: H.264, VP9, JPEG and GIF decode to something else and go on.
:class:`~scorevid.worlds.clips.readers.UncheckedFootage` warns of it.
"""

from __future__ import annotations

import warnings
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from scorevid import checks
from scorevid.worlds.clips.readers import FEWEST, NO_CHECKSUMS, Clip, UncheckedFootage, shrink

SHORTEST = 5  # frames of a shot, of which none is cut in two
STRICT = {"err_detect": "crccheck+bitstream+buffer+careful+explode"}  # of FFmpeg: report errors instead of hiding them
HEADER, SEGMENT, VOID = 0x1A45DFA3, 0x18538067, 0xEC  # elements of Matroska


def video(path: Path | str, height: int | None = None, stride: int = 1) -> Clip:
    """A video file of one's own as one clip, decoded by PyAV (``pip install 'scorevid[video]'``).

    height: to make the frames smaller, None keeps them. stride: keep every so many frames, for slow motion. Cuts are not
    looked for: give a file of one shot. Pixels are taken as they are stored, without regard to rotation or aspect tags.

    Raises ModuleNotFoundError without PyAV, and ValueError for no file, none that can be read, no video stream, frames
    that are damaged or missing, too few or too small. Warns of a file without checksums, with
    :class:`~scorevid.worlds.clips.readers.UncheckedFootage`.
    """
    path, frames = Path(path), []
    checks.integer("stride", stride)
    contents = decode(path, frames.append, height, stride)
    if len(frames) < FEWEST or len({frame.shape for frame in frames}) > 1:
        raise ValueError(f"{path} has too few frames, or of several sizes: {len(frames)} at stride {stride}")
    if contents:
        warnings.warn(f"{path}: {contents}", UncheckedFootage, stacklevel=2)
    return Clip(path.name, np.stack(frames))


def decode(path: Path, keep: Callable[[np.ndarray], None], height: int | None = None, stride: int = 1) -> str:
    """Hand each frame of a whole video file to ``keep``, (H, W) uint8, black at 0 and white at 255.

    height, stride: as of :func:`video`, and so is what is raised; of damage it may be raised after the last frame. Returns
    what was read where no checksums vouch for it, for a warning, and "" otherwise.
    """
    with _reading(path, "as a whole video") as av:
        checked = _container_is_whole(path)
        contents = _decoded(av, path, keep, height, stride)
    return "" if checked else contents


class Cuts:
    """Finds the first frames of shots, ``starts``, as the grey frames come, by PySceneDetect's AdaptiveDetector.

    A cut is a mean absolute change of the pixels that is three times as large as the changes around it, and 15 of 255 or more.
    """

    def __init__(self):
        scenedetect = checks.installed("scenedetect", "video")
        self._timecode = scenedetect.FrameTimecode
        self._detector = scenedetect.AdaptiveDetector(luma_only=True, min_scene_len=SHORTEST)
        self.starts, self._seen = [0], 0

    def see(self, frame: np.ndarray) -> None:
        """The next frame, (H, W) uint8."""
        colours = np.repeat(frame[:, :, None], 3, 2)
        found = self._detector.process_frame(self._timecode(self._seen, 25.0), colours)
        self.starts += [int(cut.frame_num) for cut in found]
        self._seen += 1


@dataclass(frozen=True, eq=False)
class Excerpt:
    """Some frames of a video: past ones, and those that follow as far as there are any.

    frames: (T, H, W) uint8 grey, oldest first. at: the number in the file, from 0, of the first frame after the past. size:
    height and width in the file.
    """

    frames: np.ndarray
    at: int
    size: tuple[int, int]


def excerpt(
    path: Path | str, past: int, ahead: int, at: int | None = None, height: int | None = None, *, progress: bool = False
) -> Excerpt:
    """So many frames before the frame ``at`` of a video file, and as many as there are of those from it on, ``ahead`` at most.

    at: None for the latest that leaves so many ahead, or as many as the file has. height: to make larger frames smaller,
    None keeps them. Frames are turned as the file asks for. Decoding ends with the last frame that is wanted, so nothing is
    said of the rest of the file. progress: show a bar.

    Raises ModuleNotFoundError without PyAV, and ValueError for no file, none that can be read, no video stream, damaged
    frames, and a place that the file does not have.
    """
    path = Path(path)
    checks.integer("past", past)
    checks.integer("ahead", ahead)
    if at is not None:
        checks.integer("at", at, 0)
        if at < past:
            raise ValueError(f"at must be {past} or more, as {past} past frames are needed, got {at}")
    kept, shown = deque(maxlen=past + ahead), 0
    with _reading(path, "as a video") as av, _opened(av, path) as (container, stream):
        until = None if at is None else at + ahead
        with tqdm(total=until or stream.frames or None, desc="reading", unit="frame", disable=not progress) as bar:
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError(f"the frame at {frame.time} s cannot be decoded")
                kept.append(frame)
                shown += 1
                bar.update()
                if shown == until:
                    break
    if shown < max(past, at or 0):
        most = f"at can be {past} to {shown}, got {at}" if shown >= past else f"{past} past frames are needed"
        raise ValueError(f"{path} has too few frames, {shown}: {most}")
    at, before = max(past, shown - ahead) if at is None else at, shown - len(kept)
    wanted = [_upright(frame) for k, frame in enumerate(kept, before) if at - past <= k < at + ahead]
    if len({frame.shape for frame in wanted}) > 1:
        raise ValueError(f"{path} has frames of several sizes")
    tall = wanted[0].shape[0]
    frames = np.stack([shrink(frame, min(height or tall, tall)) for frame in wanted])
    return Excerpt(frames, at, wanted[0].shape)


def _upright(frame) -> np.ndarray:
    """A frame of PyAV as (H, W) uint8 grey, turned as its file asks for, as far as PyAV tells."""
    return np.rot90(frame.to_ndarray(format="gray"), round(getattr(frame, "rotation", 0) / 90))


@contextmanager
def _reading(path: Path, as_what: str) -> Iterator:
    """PyAV, with errors that name the file. What FFmpeg reports while the body runs is an error, too."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    av = checks.installed("av", "video")
    level, errors = av.logging.get_level(), []
    if level != av.logging.ERROR:  # one for all threads: who reads in several sets it beforehand
        av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture() as errors:
            yield av
        if errors:
            raise ValueError("an error was reported")
    except (av.error.FFmpegError, ValueError, IndexError) as problem:
        reported = [errors[-1][2].strip()] if errors else []
        reason = ": ".join([getattr(problem, "strerror", None) or str(problem), *reported])
        raise ValueError(f"{path} cannot be read {as_what}: {reason}") from problem
    finally:
        if level != av.logging.ERROR:
            av.logging.set_level(level)


@contextmanager
def _opened(av, path: Path) -> Iterator[tuple]:
    """The container of a file and its video stream, which reports its errors."""
    with av.open(f"file:{path}", options=STRICT) as container:  # without "file:" a colon would name a protocol
        if not container.streams.video or container.streams.video[0].codec_context is None:
            raise ValueError("it has no video stream, or one of an unknown kind")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # errors are logged in the thread that decodes
        stream.codec_context.options = STRICT
        yield container, stream


def _decoded(av, path: Path, keep: Callable[[np.ndarray], None], height: int | None, stride: int) -> str:
    """Keep the frames, and tell how many there are of what. Raises ValueError for frames that are damaged or missing."""
    shown, packets, skipped, end = 0, 0, 0, 0
    with _opened(av, path) as (container, stream):
        for packet in container.demux(stream):
            if packet.dts is not None or packet.size:
                packets += 1
                skipped += packet.is_discard or not packet.size
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
                if not packet.size:
                    continue  # the frame before is shown again
            for frame in packet.decode():
                if packet.is_corrupt or frame.is_corrupt:
                    raise ValueError(f"the frame at {frame.time} s cannot be decoded")
                if shown % stride == 0:
                    grey = frame.to_ndarray(format="gray")
                    keep(shrink(grey, height or len(grey)))
                shown += 1
        codec, seconds = stream.codec_context.name, float(end * stream.time_base + 1.5 / (stream.average_rate or 25))
        declared = 0 if container.format.name == "gif" else stream.frames  # of a GIF they were counted
        tag = stream.metadata.get("DURATION", "0")  # of Matroska: hours, minutes, seconds
    until = sum(60**k * float(part) for k, part in enumerate(reversed(tag.split(":"))))
    if declared and declared != shown + skipped:
        raise ValueError(f"{declared} frames are declared, {shown} can be decoded")
    if seconds < until:
        raise ValueError(f"frames until {until:.2f} s are declared, and decoded until {seconds:.2f} s")
    known = "as many as declared" if declared or until else "nothing declares how many there should be"
    if packets != shown + skipped:
        known += f", from {packets} packets"
    return f"{shown} frames of {codec} were read, {known}; {NO_CHECKSUMS}"


def _container_is_whole(path: Path) -> bool:
    """Whether checksums vouch for all of a file. Raises ValueError for one that was cut or differs from its checksums."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(4)
        if start == HEADER.to_bytes(4, "big"):
            return _matroska_is_whole(file, size)
        if start == b"GIF8":
            file.seek(max(0, size - 1024))
            if not file.read().rstrip(b"\0").endswith(b";"):
                raise ValueError("the trailer at the end of a GIF is missing")
        if start[:1] == b"G" and start != b"GIF8" and all(size % packet for packet in (188, 192, 204)):
            raise ValueError("it ends within a packet of the transport stream")
    return False


def _matroska_is_whole(file: BinaryIO, size: int) -> bool:
    """Go through the elements of an open Matroska file, none of which may reach beyond the end or belie its CRC-32."""
    whole, begin = True, 0
    while begin < size:
        file.seek(begin)
        element, _ = _number(file)
        length, unknown = _number(file, marked=False)
        content = file.tell()
        if content + length > size and not unknown:
            raise ValueError(f"{size} bytes are there, {content + length} are declared")
        if element == SEGMENT:
            whole &= content + length == size
            begin = content
            continue
        if unknown:
            return False
        data = file.read(length)
        if data[:2] == b"\xbf\x84":  # a CRC-32 of four bytes
            if zlib.crc32(data[6:]) != int.from_bytes(data[2:6], "little"):
                raise ValueError(f"the checksum of the element at byte {begin} does not hold")
        elif element not in (HEADER, VOID):
            whole = False
        begin = content + length
    return whole


def _number(file: BinaryIO, marked: bool = True) -> tuple[int, bool]:
    """A number of variable length, with its length marker or without, and whether it stands for an unknown one."""
    first = file.read(1)
    bits = 7 * (9 - first[0].bit_length()) if first and first[0] else 0
    value = int.from_bytes(first + file.read(bits // 7 - 1 if bits else 0), "big")
    plain = value & ((1 << bits) - 1)
    return (value if marked else plain), bool(bits) and plain == (1 << bits) - 1
