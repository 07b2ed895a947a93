"""Video files: read, refused, or warned of, and never wrong without a word."""

import sys
import warnings
from contextlib import suppress

import numpy as np
import pytest
from made_video import KINDS, drift, write_video

from scorevid.worlds.clips.readers import shrink
from scorevid.worlds.clips.video_files import excerpt, video


def noise(frames=8, tall=48, wide=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, tall, wide), dtype=np.uint8)


def read(path):
    """The frames of a file that may be warned of, None where it is refused; and the warnings' text."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        frames = None
        with suppress(ValueError):
            frames = video(path).frames
    return frames, "".join(str(warning.message) for warning in found)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One good file of each kind."""
    folder = tmp_path_factory.mktemp("video")
    return {name: write_video(folder / name, drift(), *kind) for name, kind in KINDS.items()}


def test_video_reads_back_what_was_written(tmp_path):
    path = write_video(tmp_path / "mine.mkv", noise(7))
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


@pytest.mark.parametrize("name", KINDS)
def test_a_good_file_of_each_kind_is_read_and_warned_of_where_nothing_vouches_for_it(files, name):
    frames, warning = read(files[name])
    assert frames.shape == drift().shape and np.abs(frames.astype(int) - drift()).mean() < 6
    assert ("20 frames" in warning and "no checksums" in warning) == (name != "h264.mkv")
    assert ("nothing declares" in warning) == (name in ("h264.ts", "grey.gif"))


@pytest.mark.parametrize("share", [0.5, 0.6, 0.9])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_was_cut_off_is_refused(files, tmp_path, name, share):
    """Decoders go to the end that they find, and report fewer frames as all there are."""
    content = files[name].read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    assert read(tmp_path / name)[0] is None


