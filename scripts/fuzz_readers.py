"""Damage footage in ten formats, by chance, and see that no reader gives wrong frames without a word.

python scripts/fuzz_readers.py --minutes 10

Bytes are flipped, cut off, exchanged, blanked, or put in. Each file is read in a process of its own. The result must be right,
or refused by a ValueError, or come with a warning that nothing vouches for the frames. Wrong frames without one, another
exception, a death by a signal, and no end within the time limit are faults, and the script then ends with 1.
"""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np
import tyro
from PIL import Image

from scorevid.worlds.clips.readers import UncheckedFootage, davis, npz
from scorevid.worlds.clips.video_files import video

WAYS = {  # suffix of a video file -> codec, pixel format, options
    "mp4": ("libx264", "yuv420p", {"g": "12"}),
    "m4v": ("mpeg4", "yuv420p", {}),
    "mov": ("libx264", "yuv420p", {"movflags": "faststart", "bf": "0"}),
    "mkv": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "ts": ("libx264", "yuv420p", {"g": "12"}),
    "avi": ("mjpeg", "yuvj420p", {}),
    "gif": ("gif", "gray", {}),
}
OUTCOMES = ("right", "refused", "right, warned of", "wrong, warned of")


def film() -> np.ndarray:
    """Forty frames of moving waves and some noise, (T, H, W) uint8."""
    t, i, j = np.meshgrid(np.arange(40), np.arange(48), np.arange(64), indexing="ij")
    waves = 127 + 90 * np.sin((j + 2 * t) / 9) * np.cos((i - 2 * t) / 7)
    return (waves + np.random.default_rng(0).normal(0, 6, waves.shape)).clip(0, 255).astype(np.uint8)


def write(folder: Path) -> dict[str, Path]:
    """One good file, or folder, of each format."""
    made = {suffix: folder / f"film.{suffix}" for suffix in WAYS} | {
        "npz": folder / "film.npz",
        "jpg": folder / "DAVIS",
    }
    for suffix, (codec, pixels, options) in WAYS.items():
        box = {name: options.pop(name) for name in ("movflags",) if name in options}
        with av.open(str(made[suffix]), "w", options=box) as container:
            stream = container.add_stream(codec, rate=25, options=options)
            stream.height, stream.width, stream.pix_fmt = 48, 64, pixels
            for k, grey in enumerate(film()):
                frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=pixels)
                frame.pts, frame.time_base = k, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    np.savez_compressed(made["npz"], one=film(), two=film()[::-1])
    images, lists = made["jpg"] / "JPEGImages" / "480p" / "waves", made["jpg"] / "ImageSets" / "2017"
    images.mkdir(parents=True)
    lists.mkdir(parents=True)
    for k, grey in enumerate(film()[:8]):
        Image.fromarray(grey).save(images / f"{k:05d}.jpg")
    for name in ("train", "val"):
        (lists / f"{name}.txt").write_text("waves\n" * (name == "train"))
    return made


def read(path: Path) -> dict[str, np.ndarray]:
    """All frames of a file or folder, by the names of their shots."""
    if path.is_dir():
        return {name: clip.frames for name, clip in davis(path, height=40).items()}
    return (
        {name: clip.frames for name, clip in npz(path).items()} if path.suffix == ".npz" else {"": video(path).frames}
    )


def damage(content: bytes, chance: random.Random) -> bytes:
    """The content with one thing done to it."""
    start, length = chance.randrange(len(content)), chance.choice((1, 1, 2, 4, 16, 64, 512))
    before, part, after = content[:start], content[start : start + length], content[start + length :]
    other = chance.randrange(len(content))
    ways = (
        before,  # cut off
        before + bytes(v ^ chance.randrange(1, 256) for v in part) + after,
        before + bytes((part[0] ^ 1 << chance.randrange(8),)) + part[1:] + after,  # one bit
        before + bytes(len(part)) + after,
        before + content[other : other + length] + part + after,
        before + after,
        before + content[other : other + len(part)] + after,
    )
    return chance.choice(ways)


def outcome(path: Path, good: dict[str, np.ndarray], told: Connection) -> None:
    """Read a file, and say what came of it."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            frames = read(path)
        except ValueError:
            told.send("refused")
            return
        except Exception as problem:
            told.send(f"{type(problem).__name__}: {problem}")
            return
    right = frames.keys() == good.keys() and all(np.array_equal(frames[name], good[name]) for name in good)
    warned = any(issubclass(warning.category, UncheckedFootage) for warning in found)
    told.send(("right" if right else "wrong") + (", warned of" if warned else ""))


def judge(path: Path, good: dict[str, np.ndarray], seconds: float) -> str:
    """What comes of reading a file, in a process of its own."""
    told, tells = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=outcome, args=(path, good, tells))
    process.start()
    tells.close()
    try:
        if not told.poll(seconds):
            process.kill()
            return "no end"
        return told.recv()
    except EOFError:
        process.join()
        return f"death by signal {-process.exitcode}"
    finally:
        process.join()


def main(minutes: float = 10.0, limit: float = 60.0, seed: int = 0) -> None:
    """minutes: how long to try. limit: seconds that one file may take. seed: of what is done to the files."""
    chance, counts, faults = random.Random(seed), {}, 0
    warnings.simplefilter("ignore", UncheckedFootage)
    with tempfile.TemporaryDirectory() as name:
        made = write(Path(name))
        good = {kind: read(path) for kind, path in made.items()}
        end, first = time.monotonic() + 60 * minutes, True
        while first or time.monotonic() < end:
            first = False
            for kind, path in made.items():
                file = chance.choice(sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size) or [path])
                content = file.read_bytes()
                file.write_bytes(damage(content, chance))
                found = judge(path, good[kind], limit)
                counts.setdefault(kind, Counter())[found if found in OUTCOMES else "fault"] += 1
                if found not in OUTCOMES:
                    faults += 1
                    kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / file.name
                    kept.write_bytes(file.read_bytes())
                    print(f"{kind}: {found}; the file is kept as {kept}", flush=True)
                file.write_bytes(content)
    for kind, count in counts.items():
        print(f"{kind:5}", ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    print(f"{sum(map(Counter.total, counts.values()))} files, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    tyro.cli(main)
