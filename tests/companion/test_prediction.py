"""Predictions of a video of one's own, from the file to the picture, and what is said of other files."""

import io
import re

import numpy as np
import pytest
import torch
from made_video import drift, write_video
from PIL import Image

from scorevid.cli import main
from scorevid.companion import Prediction, predict_video
from scorevid.companion.prediction import GAP, LINE, MARGIN

FAST = {"frames": 2, "n_samples": 3, "steps": 2}


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """Twelve frames of 36 × 46 pixels without loss, of which two columns are to be padded."""
    return write_video(tmp_path_factory.mktemp("video") / "mine.mkv", drift(12, 36, 46))


@pytest.fixture
def made():
    """A prediction of which each frame has a grey of its own: past 0.1 and 0.2, truth 0.3, samples from 0.5 on."""
    grey = np.ones((8, 12))
    frames = {"past": [0.1, 0.2], "truth": [0.3], "mean": [0.35, 0.4], "samples": [[0.5, 0.6], [0.7, 0.8]]}
    arrays = {name: np.multiply.outer(np.array(values), grey) for name, values in frames.items()}
    return Prediction(**arrays, disagreement=arrays["samples"].std(0, ddof=1), at=7, about="made up, a café")


def test_shapes_and_the_true_frames(mine):
    said = []
    made = predict_video(mine, **FAST, say=said.append)
    assert made.past.shape == (2, 36, 46) and made.truth.shape == made.mean.shape == (2, 36, 46)
    assert made.samples.shape == (3, 2, 36, 46) and made.disagreement.shape == (2, 36, 46) and made.at == 10
    frames = drift(12, 36, 46) / 255
    np.testing.assert_allclose(made.past, frames[8:10], atol=1e-6)
    np.testing.assert_allclose(made.truth, frames[10:], atol=1e-6)
    np.testing.assert_allclose(made.disagreement, made.samples.std(0, ddof=1), atol=1e-5)
    assert "frames 8 to 9, 36 × 46, grey" in said[0] and "padded to 36 × 48" in said[1]
    errors = made.errors()
    assert errors["last frame"] == pytest.approx(np.sqrt(np.square(frames[10:] - frames[9]).mean()), rel=1e-4)
    assert errors["mean"] == pytest.approx(np.sqrt(np.square(made.mean - made.truth).mean()), rel=1e-4)


