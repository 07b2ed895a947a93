"""Folders and lists of videos: what is found, cut, stored, left out, drawn, and held out."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import torch
from made_video import KINDS, drift, write_video

from scorevid.cli import main
from scorevid.denoisers.weights import load_card
from scorevid.files import writing
from scorevid.worlds.clips import stored
from scorevid.worlds.clips.bank import bank
from scorevid.worlds.clips.folders import collection, is_collection, listed_videos, parted_by_video
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.readers import Clip, UncheckedFootage
from scorevid.worlds.clips.shots import energies_between, motion_energies
from scorevid.worlds.clips.stored import StoredFrames, cache_folder, store
from scorevid.worlds.clips.video_files import video
from scorevid.worlds.clips.world import Clips

pytestmark = pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing of a user's is touched."""
    monkeypatch.setenv("SCOREVID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One good file of each kind, a small one, one of one frame, and one of sound."""
    av = pytest.importorskip("av")
    folder = tmp_path_factory.mktemp("files")
    for name, kind in KINDS.items():
        write_video(folder / name, drift(), *kind)
    write_video(folder / "small.mkv", drift(8, 24, 40))
    write_video(folder / "short.mkv", drift(1, 40, 48))
    with av.open(str(folder / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    return folder


def put(target, content):
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.fixture
def root(tmp_path, files):
    """Three classes of the layout of UCF101, in one of them files that cannot be used."""
    good = (files / "mjpeg.avi").read_bytes()
    for name in ("archery/a.avi", "archery/b.avi", "fencing/c.avi"):
        put(tmp_path / "videos" / name, good)
    put(tmp_path / "videos" / "odd/empty.mp4", b"")
    put(tmp_path / "videos" / "odd/junk.webm", bytes(range(256)))
    put(tmp_path / "videos" / "odd/cut.mp4", (files / "h264.mp4").read_bytes()[:1500])
    put(tmp_path / "videos" / "odd/sound.mp4", (files / "sound.wav").read_bytes())
    put(tmp_path / "videos" / "odd/small.mkv", (files / "small.mkv").read_bytes())
    put(tmp_path / "videos" / "odd/short.mkv", (files / "short.mkv").read_bytes())
    put(tmp_path / "videos" / "odd/ünïcode name.webm", (files / "vp9.webm").read_bytes())
    put(tmp_path / "videos" / "readme.md", b"no video")
    put(tmp_path / "videos" / ".hidden/x.avi", good)
    return tmp_path / "videos"


# what is found


def test_a_folder_is_searched_and_its_folders_are_classes(root):
    found = [(each.name, each.group, each.split) for each in listed_videos(root)]
    assert ("archery/a.avi", "archery", "") in found and ("odd/ünïcode name.webm", "odd", "") in found
    assert len(found) == 10 and found == sorted(found)


def test_folders_called_train_and_val_say_what_is_for_testing(tmp_path):
    for name in ("train/abseiling/x.mp4", "val/abseiling/y.mp4", "test/z.mp4", "u.webm"):
        put(tmp_path / name, b"")
    found = {each.name: (each.group, each.split) for each in listed_videos(tmp_path)}
    assert found["train/abseiling/x.mp4"] == ("abseiling", "train") and found["u.webm"] == ("", "")
    assert found["val/abseiling/y.mp4"] == ("abseiling", "test") and found["test/z.mp4"] == ("", "test")


LISTS = {
    "plain.txt": (
        "# of us\na.avi\n\n  b c.avi  \nd.avi 3\nb c.avi 7\n",
        [("a.avi", ""), ("b c.avi", ""), ("d.avi", "3")],
    ),
    "tabs.txt": ("x/a.avi\tarchery\r\nx/b c.avi\tfencing\r\n", [("x/a.avi", "archery"), ("x/b c.avi", "fencing")]),
    "bare.csv": ("x/a.avi,archery\n\nx/b.avi,fencing\n", [("x/a.avi", "archery"), ("x/b.avi", "fencing")]),
    "head.csv": ('\ufefflabel,id,Path\n"a, b",1,a.avi\n,2,"b, c.avi"\n', [("a.avi", "a, b"), ("b, c.avi", "")]),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_a_path_a_line_and_perhaps_a_label(tmp_path, name):
    text, expected = LISTS[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = listed_videos(tmp_path / name)
    assert [(each.name, each.group) for each in found] == expected
    assert found[0].path == tmp_path / expected[0][0]


def test_a_column_may_say_what_is_for_testing(tmp_path):
    (tmp_path / "list.csv").write_text("video,split\na.avi,train\nb.avi,Validation\nc.avi,\n")
    assert [each.split for each in listed_videos(tmp_path / "list.csv")] == ["train", "test", ""]
    (tmp_path / "list.csv").write_text("video,split\na.avi,tomorrow\n")
    with pytest.raises(ValueError, match=r"says that a\.avi is for 'tomorrow'; known are train"):
        listed_videos(tmp_path / "list.csv")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b"\xff\xfe\x00a", bytes(range(128, 256))])
@pytest.mark.parametrize("ending", ["txt", "csv"])
def test_a_list_that_is_empty_or_damaged_is_refused(tmp_path, content, ending):
    (tmp_path / f"list.{ending}").write_bytes(content)
    if content.startswith(b"#") and ending == "csv":
        return  # a name like any other
    with pytest.raises(ValueError, match=rf"list\.{ending} (has no videos|is damaged)"):
        listed_videos(tmp_path / f"list.{ending}")


def test_a_folder_of_davis_is_none_of_videos(tmp_path, root):
    (tmp_path / "davis" / "JPEGImages").mkdir(parents=True)
    assert not is_collection(tmp_path / "davis") and is_collection(root) and not is_collection(root / "archery/a.avi")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none has no videos: no file ends in"):
        listed_videos(tmp_path / "none")


# what is stored


def test_what_cannot_be_used_is_left_out_and_why_is_said(root, cache):
    with pytest.warns(UserWarning, match=r"6 of 10 videos are left out") as said:
        clips = collection(root, 40)
    assert list(clips) == ["archery/a.avi", "archery/b.avi", "fencing/c.avi", "odd/ünïcode name.webm"]
    assert clips["fencing/c.avi"].group == "fencing" and clips["fencing/c.avi"].video == "fencing/c.avi"
    text = str(next(w.message for w in said if w.category is UserWarning))
    for part in (
        "3 damaged (odd/cut.mp4, odd/empty.mp4, odd/junk.webm)",
        "1 no video stream",
        "1 too small",
        "1 too short",
    ):
        assert part in text
    assert any(w.category is UncheckedFootage and "4 videos were read" in str(w.message) for w in said)
    (report,) = cache.glob("left-out-*.txt")
    assert "odd/cut.mp4\tdamaged: cannot be read as a whole video: " in report.read_text() and str(report) in text
    assert not list(cache.glob("*.partial"))


def test_frames_are_those_of_the_file_and_are_decoded_once(root, monkeypatch):
    clips = collection(root / "archery", 40)
    expected = video(root / "archery" / "a.avi", 40).frames
    assert np.array_equal(clips["a.avi"].frames, expected) and clips["a.avi"].frames.shape == expected.shape
    changes = np.square(np.diff(expected.astype(float), axis=0)).mean((1, 2))
    np.testing.assert_allclose(clips["a.avi"].frames.changes(), [0, *changes], rtol=1e-5)
    with monkeypatch.context() as patched:
        patched.setattr(stored, "decode", None)
        assert np.array_equal(collection(root / "archery", 40)["b.avi"].frames, expected)
    (root / "archery" / "a.avi").write_bytes(b"changed")
    with pytest.warns(UserWarning, match="1 of 2 videos are left out: 1 damaged"):
        assert list(collection(root / "archery", 40)) == ["b.avi"]
    assert collection(root / "fencing", 32)["c.avi"].frames.shape == (20, 32, 42)


def test_frames_on_the_disk_are_an_array_as_far_as_is_asked_for(root):
    frames = collection(root / "fencing", 40)["c.avi"].frames
    whole = np.asarray(frames)
    assert isinstance(frames, StoredFrames) and isinstance(frames[3:9], StoredFrames)
    for index in (
        slice(3, 9),
        slice(-4, None),
        slice(9, 3),
        slice(1, None, 3),
        slice(None, None, -2),
        5,
        -1,
        [4, -2, 4],
    ):
        assert np.array_equal(frames[index], whole[index]), index
    assert np.array_equal(frames[5:15][-3:][1], whole[13]) and len(frames[5:15]) == 10
    assert np.array_equal(frames[5:15].changes(), frames.changes()[5:15])
    with pytest.raises(IndexError):
        frames[20]
    with frames.path.open("rb+") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match="is shorter than it should be: remove it"):
        frames[19]
    assert collection(root / "fencing", 40)["c.avi"].frames[19].any()  # found to be damaged, and made again


def test_cuts_are_found(tmp_path):
    """The film of the bank, put together again."""
    starts = (0, 30, 76, 137, 187, 242)
    film = np.concatenate([bank()[f"bikes-{k}"].frames for k in starts])[:, :, :224]
    (tmp_path / "film").mkdir()
    write_video(tmp_path / "film" / "bikes.mp4", film, *KINDS["h264.mp4"])
    clips = collection(tmp_path / "film", 96)
    assert list(clips) == [f"bikes.mp4:{k}" for k in starts]
    assert [len(clip.frames) for clip in clips.values()] == list(np.diff([*starts, len(film)]))
    assert {clip.video for clip in clips.values()} == {"bikes.mp4"}


def test_the_folder_of_frames_is_bounded(root, monkeypatch, cache):
    one = 20 * (40 * 53 + 4)
    monkeypatch.setenv("SCOREVID_CACHE_GB", str(2.5 * one / 1e9))
    # three once the folder is full before the short one is found to be short, as they are decoded side by side
    with pytest.warns(UserWarning, match=r"8 of 10 videos are left out: [23] beyond the limit of"):
        clips = collection(root, 40)
    assert len(clips) == 2 and sum(path.stat().st_size for path in cache.glob("*.frames")) == 2 * one
    assert not list(cache.glob("*.partial"))
    monkeypatch.delenv("SCOREVID_CACHE_GB")
    with pytest.warns(UserWarning, match="6 of 10 videos are left out"):
        assert len(collection(root, 40)) == 4
    monkeypatch.setenv("SCOREVID_CACHE_GB", "much")
    with pytest.raises(ValueError, match="SCOREVID_CACHE_GB must be a number, got 'much'"):
        collection(root, 40)


@pytest.mark.parametrize("workers", [1, 8])
def test_the_limit_is_filled_however_many_are_decoded_at_once(root, monkeypatch, cache, workers):
    """Of several that are half done and find the folder full, one gives way; not all of them."""
    one = 20 * (40 * 53 + 4)
    monkeypatch.setenv("SCOREVID_CACHE_GB", str(2.5 * one / 1e9))
    made = store([each.path for each in listed_videos(root)], 40, workers=workers)
    assert len(made.videos) == 2


def test_an_interrupt_leaves_what_is_done_and_nothing_half(root, monkeypatch, cache):
    paths, seen, decode = [each.path for each in listed_videos(root / "archery")], [], stored.decode

    def interrupted(path, keep, height):
        seen.append(path)
        if len(seen) == 2:
            keep(np.zeros((40, 50), np.uint8))
            raise KeyboardInterrupt
        return decode(path, keep, height)

    with monkeypatch.context() as patched:
        patched.setattr(stored, "decode", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store(paths, 40, workers=1)
    assert len(list(cache.glob("*.json"))) == 1 and not list(cache.glob("*.partial"))
    made = store(paths, 40)
    assert set(made.videos) == set(paths) and not made.left_out


def test_several_may_fill_one_folder_and_each_video_is_decoded_once(root, monkeypatch, cache):
    paths, decode, calls = [each.path for each in listed_videos(root)], stored.decode, []

    def counted(path, keep, height):
        calls.append(path)
        return decode(path, keep, height)

    monkeypatch.setattr(stored, "decode", counted)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: store(paths, 40, workers=2), range(2))
    assert sorted(calls) == sorted(paths) and one == other and len(one.videos) == 4
    assert not list(cache.glob("*.partial"))


def test_descriptions_that_are_damaged_are_made_again(root, cache):
    paths = [each.path for each in listed_videos(root / "fencing")]
    before = store(paths, 40).videos
    (described,) = cache.glob("*.json")
    for content in ("", "{", "[]", '{"frames": 3}'):
        described.write_text(content)
        assert store(paths, 40).videos == before and json.loads(described.read_text())["frames"] == 20


def test_what_a_killed_process_left_is_removed_when_it_is_old(root, cache):
    old, new = put(cache / "a.frames.x-1.partial", b"x"), put(cache / "b.frames.x-2.partial", b"x")
    os.utime(old, (0, 0))
    collection(root / "fencing", 40)
    assert new.exists() and not old.exists()


def test_a_file_is_moved_into_place_when_it_is_whole(tmp_path):
    path = put(tmp_path / "x", b"before")
    with suppress(KeyError), writing(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]
    with writing(path) as file:
        file.write(b"after")
    assert path.read_bytes() == b"after" and list(tmp_path.iterdir()) == [path]


def test_the_folder_of_frames_is_the_users_own_unless_another_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("SCOREVID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "of-user"))
    assert cache_folder() == tmp_path / "of-user" / "scorevid" and cache_folder().is_dir()


# what is drawn


@pytest.fixture
def lossless(tmp_path):
    """Two videos of noise, and the same frames as arrays."""
    frames = {n: np.random.default_rng(k).integers(0, 256, (24, 40, 52), dtype=np.uint8) for k, n in enumerate("ab")}
    (tmp_path / "noise").mkdir()
    for name, content in frames.items():
        write_video(tmp_path / "noise" / f"{name}.mkv", content)
    np.savez(tmp_path / "noise.npz", **frames)
    return tmp_path / "noise", tmp_path / "noise.npz", frames


SAME = {"size": 16, "height": 40, "hold_out": 0.0}


@pytest.mark.parametrize(
    "settings", [{}, {"pan": 3}, {"stride": 2, "memory": 3}, {"memory": 0}, {"halved": True, "flip": False}]
)
def test_patches_from_the_disk_are_those_of_arrays(lossless, settings):
    """Evenly drawn ones: places are then drawn alike."""
    folder, arrays, _ = lossless
    worlds = [Clips(source=str(source), motion=0.0, **SAME | settings) for source in (folder, arrays)]
    drawn = [world.draw(32, torch.Generator().manual_seed(3)) for world in worlds]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))


def test_held_out_patches_are_those_of_arrays(lossless):
    folder, arrays, _ = lossless
    one, other = (held_out(Clips(source=str(source), **SAME), 5) for source in (folder, arrays))
    assert torch.equal(one.x, other.x) and torch.equal(one.place, other.place) and len(one.clip) == 10


def test_patches_that_move_are_preferred(tmp_path):
    """In frames of noise that stands still, one corner changes from frame 30 on."""
    draws = np.random.default_rng(0)
    frames = np.repeat(draws.integers(100, 130, (1, 96, 96), dtype=np.uint8), 60, 0)
    frames[30:, 64:, 64:] = draws.integers(100, 130, (30, 32, 32), dtype=np.uint8)
    (tmp_path / "corner").mkdir()
    write_video(tmp_path / "corner" / "a.mkv", frames)
    world = Clips(source=str(tmp_path / "corner"), size=16, motion=1.0, hold_out=0.0, flip=False)
    _, x = world.draw(400, torch.Generator().manual_seed(0))
    shots, place = (
        world.shots("cpu"),
        torch.rand(4, 400, generator=torch.Generator().manual_seed(1), dtype=torch.float64),
    )
    at = shots.moving(torch.zeros(400, dtype=torch.long), place[0], place[1], place[2])
    assert (at >= 0).all() and (at < shots.room[0]).all()
    within = (at[:, 0] + 2 >= 30) & (at[:, 1] > 48) & (at[:, 2] > 48)
    assert within.float().mean() > 0.98 and x.shape == (400, 1, 16, 16)
    rows = at[within, 1].float()
    assert rows.mean() > 64 and rows.max() == 80  # where patches are whole in the corner they are likeliest


@pytest.mark.parametrize("tall, wide, size", [(96, 170, 32), (97, 171, 32), (33, 35, 32), (40, 64, 16), (50, 61, 10)])
def test_energies_from_every_other_pixel_are_those_of_all(tall, wide, size):
    """Of frames that are alike in squares of two by two pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (2, tall // 2 + 1, wide // 2 + 1), dtype=np.uint8)
    frames = coarse.repeat(2, 1).repeat(2, 2)[:, :tall, :wide]
    given, expected = energies_between(*frames, size), motion_energies(frames, 1, 1, size)[0]
    np.testing.assert_allclose(given, expected, rtol=2e-4)


def test_disk_and_memory_may_be_mixed(lossless):
    folder, _, _ = lossless
    world = Clips(source=("bank", str(folder)), size=16, height=40)
    c, x = world.draw(64, torch.Generator().manual_seed(0))
    assert c.shape == (64, 2, 16, 16) and x.isfinite().all() and {"a.mkv", "vtest-0"} <= set(world.clips())


# what is held out


def test_of_many_shots_no_more_are_tested_than_scenes_are_asked_for(tmp_path):
    np.savez(tmp_path / "many.npz", **{f"s{k}": drift(8, 32, 40) for k in range(12)})
    world = Clips(source=str(tmp_path / "many.npz"), size=16, hold_out=0.0)
    some = held_out(world, 1, seed=3, shots_most=5)
    assert len(set(some.clip)) == 5 == len(some.x) and set(some.clip) <= set(world.clips())
    assert held_out(world, 1, seed=3, shots_most=5).clip == some.clip != held_out(world, 1, seed=4, shots_most=5).clip
    assert len(set(held_out(world, 1, shots_most=12).clip)) == 12
    tested = Clips(source=str(tmp_path / "many.npz"), size=16, test=tuple(world.clips()))
    assert len(tested.test_scenes(5, torch.Generator().manual_seed(0)).x) == 5


def made(*videos, shots=2):
    frames = np.zeros((4, 32, 32), np.uint8)
    return {f"{v}:{k}": Clip(f"{v}:{k}", frames, "train", v, v[:1]) for v in videos for k in range(shots)}


def test_whole_videos_are_held_out():
    clips = made(*(f"{letter}{k}" for letter in "abcde" for k in range(10)))
    parted = parted_by_video(clips, 0.2)
    tested = {clip.video for clip in parted.values() if clip.split == "test"}
    assert len(tested) == 10 and list(parted) == list(clips)
    assert all((clip.split == "test") == (clip.video in tested) for clip in parted.values())
    again = parted_by_video(clips, 0.2)
    assert all(again[name].split == parted[name].split for name in clips) and parted_by_video(made("a"), 0.2) is None
    assert {c.split for c in parted_by_video(made("a", "b"), 0.1).values()} == {"train", "test"}


def test_a_world_of_a_folder_holds_out_videos_or_what_the_folder_says(root, tmp_path):
    for name in ("junk.webm", "cut.mp4", "empty.mp4", "sound.mp4", "short.mkv", "small.mkv"):
        (root / "odd" / name).unlink()
    world = Clips(source=str(root), height=40)
    trained, tested = (set(Clips(source=str(root), height=40, split=split).clips()) for split in ("train", "test"))
    assert len(trained) == 3 and len(tested) == 1 and not trained & tested
    assert all(len(clip.frames) == 20 for clip in world.clips().values())
    lists = put(root / "list.csv", b"path,split\narchery/a.avi,train\narchery/b.avi,val\nfencing/c.avi,train\n")
    assert list(Clips(source=str(lists), height=40, split="test").clips()) == ["archery/b.avi"]
    assert list(Clips(source=str(lists), height=40).clips()) == ["archery/a.avi", "fencing/c.avi"]


def test_classes_and_videos_can_be_named(root):
    world = Clips(source=str(root), height=40, test=("archery",))
    with pytest.warns(UserWarning, match="6 of 10"):
        assert list(world.clips()) == ["fencing/c.avi", "odd/ünïcode name.webm"]
    with pytest.warns(UserWarning, match="6 of 10"):
        assert list(Clips(source=str(root), height=40, only=("fencing", "archery/b.avi"), hold_out=0).clips()) == [
            "fencing/c.avi",
            "archery/b.avi",
        ]
    with pytest.warns(UserWarning, match="6 of 10"), pytest.raises(ValueError, match="no shot is named golf"):
        Clips(source=str(root), height=40, test=("golf",)).clips()


def test_a_single_video_in_a_folder_is_parted_like_one_alone(root):
    world = Clips(source=str(root / "fencing"), height=40)
    assert len(world.clips()["c.avi"].frames) == 15
    assert len(Clips(source=str(root / "fencing"), height=40, split="test").clips()["c.avi"].frames) == 5


def test_threads_of_training_read_at_once(lossless):
    world, made = Clips(source=str(lossless[0]), **SAME), {}

    def draw(seed):
        made[seed] = world.draw(16, torch.Generator().manual_seed(seed % 2))[1]

    world.draw(1, torch.Generator())
    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(made[0], made[2]) and torch.equal(made[1], made[3])


def test_a_network_is_trained_on_a_folder_and_published(root, tmp_path):
    """By the command line; a card names the folder and not where it is."""
    run, weights = str(tmp_path / "run"), str(tmp_path / "weights")
    tiny = ["--steps", "3", "--batch", "4", "--warmup", "2", "--no-compile", "--network.widths", "4", "--out", run]
    sources = ["--world.source", str(root / "archery"), str(root / "fencing")]
    main(["train-clips", *tiny, *sources, "--world.size", "16", "--world.height", "40"])
    main(["publish", run, "mine", "--folder", weights, "--scenes", "4"])
    card = load_card("mine", weights)
    assert card["world"]["source"] == ["archery", "fencing"] and card["evaluation"]["scenes"] == 4