def test_a_transport_stream_that_was_cut_between_packets_is_warned_of(files, tmp_path):
    """It could as well have been recorded so."""
    content = files["h264.ts"].read_bytes()
    (tmp_path / "cut.ts").write_bytes(content[: len(content) // 2 // 188 * 188])
    frames, warning = read(tmp_path / "cut.ts")
    assert frames is None or "nothing declares how many" in warning


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_refused_or_warned_of(files, tmp_path, name):
    """Decoders conceal errors, and go on after them."""
    good, content = read(files[name])[0], files[name].read_bytes()
    draws, refused = np.random.default_rng(0), 0
    for _ in range(12):
        damaged, start = bytearray(content), draws.integers(len(content) // 10, len(content) - 8)
        damaged[start : start + 8] = draws.bytes(8)
        (tmp_path / name).write_bytes(damaged)
        frames, warning = read(tmp_path / name)
        refused += frames is None
        assert frames is None or warning or np.array_equal(frames, good)
    assert refused >= (3 if name in ("h264.mp4", "h264.m4v", "mpeg4.mov", "h264.mkv") else 0)


def test_a_checksum_of_matroska_that_does_not_hold_is_found(files, tmp_path):
    """FFmpeg passes over them, and VP9 decodes to something else without an error."""
    content = bytearray(write_video(tmp_path / "vp9.mkv", drift(), *KINDS["vp9.webm"]).read_bytes())
    assert read(tmp_path / "vp9.mkv")[1] == ""
    content[len(content) // 2] ^= 1
    (tmp_path / "vp9.mkv").write_bytes(content)
    with pytest.raises(ValueError, match="the checksum of the element at byte"):
        video(tmp_path / "vp9.mkv")


def test_frames_that_a_container_declares_and_a_decoder_does_not_give_are_missed(files, tmp_path):
    av = pytest.importorskip("av")
    path = files["mpeg4.mov"]  # the table of frames comes first
    with av.open(str(path)) as container:
        end = [packet.pos for packet in container.demux(video=0) if packet.size][15]
    (tmp_path / "cut.mov").write_bytes(path.read_bytes()[:end])
    with pytest.raises(ValueError, match=r"cut\.mov cannot be read.*20 frames are declared, 15 can be decoded"):
        video(tmp_path / "cut.mov")


NAMES = ["2024-05-01T12:30:05", "a:b", "data:x", "file:x", "concat:a|b", "-", "-i", "%03d", "straße 日本", "a'b\"c?#&"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")
def test_names_mean_nothing_to_ffmpeg(files, tmp_path, monkeypatch, name):
    """A colon would name a protocol, "-" standard input, "%" a row of pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.mp4").write_bytes(files["h264.mp4"].read_bytes())
    for path in (f"{name}.mp4", tmp_path / f"{name}.mp4"):
        assert len(video(path).frames) == 20


def test_video_refuses_what_is_no_video(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "mine.mkv"
    with pytest.raises(ValueError, match="there is no file"):
        video(path)
    for content in (b"", b"no video", bytes(range(256)) * 40, bytes.fromhex("1a45dfa3"), b"GIF89a", b"G" * 188):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.mkv cannot be read as a whole video"):
            video(path)
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 400), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(ValueError, match=r"sound\.wav cannot be read as a whole video: it has no video stream"):
        video(tmp_path / "sound.wav")
    write_video(path, noise(1))
    with pytest.raises(ValueError, match=r"too few frames, .*: 1"):
        video(path)
    write_video(path, noise(4))
    with pytest.raises(ValueError, match=r"too few frames, .*: 1 at stride 4"):
        video(path, stride=4)
    with pytest.raises(ValueError, match=r"mine\.mkv cannot .* too small for a height of 50"):
        video(path, height=50)
    with pytest.raises(ValueError, match="stride must be"):
        video(path, stride=0)
    write_video(path, noise(4, 24, 64))
    with pytest.raises(ValueError, match="too small: 24 × 64"):
        video(path)


def test_without_pyav_it_is_said_how_to_install_it(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"^av is needed here .*: pip install 'scorevid\[video\]'$"):
        video(files["h264.mp4"])


# some frames of a file


@pytest.mark.parametrize(
    "at, ahead, first, last",
    [(5, 3, 3, 8), (2, 1, 0, 3), (20, 4, 18, 20), (18, 4, 16, 20), (None, 6, 12, 20), (None, 30, 0, 20)],
)
def test_an_excerpt_has_the_frames_about_its_place(files, at, ahead, first, last):
    whole, _ = read(files["h264.mp4"])
    cut = excerpt(files["h264.mp4"], 2, ahead, at)
    assert np.array_equal(cut.frames, whole[first:last]) and cut.at == first + 2 and cut.size == (48, 64)


@pytest.mark.parametrize("name", KINDS)
def test_an_excerpt_is_made_of_every_kind_of_file(files, name):
    assert np.array_equal(excerpt(files[name], 2, 3, 9, height=32).frames, video_quietly(files[name], 32)[7:12])


def video_quietly(path, height):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return video(path, height).frames


def test_an_excerpt_ends_before_what_is_damaged_behind_it(files, tmp_path):
    content = files["h264.ts"].read_bytes()
    (tmp_path / "cut.ts").write_bytes(content[: int(0.9 * len(content))])
    with pytest.raises(ValueError, match="cannot be read"):
        video(tmp_path / "cut.ts")
    assert np.array_equal(excerpt(tmp_path / "cut.ts", 2, 2, 4).frames, read(files["h264.ts"])[0][2:6])


def test_an_excerpt_does_not_enlarge_and_turns_frames_as_the_file_asks_for(files, tmp_path):
    cut = excerpt(files["h264.mp4"], 1, 1, height=480)
    assert cut.frames.shape == (2, 48, 64)
    content = bytearray(files["h264.mp4"].read_bytes())
    matrix = content.index(b"tkhd") + 4 + 4 + 20 + 16  # behind version, times, place and layer
    quarter = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]  # clockwise, as telephones that are held upright write it
    content[matrix : matrix + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in quarter)
    (tmp_path / "turned.mp4").write_bytes(content)
    turned = excerpt(tmp_path / "turned.mp4", 1, 1)
    assert turned.size == (64, 48) and np.array_equal(turned.frames, np.rot90(cut.frames, -1, (1, 2)))


def test_an_excerpt_that_cannot_be_is_refused(files, tmp_path):
    path = tmp_path / "mine.mkv"
    with pytest.raises(ValueError, match=r"there is no file .*mine\.mkv"):
        excerpt(path, 2, 2)
    path.write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"mine\.mkv cannot be read as a video"):
        excerpt(path, 2, 2)
    write_video(path, noise(1))
    with pytest.raises(ValueError, match="too few frames, 1: 2 past frames are needed"):
        excerpt(path, 2, 2)
    with pytest.raises(ValueError, match="too few frames, 20: at can be 3 to 20, got 21"):
        excerpt(files["h264.mp4"], 3, 2, 21)
    for wrong, message in (
        ((0, 2), "past must"),
        ((2, 0), "ahead must"),
        ((2, 2, -1), "at must"),
        ((2, 2, 1), "at must be 2"),
    ):
        with pytest.raises(ValueError, match=message):
            excerpt(files["h264.mp4"], *wrong)
