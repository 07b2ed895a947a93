"""Videos in a folder or on a list, as data sets of actions have them, cut into shots and decoded once.

A folder is searched with all that is in it. This covers Kinetics (``train/abseiling/x.mp4``), UCF101 and HMDB51
(``archery/x.avi``), and Something-Something (a folder of ``1234.webm``). The folder that holds a file names its class. A
folder named train, val, validation or test on the way says what the file is for.

A list is a text file with a path a line, behind which a label may stand (``archery/x.avi 3``), or a .csv file. The first row
of a .csv file may name its columns: one of ``PATHS``, and, if there are any, of ``GROUPS`` and ``PARTS``. Without such a row
the first column has the path and the second the label. Paths are relative to the folder of the list.

Files that are no video are passed over in a folder. What a list names and what cannot be used are left out, and a warning says
how many and why.
"""

from __future__ import annotations

import csv
import hashlib
import math
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from scorevid.files import replace_file
from scorevid.worlds.clips.readers import NO_CHECKSUMS, Clip, UncheckedFootage
from scorevid.worlds.clips.stored import cache_folder, store

VIDEOS = (
    ".3gp",
    ".avi",
    ".flv",
    ".gif",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".ts",
    ".webm",
    ".wmv",
)
LISTS = (".csv", ".txt")
PATHS = ("path", "video", "file", "filename", "filepath", "video_path")
GROUPS = ("label", "class", "group", "category")
PARTS = ("split", "subset", "set")
SPLITS = {"train": "train", "training": "train", "val": "test", "validation": "test", "valid": "test", "test": "test"}
NAMED = 3  # files that a warning names for each reason


@dataclass(frozen=True)
class Listed:
    """A file of a folder or list: its name there, its class or group, and "train", "test" or "" for nothing said."""

    path: Path
    name: str
    group: str = ""
    split: str = ""


def is_collection(source: Path | str) -> bool:
    """Whether this is a folder of videos, as any is but one of DAVIS, or a list of them, by its ending."""
    path = Path(source)
    return (path.is_dir() and not (path / "JPEGImages").is_dir()) or (path.suffix.lower() in LISTS and path.is_file())


def listed_videos(source: Path | str) -> list[Listed]:
    """The videos of a folder or a list, each once. Raises ValueError where there is none, and for a damaged list."""
    source = Path(source)
    found: dict[Path, Listed] = {}
    for each in _in_folder(source) if source.is_dir() else _on_list(source):
        found.setdefault(each.path, each)
    if not found:
        what = f"no file ends in {', '.join(VIDEOS)}" if source.is_dir() else "it names no file"
        raise ValueError(f"{source} has no videos: {what}")
    return list(found.values())


def collection(source: Path | str, height: int, *, progress: bool = True) -> dict[str, Clip]:
    """The shots of all videos of a folder or a list by name, ``NAME`` or, where a video has several, ``NAME:FIRST_FRAME``.

    Frames are decoded, cut and shrunk to this height once, and read from the disk when they are needed
    (:mod:`scorevid.worlds.clips.stored`). progress: show a bar. Warns of what is left out, and of files without checksums.
    Raises ValueError where nothing can be used.
    """
    listed = listed_videos(source)
    stored = store([each.path for each in listed], height, progress=progress)
    clips: dict[str, Clip] = {}
    for each in listed:
        video = stored.videos.get(each.path)
        for shot in video.shots() if video else ():
            name = each.name if len(shot) == video.frames else f"{each.name}:{shot.first}"
            clips[name] = Clip(name, shot, each.split or "train", each.name, each.group)
    _warn(Path(source), listed, stored.left_out, sum(not video.checked for video in stored.videos.values()))
    if not clips:
        some = next(iter(stored.left_out.values()), "they have no frames")
        raise ValueError(f"none of the {len(listed)} videos of {source} can be used: {some}")
    return clips


def parted_by_video(clips: dict[str, Clip], share: float) -> dict[str, Clip] | None:
    """The clips with a share of the videos for testing, whole ones, in an order by chance that their names decide.

    None where there is only one video.
    """
    videos = sorted({clip.video for clip in clips.values()}, key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(videos) < 2:
        return None
    tested = set(videos[: math.ceil(share * len(videos))])
    return {name: replace(c, split="test" if c.video in tested else "train") for name, c in clips.items()}


def _in_folder(folder: Path) -> Iterable[Listed]:
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.suffix.lower() not in VIDEOS or any(part.startswith(".") for part in parts) or not path.is_file():
            continue
        split = next((SPLITS[part.lower()] for part in parts[:-1] if part.lower() in SPLITS), "")
        group = parts[-2] if len(parts) > 1 and parts[-2].lower() not in SPLITS else ""
        yield Listed(path, "/".join(parts), group, split)


def _on_list(source: Path) -> Iterable[Listed]:
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as problem:
        raise ValueError(f"{source} is damaged, or no list of videos: {problem}") from problem
    for name, group, split in _rows(lines) if source.suffix.lower() == ".csv" else _lines(lines, source.parent):
        if split and split.lower() not in SPLITS:
            raise ValueError(f"{source} says that {name} is for {split!r}; known are {', '.join(SPLITS)}")
        yield Listed(source.parent / name, name, group, SPLITS[split.lower()] if split else "")


def _rows(lines: list[str]) -> Iterable[tuple[str, str, str]]:
    """(path, group, split) of the rows of a .csv file, "" where there is none."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    head = [cell.lower() for cell in rows[0]] if rows else []
    at = [next((head.index(word) for word in words if word in head), None) for words in (PATHS, GROUPS, PARTS)]
    if at[0] is None:
        at = [0, 1, None]
    else:
        rows = rows[1:]
    for row in rows:
        cells = tuple(row[k] if k is not None and k < len(row) else "" for k in at)
        if cells[0]:
            yield cells


def _lines(lines: list[str], folder: Path) -> Iterable[tuple[str, str, str]]:
    """The same of a text file. A name may have spaces: what stands behind the last one is a label if there is such a file."""
    for line in map(str.strip, lines):
        if not line or line.startswith("#"):
            continue
        name, _, label = line.rpartition("\t" if "\t" in line else " ")
        labelled = name and Path(line).suffix.lower() not in VIDEOS and not (folder / line).is_file()
        yield (name.strip(), label, "") if labelled else (line, "", "")


def _warn(source: Path, listed: list[Listed], left_out: dict[Path, str], unchecked: int) -> None:
    """Say how many videos are left out and why, with the whole list in a file, and how many nothing vouches for."""
    if left_out:
        names = {each.path: each.name for each in listed}
        kinds = Counter(_kind(reason) for reason in left_out.values())
        some = {kind: [names[p] for p, reason in left_out.items() if _kind(reason) == kind][:NAMED] for kind in kinds}
        said = "; ".join(
            f"{count} {kind} ({', '.join(some[kind])}{', …' if count > NAMED else ''})" for kind, count in kinds.items()
        )
        digest = hashlib.sha256(str(source.resolve()).encode()).hexdigest()[:8]
        report = cache_folder() / f"left-out-{source.stem}-{digest}.txt"
        replace_file(report, "".join(f"{names[p]}\t{reason}\n" for p, reason in left_out.items()).encode())
        warnings.warn(
            f"{source}: {len(left_out)} of {len(listed)} videos are left out: {said}. See {report}", stacklevel=4
        )
    if unchecked:
        warnings.warn(f"{source}: {unchecked} videos were read; {NO_CHECKSUMS}", UncheckedFootage, stacklevel=4)


def _kind(reason: str) -> str:
    """A reason without the file and its numbers, for counting."""
    return reason.partition(":")[0]
