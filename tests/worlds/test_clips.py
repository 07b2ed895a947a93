"""Natural video: the embedded bank, files of all kinds and states, and the patches that are drawn from them."""

import builtins
import hashlib
import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_davis import write_davis
from PIL import Image

from scorevid.worlds.clips.bank import FOLDER, DamagedBank, bank, index, pack, unpack
from scorevid.worlds.clips.patches import held_out, only_held_out
from scorevid.worlds.clips.readers import SEEN, Clip, davis, davis_lists, npz, shrink, video
from scorevid.worlds.clips.world import Clips, footage


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(frames=8, tall=48, wide=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, tall, wide), dtype=np.uint8)


@pytest.fixture(scope="module")
def drifts(tmp_path_factory):
    """An .npz whose every pixel tells its frame, row and column: "a" and "b" alike but for the test shot's offset."""
    t, i, j = np.meshgrid(np.arange(9), np.arange(40), np.arange(50), indexing="ij")
    path = tmp_path_factory.mktemp("drifts") / "drifts.npz"
    np.savez(path, a=(20 * t + i + j).astype(np.uint8), b=(20 * t + 2 * i + j).astype(np.uint8))
    return str(path)


# the bank


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


# smaller frames


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


# files


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
    assert list(davis(davis_folder, ("val",), height=32)) == ["goat"]
    assert list(davis(davis_folder, sequences=("bear",), height=48)) == ["bear"]
    assert davis(davis_folder, sequences=("bear",), height=48)["bear"].frames.shape == (4, 48, 88)


def test_davis_says_what_is_missing_or_damaged(davis_folder):
    bear = davis_folder / "JPEGImages" / "480p" / "bear"
    with pytest.raises(ValueError, match=r"JPEGImages.*is missing.*DAVIS-2017-trainval-480p\.zip"):
        davis(davis_folder / "nowhere")
    with pytest.raises(ValueError, match=r"2016\.txt is missing"):
        davis(davis_folder, ("2016",))
    with pytest.raises(ValueError, match="do not name wolf"):
        davis(davis_folder, sequences=("bear", "wolf"), height=32)
    with pytest.raises(ValueError, match="do not name any sequence"):
        davis(davis_folder, (), height=32)
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
    assert davis_lists(davis_folder, ("val",)) == {"goat": "val"}


def test_npz_reads_arrays_by_name(tmp_path):
    np.savez_compressed(tmp_path / "two.npz", one=noise(), two=noise(3))
    found = npz(tmp_path / "two.npz", test=("two",))
    assert (found["one"].frames == noise()).all() and found["one"].split == "train"
    assert found["two"].frames.shape == (3, 48, 64) and found["two"].split == "test"
    with pytest.raises(ValueError, match=r"no clips named three; it has one, two"):
        npz(tmp_path / "two.npz", test=("three",))


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
        (noise()[0], r"\(48, 64\)"),
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


def write_video(path, frames, codec="ffv1", pixels="gray"):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format=pixels)))
        container.mux(stream.encode())


def test_video_reads_back_what_was_written(tmp_path):
    path = tmp_path / "mine.mkv"
    write_video(path, noise(7))
    clip = video(path)
    assert (clip.frames == noise(7)).all()
    assert (clip.name, clip.split) == ("mine.mkv", "train")
    assert (video(path, stride=3).frames == noise(7)[::3]).all()
    assert video(path, height=32).frames.shape == (7, 32, 42)
    assert (video(path, height=32).frames[2] == shrink(noise(7)[2], 32)).all()


def test_luma_of_the_studio_is_stretched_to_black_and_white(tmp_path):
    frames = np.stack([np.full((48, 64), grey, np.uint8) for grey in (0, 128, 255)])
    write_video(tmp_path / "studio.mkv", frames, pixels="yuv420p")
    assert (video(tmp_path / "studio.mkv").frames == frames).all()


