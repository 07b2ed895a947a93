"""The embedded bank: what it holds, where it is from, and damage to it."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.worlds.clips.bank import FOLDER, DamagedBank, bank, index, pack, unpack
from scorevid.worlds.clips.readers import SEEN


def test_the_bank_holds_what_its_index_says():
    shots = index()["shots"]
    assert list(bank()) == [shot["name"] for shot in shots]
    for shot in shots:
        frames = bank()[shot["name"]].frames
        assert frames.dtype == np.uint8 and frames.shape == (shot["frames"], *shot["size"])
        assert hashlib.sha256(frames).hexdigest() == shot["sha256_frames"]
        assert hashlib.sha256((FOLDER / shot["file"]).read_bytes()).hexdigest() == shot["sha256_file"]
        assert shot["size"][0] >= 64
        assert not frames.flags.writeable


def test_the_bank_is_small_and_has_no_other_files():
    listed = {shot["file"] for shot in index()["shots"]} | {"index.json", "NOTICE.txt", "__init__.py"}
    found = {path.name: path.stat().st_size for path in FOLDER.iterdir() if path.is_file()}
    assert set(found) == listed
    assert sum(found.values()) <= 12_000_000


def test_every_source_is_named_with_version_member_sums_and_licence():
    sources = index()["sources"]
    assert {shot["source"] for shot in index()["shots"]} == set(sources)
    for source in sources.values():
        assert source["package"] and source["version"] and source["member"] and source["licence"]
        assert len(source["sha256_archive"]) == len(source["sha256_member"]) == 64


def test_the_page_on_data_lists_the_shots_as_they_are():
    page = Path(__file__).parents[2] / "book" / "data.md"
    if not page.is_file():
        pytest.skip("not a git checkout")
    rows = re.findall(
        r"^\| `([\w-]+)` \|.*\| (\d+) \| (\d) \| (\d+) × (\d+) \| (.*) \| (.*) \|$", page.read_text(), re.M
    )
    shots = index()["shots"]
    assert [(row[0], *map(int, row[1:5]), row[5]) for row in rows] == [
        (shot["name"], shot["frames"], shot["stride"], *shot["size"], shot["split"]) for shot in shots
    ]
    for row, shot in zip(rows, shots, strict=True):
        assert index()["sources"][shot["source"]]["licence"].startswith(row[6])


def test_whole_shots_are_held_out_and_share_no_frame_with_those_for_training():
    splits = {name: clip.split for name, clip in bank().items()}
    assert {name for name, split in splits.items() if split == "test"} == {"taz", "bikes-0"}
    assert {name for name, split in splits.items() if split == SEEN} == {"vtest-675"}
    taken = {}
    for shot in index()["shots"]:
        frames = range(shot["first"], shot["first"] + shot["frames"] * shot["stride"], shot["stride"])
        assert frames[-1] < index()["sources"][shot["source"]]["frames"]
        for frame in frames:
            assert taken.setdefault((shot["source"], frame), shot["name"]) == shot["name"]
    training = {hashlib.sha256(f).digest() for c in bank().values() if c.split == "train" for f in c.frames}
    assert not any(
        hashlib.sha256(f).digest() in training for c in bank().values() if c.split != "train" for f in c.frames
    )


def test_shots_have_no_cuts():
    """At the cuts of "bikes" frames change by 24 grey levels or more, and more than 2.6 times as much as around."""
    for name, clip in bank().items():
        change = np.array(
            [np.abs(np.diff(clip.frames[t : t + 2].astype(int), axis=0)).mean() for t in range(len(clip.frames) - 1)]
        )
        around = np.array([np.median(change[max(0, t - 4) : t + 5]) for t in range(len(change))])
        assert not ((change > 20) & (change > 2.6 * around)).any(), name


def test_frames_are_full_pictures_without_borders():
    for name, clip in bank().items():
        assert 40 < clip.frames.mean() < 220, name
        for k in range(4):
            turned = np.rot90(clip.frames, k, (1, 2))[:, :5].astype(int)
            steps = np.abs(np.diff(turned, axis=1)).mean((0, 2))
            assert steps[0] < 3 * steps[1:].max() + 2, (name, k)


def test_a_damaged_bank_is_refused(tmp_path):
    shot = min(index()["shots"], key=lambda s: s["bytes"])
    whole = (FOLDER / shot["file"]).read_bytes()
    middle = len(whole) // 2
    frames = bank()[shot["name"]].frames
    for k, content in enumerate(
        [
            whole[:middle],
            b"",
            whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            pack(frames[::-1], shot["differences"], preset=0),
            pack(frames[1:], shot["differences"], preset=0),
            None,
        ]
    ):
        folder = tmp_path / str(k)
        folder.mkdir()
        (folder / "index.json").write_text(json.dumps({"shots": [shot]}))
        if content is not None:
            (folder / shot["file"]).write_bytes(content)
        with pytest.raises(DamagedBank, match=shot["file"]):
            bank(folder)
    with pytest.raises(DamagedBank, match=r"index\.json is missing"):
        bank(tmp_path)


@settings(deadline=None, max_examples=25)
@given(st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), st.permutations("tyx"), st.integers(0, 3))
def test_packing_loses_nothing(shape, axes, n):
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    differences = "".join(axes[:n])
    assert (unpack(pack(frames, differences, preset=0), shape, differences) == frames).all()
