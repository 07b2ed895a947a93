"""Footage from DAVIS and .npz files of all kinds and states, and smaller frames."""

import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_davis import write_davis
from PIL import Image

from scorevid.worlds.clips.readers import Clip, davis, davis_lists, npz, shrink

pytestmark = pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")


def noise(frames=8, tall=48, wide=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, tall, wide), dtype=np.uint8)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 30), st.integers(1, 40), st.data())
def test_smaller_frames_keep_the_aspect_and_the_mean(tall, wide, data):
    height = data.draw(st.integers(1, tall))
    if wide * height // tall == 0:
        return
    frame = np.random.default_rng(0).integers(0, 256, (tall, wide), dtype=np.uint8)
    small = shrink(frame, height)
    assert small.shape == (height, wide * height // tall)
    assert (shrink(np.full_like(frame, 77), height) == 77).all()
    used = min(wide, round(small.shape[1] * tall / height))
    left = (wide - used) // 2
    assert abs(small.mean() - frame[:, left : left + used].mean()) <= 0.5


def test_whole_ratios_average_blocks():
    frame = noise(1, 50, 85)[0]
    blocks = frame.reshape(10, 5, 17, 5).astype(int).sum((1, 3))
    assert (shrink(frame, 10) == (2 * blocks + 25) // 50).all()


def test_frames_are_not_made_larger():
    with pytest.raises(ValueError, match="too small"):
        shrink(noise()[0], 49)


@pytest.fixture
def davis_folder(tmp_path):
    """The official layout with three short sequences; "pigs" has the frames that repeat others."""
    return write_davis(tmp_path, {"pigs": 27, "bear": 4}, {"goat": 5})


def test_davis_reads_the_official_layout_without_the_frames_that_repeat(davis_folder):
    found = davis(davis_folder, height=32)
    assert {name: (clip.frames.shape, clip.split) for name, clip in found.items()} == {
        "pigs": ((26, 32, 58), "train"),
        "bear": ((4, 32, 58), "train"),
        "goat": ((5, 32, 58), "test"),
    }
    assert abs(found["pigs"].frames[-1].mean() - 200) < 2  # 00026 follows 00024
    assert list(davis(davis_folder, sequences=("bear",), height=48)) == ["bear"]
    assert davis(davis_folder, sequences=("bear",), height=48)["bear"].frames.shape == (4, 48, 88)


def test_davis_says_what_is_missing_or_damaged(davis_folder):
    bear = davis_folder / "JPEGImages" / "480p" / "bear"
    with pytest.raises(ValueError, match=r"JPEGImages.*is missing.*DAVIS-2017-trainval-480p\.zip"):
        davis(davis_folder / "nowhere")
    with pytest.raises(ValueError, match="do not name wolf"):
        davis(davis_folder, sequences=("bear", "wolf"), height=32)
    with pytest.raises(ValueError, match="too small for a height of 96"):
        davis(davis_folder)
    Image.new("L", (90, 48)).save(bear / "00003.jpg")
    with pytest.raises(ValueError, match=r"00003\.jpg is \(48, 90\)"):
        davis(davis_folder, sequences=("bear",), height=32)
    whole = (bear / "00000.jpg").read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        (bear / "00003.jpg").write_bytes(content)
        with pytest.raises(ValueError, match=r"00003\.jpg is damaged"):
            davis(davis_folder, sequences=("bear",), height=32)
    (bear / "00002.jpg").unlink()
    with pytest.raises(ValueError, match=r"lacks the frame 00002\.jpg"):
        davis(davis_folder, sequences=("bear",), height=32)
    for path in bear.glob("0000[13].jpg"):
        path.unlink()
    with pytest.raises(ValueError, match="'bear' has too few frames: 1"):
        davis(davis_folder, sequences=("bear",), height=32)
    shutil.rmtree(bear)
    with pytest.raises(ValueError, match=r"480p lacks bear: folders of 00000\.jpg"):
        davis(davis_folder, sequences=("bear",), height=32)
    bear.mkdir()
    with pytest.raises(ValueError, match="bear has no frames"):
        davis(davis_folder, sequences=("bear",), height=32)


def test_the_lists_of_davis_are_read_without_its_frames(davis_folder):
    shutil.rmtree(davis_folder / "JPEGImages" / "480p" / "bear")
    assert davis_lists(davis_folder) == {"pigs": "train", "bear": "train", "goat": "val"}
    lists = davis_folder / "ImageSets" / "2017"
    (lists / "train.txt").write_text("")
    (lists / "val.txt").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"val\.txt is damaged"):
        davis_lists(davis_folder)
    (lists / "val.txt").write_text("")
    with pytest.raises(ValueError, match="do not name any sequence"):
        davis(davis_folder, height=32)
    (lists / "val.txt").unlink()
    with pytest.raises(ValueError, match=r"val\.txt is missing"):
        davis(davis_folder)


def test_npz_reads_arrays_by_name(tmp_path):
    np.savez_compressed(tmp_path / "two.npz", one=noise(), two=noise(3))
    found = npz(tmp_path / "two.npz")
    assert (found["one"].frames == noise()).all() and found["one"].split == "train"
    assert found["two"].frames.shape == (3, 48, 64) and found["two"].split == "train"


def test_npz_refuses_damaged_files_and_other_arrays(tmp_path):
    path = tmp_path / "file.npz"
    with pytest.raises(ValueError, match="there is no file"):
        npz(path)
    np.savez_compressed(path, one=noise())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 255
    for content in (b"", b"no arrays", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"file\.npz is damaged"):
            npz(path)
    with path.open("wb") as file:
        np.save(file, noise())
    with pytest.raises(ValueError, match=r"file\.npz is damaged, or no \.npz"):
        npz(path)
    np.savez(path)
    with pytest.raises(ValueError, match="is empty"):
        npz(path)
    np.savez(path, objects=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"damaged, or no \.npz"):
        npz(path)
    for wrong, said in (
        (noise().astype(np.float32), "float32"),
        (np.full((8, 48, 64), np.nan), "float64"),
        (noise()[0], r"\(48, 64\)"),
        (noise(0), "too few frames: 0"),
        (noise(1), "too few frames: 1"),
        (noise(tall=31), "too small: 31 × 64"),
    ):
        np.savez(path, wrong=wrong)
        with pytest.raises(ValueError, match=f"'wrong'.*{said}"):
            npz(path)


def test_a_clip_has_a_known_split():
    with pytest.raises(ValueError, match="split must be one of"):
        Clip("name", noise(), "validation")
    with pytest.raises(ValueError, match="got list"):
        Clip("name", [])