def test_video_refuses_what_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "mine.mkv"
    with pytest.raises(ValueError, match="there is no file"):
        video(path)
    for content in (b"", b"no video", bytes(range(256)) * 40):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.mkv is damaged, or no video file"):
            video(path)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ValueError, match=r"sound\.wav has no video stream"):
        video(tmp_path / "sound.wav")
    write_video(path, noise(1))
    with pytest.raises(ValueError, match="too few frames: 1"):
        video(path)
    write_video(path, noise(4))
    with pytest.raises(ValueError, match="too few frames: 1 at stride 4"):
        video(path, stride=4)
    with pytest.raises(ValueError, match="too small for a height of 50"):
        video(path, height=50)
    with pytest.raises(ValueError, match="stride must be"):
        video(path, stride=0)
    write_video(path, noise(4, 24, 64))
    with pytest.raises(ValueError, match="too small: 24 × 64"):
        video(path)


def test_damaged_video_is_refused(tmp_path):
    path = tmp_path / "mine.mkv"
    write_video(path, noise(6))
    whole = bytearray(path.read_bytes())
    for k in range(len(whole) // 3, 2 * len(whole) // 3):
        whole[k] ^= 255
    path.write_bytes(bytes(whole))
    with pytest.raises(ValueError, match="damaged"):
        video(path)


def test_without_pyav_it_is_said_how_to_install_it(tmp_path, monkeypatch):
    (tmp_path / "mine.mkv").write_bytes(b"video")
    through = builtins.__import__

    def without_av(name, *args, **kwargs):
        if name == "av":
            raise ImportError("no av")
        return through(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorevid\[video\]'"):
        video(tmp_path / "mine.mkv")


# the world


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 9), st.integers(1, 2), st.sampled_from([0.0, 0.5, 1.0]))
def test_draws_have_their_shape_and_range(drifts, size, memory, batch, stride, motion):
    world = Clips(size=size, memory=memory, source=drifts, stride=stride, motion=motion)
    c, x = world.draw(batch, generator())
    assert c.shape == (batch, memory, size, size) and x.shape == (batch, 1, size, size)
    assert c.dtype == x.dtype == torch.float32
    assert (x >= 0).all() and (x <= 1).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_are_cut_in_order_and_where_they_belong(tmp_path, stride):
    t, i, j = np.meshgrid(np.arange(7), np.arange(34), np.arange(36), indexing="ij")
    np.savez(tmp_path / "a.npz", a=(60 * (t % 4) + i + j // 2).astype(np.uint8))
    world = Clips(source=str(tmp_path / "a.npz"), memory=2, stride=stride, flip=False, motion=0.5)
    c, x = (255 * v for v in world.draw(200, generator()))
    frames = torch.cat([c, x], 1).round()
    step = frames[:, 1:] - frames[:, :-1]
    assert (step.sub(60 * stride).remainder(240) == 0).all()
    assert (frames.diff(dim=2) == 1).all()  # rows follow each other
    assert set(frames[:, :, 0].diff(dim=2).unique().tolist()) == {0, 1}


def test_all_places_of_a_shot_are_drawn_whole_and_no_others(tmp_path):
    """Pixels number frames, rows and columns, so that the corner of x tells where it was cut."""
    frames = np.zeros((5, 35, 37), np.uint8)
    frames[:] = np.arange(37) + 40 * np.arange(5)[:, None, None]
    frames[:, :, 36] = frames[:, :, 35]
    np.savez(tmp_path / "a.npz", a=frames)
    for motion in (0.0, 1.0):
        world = Clips(source=str(tmp_path / "a.npz"), memory=2, motion=motion, flip=False)
        corner = (255 * world.draw(600, generator())[1][:, 0, 0, 0]).round().int()
        assert set((corner % 40).tolist()) == set(range(6))
        assert set((corner // 40).tolist()) == {2, 3, 4}


def test_a_seed_gives_the_same_draws_and_the_global_generator_is_left_alone(drifts):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    world = Clips(source=drifts)
    first, again, other = (world.draw(16, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    held_out(replace(world, split="test", test=("b",)), most=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_memories_see_the_same_next_frames(drifts):
    drawn = {memory: Clips(source=drifts, memory=memory).draw(50, generator()) for memory in (0, 1)}
    assert torch.equal(drawn[0][1], drawn[1][1])


def test_every_other_draw_is_mirrored_with_its_past(drifts):
    plain = torch.cat(Clips(source=drifts, flip=False).draw(400, generator()), 1)
    some = torch.cat(Clips(source=drifts).draw(400, generator()), 1)
    same = (some == plain).flatten(1).all(1)
    mirrored = (some == plain.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 150 < same.sum() < 250


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3), st.integers(1, 60), st.booleans(), st.integers(20, 44))
def test_the_place_of_every_other_draw_pans_at_a_speed_of_its_own(tmp_path_factory, memory, pan, flip, size):
    """Over frames that tell row and column and stand still: the past is the same picture from further off."""
    row, column = np.meshgrid(np.arange(50), np.arange(60), indexing="ij")
    path = tmp_path_factory.getbasetemp() / "still.npz"
    np.savez(
        path, row=np.broadcast_to(row.astype(np.uint8), (9, 50, 60)), column=np.tile(column.astype(np.uint8), (9, 1, 1))
    )
    for k, name in enumerate(("row", "column")):
        world = Clips(size=size, memory=memory, source=str(path), only=(name,), flip=flip)
        _, x = (255 * v for v in world.draw(300, generator()))
        past, same = (255 * v for v in replace(world, pan=pan).draw(300, generator()))
        assert torch.equal(same, x)
        frames = torch.cat([past, same], 1).round().double()
        assert frames.max() < (50, 60)[k]  # nothing from another row
        speed = frames.diff(dim=1)
        assert (speed == speed[:, :1, :1, :1]).all()  # all pixels and frames of a draw alike
        if memory:
            speed = speed[:, 0, 0, 0]
            assert speed.abs().max() <= min(pan, ((50, 60)[k] - size) // memory)
            assert 0.3 < (speed == 0).double().mean() < 0.9 and speed.max() > 0 > speed.min()


@pytest.mark.parametrize("memory", [0, 2])
def test_every_fourth_draw_is_of_twice_the_size_made_smaller(tmp_path, memory):
    """A ramp climbs twice as fast from pixel to pixel, and a pan of one pixel is one of half a pixel."""
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8)[:, None], (6, 90, 80))
    np.savez(tmp_path / "ramp.npz", ramp=ramp)
    world = Clips(size=16, memory=memory, source=str(tmp_path / "ramp.npz"), pan=3, halved=True)
    c, x = (255 * v for v in world.draw(403, generator()))
    assert c.shape == (403, memory, 16, 16) and x.shape == (403, 1, 16, 16)
    near, far = x[:303], x[303:]
    for some, step in ((near, 1), (far, 2)):
        assert torch.allclose(some.diff(dim=2), torch.tensor(float(step)), atol=1e-3)
    assert torch.allclose(far[..., :1, :].frac(), torch.tensor(0.5), atol=1e-3)  # the mean of two rows
    if memory:
        climbs = (x - c[:, -1:])[303:].mean((1, 2, 3)) / 2  # in pixels of the smaller frames
        assert set((2 * climbs).round().int().tolist()) == set(range(-3, 4))
    with pytest.raises(ValueError, match="96 × 96 pixels"):
        replace(world, size=48).draw(8, generator())


def test_places_of_much_motion_are_chosen_in_proportion_to_it(tmp_path):
    """A shot that is still on the left, and whose right half flickers."""
    frames = np.full((6, 32, 160), 100, np.uint8)
    frames[::2, :, 96:] = 150
    np.savez(tmp_path / "half.npz", half=frames)

    def energy(motion):
        c, x = Clips(source=str(tmp_path / "half.npz"), motion=motion).draw(2000, generator())
        return (x - c[:, -1:]).square().mean((1, 2, 3)) * (255 / 50) ** 2  # share of pixels that flicker

    assert (energy(1.0) > 0).all()
    # over places g = 0 … 128, E(g) = clip((g − 64) / 32, 0, 1): its mean, and the mean of its square over its mean
    place = torch.arange(129.0)
    share = ((place - 64) / 32).clamp(0, 1)
    assert energy(0.0).mean() == pytest.approx(share.mean().item(), abs=0.04)
    assert energy(1.0).mean() == pytest.approx((share.square().mean() / share.mean()).item(), abs=0.04)


def test_motion_is_stronger_in_the_bank_where_it_is_asked_for():
    change = {}
    for motion in (0.0, 1.0):
        c, x = Clips(motion=motion).draw(500, generator())
        change[motion] = (x - c[:, -1:]).square().mean()
    assert change[1.0] > 1.5 * change[0.0]


def test_where_nothing_moves_places_are_drawn_evenly(tmp_path):
    np.savez(tmp_path / "still.npz", still=np.broadcast_to(np.arange(64, dtype=np.uint8), (3, 32, 64)))
    x = Clips(source=str(tmp_path / "still.npz"), motion=1.0, memory=1, flip=False).draw(500, generator())[1]
    left = (255 * x[:, 0, 0, 0]).round()
    assert left.min() < 3 and left.max() > 29 and abs(left.mean() - 16) < 2


def test_long_shots_are_drawn_by_the_root_of_their_length(tmp_path):
    shots = {"short": np.full((4, 32, 32), 10, np.uint8), "long": np.full((36, 32, 32), 90, np.uint8)}
    np.savez(tmp_path / "two.npz", **shots)
    x = Clips(source=str(tmp_path / "two.npz")).draw(2000, generator())[1]
    assert (x.mean((1, 2, 3)) > 0.2).float().mean().item() == pytest.approx(3 / 4, abs=0.04)


def test_splits_are_kept_apart(drifts):
    assert set(Clips(split="test").clips()) == {"bikes-0", "taz"}
    assert set(Clips(split=SEEN).clips()) == {"vtest-675"}
    assert not {"bikes-0", "taz", "vtest-675"} & set(Clips().clips())
    mixed = Clips(source=("bank", drifts), test=("b",))
    assert "a" in mixed.clips() and "b" not in mixed.clips() and "cup" in mixed.clips()
    assert set(replace(mixed, split="test").clips()) == {"bikes-0", "taz", "b"}
    assert bank()["taz"].split == "test"


def test_only_the_shots_that_are_named_are_taken_and_in_that_order(drifts, davis_folder):
    world = Clips(source=("bank", drifts, str(davis_folder)), test=("b",), only=("goat", "b", "taz"), height=32)
    assert list(replace(world, split="test").clips()) == ["goat", "b", "taz"]
    assert list(replace(world, only=("pigs", "b")).clips()) == ["pigs"]
    shutil.rmtree(davis_folder / "JPEGImages" / "480p" / "bear")
    assert list(footage(str(davis_folder), height=33, only=("pigs",))) == ["pigs"]  # others are not even read
    with pytest.raises(ValueError, match="no shot is named fox, wolf; there are a, b, pigs, bear, goat"):
        footage((drifts, str(davis_folder)), ("wolf",), 32, ("fox", "b"))


@pytest.fixture
def mixed_folder(tmp_path):
    """DAVIS with sequences held out of a training in both lists, and one in "val" that was in training."""
    return write_davis(tmp_path, {"bear": 6, "wolf": 6}, {"seen": 6, "goat": 6})


def test_what_was_trained_on_is_not_measured_whatever_davis_calls_it(mixed_folder):
    """That "val" counts as for testing would let it in."""
    world = Clips(test=("goat", "wolf"), height=32)
    assert {"seen"} < set(replace(world, source=str(mixed_folder), split="test").clips())
    held = only_held_out(world, str(mixed_folder))
    assert list(held.clips()) == ["goat", "wolf"] and set(held_out(held).clip) == {"goat", "wolf"}
    frames = {name: clip.frames for name, clip in footage(str(mixed_folder), height=32).items()}
    np.savez(mixed_folder / "all.npz", **frames)  # a file does not tell what is for testing
    from_file = only_held_out(world, str(mixed_folder / "all.npz"))
    assert held_out(from_file).clip == held_out(held).clip and torch.equal(held_out(from_file).x, held_out(held).x)


def test_held_out_shots_that_cannot_be_measured_are_named(mixed_folder):
    source = str(mixed_folder)
    with pytest.raises(ValueError, match="names no shots that were held out"):
        only_held_out(Clips(height=32), source)
    with pytest.raises(ValueError, match="no shot is named fox, lynx; there are bear, wolf, seen, goat"):
        only_held_out(Clips(test=("goat", "lynx", "fox"), height=32), source)
    with pytest.raises(ValueError, match=r"there is no .*nowhere"):
        only_held_out(Clips(test=("goat",)), str(mixed_folder / "nowhere"))
    np.savez(mixed_folder / "some.npz", goat=noise(3), wolf=noise())
    with pytest.raises(ValueError, match=r"goat of .* too short or too small"):
        only_held_out(Clips(test=("goat", "wolf"), memory=3), str(mixed_folder / "some.npz"))
    for name in ("goat", "wolf"):
        shutil.rmtree(mixed_folder / "JPEGImages" / "480p" / name)
    with pytest.raises(ValueError, match="480p lacks wolf, goat"):
        only_held_out(Clips(test=("goat", "wolf"), height=33), source)


def test_shots_too_short_or_too_small_are_left_out(tmp_path, drifts):
    np.savez(tmp_path / "mixed.npz", short=noise(3), small=noise(tall=40), good=noise())
    path = str(tmp_path / "mixed.npz")
    assert set(Clips(source=path, size=44, memory=3).clips()) == {"good"}
    with pytest.raises(ValueError, match=r"no shot in the split 'train' of 9 frames.*short \(3, 48, 64\)"):
        Clips(source=path, memory=4, stride=2).draw(1, generator())
    with pytest.raises(ValueError, match="64 × 64 pixels or more"):
        Clips(source=drifts, size=64).draw(1, generator())
    with pytest.raises(ValueError, match="no shot in the split 'test'"):
        Clips(source=drifts, split="test").draw(1, generator())


def test_sources_may_be_files_of_all_kinds(drifts, davis_folder, tmp_path):
    found = footage((drifts, str(davis_folder)), height=32)
    assert list(found) == ["a", "b", "pigs", "bear", "goat"]
    write_video(tmp_path / "mine.mkv", noise())
    world = Clips(source=str(tmp_path / "mine.mkv"), height=40)
    assert world.clips()["mine.mkv"].frames.shape == (8, 40, 53)
    with pytest.raises(ValueError, match="there is no nowhere: 'bank'"):
        Clips(source="nowhere").draw(1, generator())
    with pytest.raises(ValueError, match=r"a, b of .* has the name of a shot of another source"):
        footage((drifts, drifts))
    with pytest.raises(ValueError, match="no shot is named wolf"):
        footage(drifts, ("wolf",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 32.0},
        {"memory": -1},
        {"memory": True},
        {"stride": 0},
        {"height": 0},
        {"source": ()},
        {"source": ""},
        {"source": ["bank"]},
        {"source": (1,)},
        {"test": "taz"},
        {"only": "taz"},
        {"split": "validation"},
        {"motion": 1.5},
        {"motion": float("nan")},
    ],
)
def test_values_that_describe_no_world_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Clips(**wrong)


def test_a_world_is_made_again_from_plain_fields(drifts):
    world = Clips(source=("bank", drifts), test=("b",), memory=3)
    kept = json.loads(json.dumps(asdict(world)))
    again = Clips(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})
    assert again == world
    assert all(torch.equal(a, b) for a, b in zip(again.draw(4, generator()), world.draw(4, generator()), strict=True))


def test_held_out_patches_share_no_pixel_and_are_where_they_say(drifts):
    world = Clips(source=drifts, split="test", test=("a", "b"), size=16, memory=2)
    found = held_out(world)
    n = 2 * 3 * (2 * 3)  # shots, times 3 of 9 frames, 2 rows of tiles of 3
    assert found.c.shape == (n, 2, 16, 16) and found.x.shape == (n, 1, 16, 16) and len(found.clip) == n
    taken = set()
    for k, name in enumerate(found.clip):
        t, i, j = found.place[k].tolist()
        cut = footage(drifts)[name].frames[t - 2 : t + 1, i : i + 16, j : j + 16]
        assert (torch.cat([found.c[k], found.x[k]]) * 255).round().equal(torch.from_numpy(cut).float())
        pixels = {(name, s, p, q) for s in range(t - 2, t + 1) for p in range(i, i + 16) for q in range(j, j + 16)}
        assert not taken & pixels
        taken |= pixels
    assert torch.allclose(found.motion, (found.x - found.c[:, -1:]).square().mean((1, 2, 3)).sqrt())


def test_so_many_held_out_patches_of_each_shot_chosen_by_a_seed(drifts):
    world = Clips(source=drifts, split="test", test=("a", "b"), size=16, memory=0)
    found, again, other = (held_out(world, most=4, seed=seed) for seed in (0, 0, 1))
    assert found.clip == ["a"] * 4 + ["b"] * 4
    assert found.c.shape == (8, 0, 16, 16)
    assert torch.equal(found.place, again.place) and not torch.equal(found.place, other.place)
    assert (found.motion > 0).all()
    with pytest.raises(ValueError, match="most must be"):
        held_out(world, most=0)