def test_the_seed_decides(mine):
    one, again, other = (predict_video(mine, **FAST, at=5, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.samples, again.samples) and np.array_equal(one.mean, again.mean)
    assert not np.array_equal(one.samples, other.samples)


def test_larger_frames_are_shrunk_and_smaller_ones_are_not(mine):
    said = []
    assert predict_video(mine, **FAST, height=32, say=said.append).past.shape == (2, 32, 40)
    assert "36 × 46, shrunk to 32 × 40" in said[0] and not any("padded" in line for line in said)
    assert predict_video(mine, **FAST, height=None).past.shape == (2, 36, 46)


def test_where_the_video_ends_there_is_no_truth(mine, tmp_path):
    made = predict_video(mine, **FAST, at=12)
    assert made.truth.shape == (0, 36, 46) and made.errors() == {}
    made.write(tmp_path / "end.png")
    partly = predict_video(mine, **FAST, at=11)
    assert len(partly.truth) == 1 and partly.rows()["truth"][-1] is None


def test_a_sheet_has_every_frame_at_its_place(made, tmp_path):
    made.write(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.text["Description"] == "made up, a café"
        pixels = np.asarray(image.convert("L"))
    tall, broad = 8 * 24, 12 * 24
    middles = [
        [pixels[LINE + row * (tall + GAP) + tall // 2, MARGIN + t * (broad + GAP) + broad // 2] for t in range(4)]
        for row in (0, 1, 3, 4)
    ]
    blank = 1.0
    expected = [[0.1, 0.2, 0.3, blank], [blank, blank, 0.35, 0.4], [blank, blank, 0.5, 0.6], [blank, blank, 0.7, 0.8]]
    assert np.array_equal(middles, np.round(255 * np.array(expected)))


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_moving_picture_runs_from_the_past_into_the_samples(made, tmp_path, ending):
    path = tmp_path / f"moving.{ending.upper()}"
    made.write(path)
    if ending == "gif":
        with Image.open(path) as image:
            assert image.info["comment"].decode() == "made up, a café" and image.info["loop"] == 0
            shown = [np.asarray(image.convert("L")) for _ in map(image.seek, range(image.n_frames))]
            assert len(shown) == 4
    else:
        av = pytest.importorskip("av")
        with av.open(str(path)) as container:
            assert container.metadata["comment"] == "made up, a café"
            shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
        assert len(shown) == 8  # the last one stays
    tall, broad = 8 * 24, 12 * 24
    above, below = LINE + LINE + tall // 2, LINE + (tall + LINE + GAP) + LINE + tall // 2
    at = {"truth": (above, 0), "mean": (above, 1), "sample 1": (below, 0), "sample 2": (below, 1)}
    seen = {k: [page[y, GAP + x * (broad + GAP) + broad // 2] / 255 for page in shown[:4]] for k, (y, x) in at.items()}
    expected = {"truth": [0.1, 0.2, 0.3, 1.0], "mean": [0.1, 0.2, 0.35, 0.4]}
    expected |= {"sample 1": [0.1, 0.2, 0.5, 0.6], "sample 2": [0.1, 0.2, 0.7, 0.8]}
    assert all(np.allclose(seen[name], expected[name], atol=0.02) for name in expected), seen


def test_disagreement_is_brightest_where_samples_differ_most(made):
    samples = np.zeros((2, 2, 8, 12))
    samples[1, :, :4] = 0.5
    rows = Prediction(made.past, made.truth, made.mean, samples, samples.std(0, ddof=1), 7, "").rows()
    (name,) = (name for name in rows if name.startswith("deviation"))
    assert name == "deviation, 0 to 0.35" and rows[name][0].ndim == 2  # the past, which all share
    light = rows[name][-1].mean(-1)
    assert (light[:4] > 0.8).all() and (light[4:] < 0.05).all()


def test_the_command_writes_what_it_says(mine, tmp_path, capsys):
    out = tmp_path / "prediction.png"
    main(["predict", str(mine), "--frames", "2", "--samples", "1", "--steps", "1", "--out", str(out)])
    said = capsys.readouterr()
    assert "natural-32-m2: samples: 1, next frames: 2, evaluations for each frame of a sample: 3" in said.out
    assert "100%" in said.err
    assert re.search(
        r"over the 2 true frames, grey units: mean 0\.\d{3}, samples 0\.\d{3}, last frame 0\.\d{3}\n", said.out
    )
    assert f"wrote {out}, {out.stat().st_size:,} bytes" in said.out
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        assert "natural-32-m2, sha256" in image.text["Description"] and "seed 0" in image.text["Description"]


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--out", "sheet.jpg"], "out must end in .gif, .mp4, .png, got 'sheet.jpg'"),
        (["--out", "nowhere/sheet.png"], "out must be in a folder that exists"),
        (["--weights", "natural-32-m0"], "natural-32-m0 has a memory of 0"),
        (["--weights", "peers/natural-32-regression"], "predicts the mean alone and has no samples"),
        (["--weights", "natural-33"], "name must be one of the published weights"),
        (["--frames", "0"], "frames must be a positive integer"),
        (["--samples", "0"], "samples must be a positive integer"),
        (["--steps", "0"], "steps must be a positive integer"),
        (["--height", "-1"], "height must be"),
        (["--height", "2"], "frames must have 4 × 4 pixels or more, got 2 × 2"),
        (["--seed", "-1"], "seed must be"),
        (["--at", "1"], "at must be 2 or more, as 2 past frames are needed, got 1"),
        (["--at", "13"], "has too few frames, 12: at can be 2 to 12, got 13"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(mine, tmp_path, monkeypatch, capsys, wrong, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(mine), *wrong])
    said = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 1 and message in said[-1] and said[-1].startswith("scorevid: ")
    assert not list(tmp_path.iterdir())


def test_weights_of_another_world_are_taken_with_a_warning(mine):
    with pytest.warns(UserWarning, match="leaves-32 was trained on Leaves, not on natural video"):
        made = predict_video(mine, "leaves-32", frames=1, n_samples=1, steps=1)
    assert made.disagreement is None and not any(name.startswith("deviation") for name in made.rows())


def test_a_denoiser_that_is_given_the_noise_level_predicts_as_well(mine):
    with pytest.warns(UserWarning, match="not on natural video"):
        assert torch.from_numpy(predict_video(mine, "peers/edm", **FAST).samples).isfinite().all()
