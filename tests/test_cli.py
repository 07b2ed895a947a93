"""The commands, from training to published weights."""

import json
import re
import sys

import numpy as np
import pytest
import torch

from scorevid import load_denoiser
from scorevid.cli import main
from scorevid.training.runs import read_run

TINY = ["--steps", "30", "--batch", "4", "--warmup", "5", "--no-compile", "--world.size", "16", "--world.n-disks", "2"]


def test_train_publish_evaluate_and_load(tmp_path, capsys):
    run, folder = str(tmp_path / "run"), str(tmp_path / "weights")
    main(["train", *TINY, "--network.widths", "4", "8", "--out", run])
    assert "finished at step 30:" in capsys.readouterr().out
    main(["publish", run, "tiny", "--folder", folder, "--scenes", "20"])
    f = load_denoiser("tiny", folder)
    assert f.card["training"]["images"] == 120 and f.card["world"]["size"] == 16
    capsys.readouterr()
    main(["evaluate", run, "--scenes", "20"])
    assert json.loads(capsys.readouterr().out) == f.card["evaluation"]


def test_more_steps_on_resume_lengthen_the_run(tmp_path, capsys):
    run = str(tmp_path / "run")
    main(["train", *TINY, "--network.widths", "4", "--out", run])
    main(["train", "--resume", "--steps", "40", "--out", run])
    assert "finished at step 40:" in capsys.readouterr().out


def test_what_is_given_on_resume_replaces_the_runs_own_and_nothing_else(tmp_path):
    run = str(tmp_path / "run")
    main(["train", *TINY, "--network.widths", "4", "--noise.sigma-max", "3", "--noise.law", "uniform", "--out", run])
    # a default that is given counts, and one that is not does not
    main(
        [
            "train",
            "--resume",
            "--steps",
            "40",
            "--batch",
            "48",
            "--noise.law",
            "log-uniform",
            "--out",
            run,
            "--world.meeting",
            "0.9",
        ]
    )
    kept, world = read_run(run)
    settings = kept.settings
    assert (settings.batch, settings.warmup, settings.noise.sigma_max, settings.noise.law) == (48, 5, 3, "log-uniform")
    assert (world.size, world.n_disks, world.meeting) == (16, 2, 0.9)


@pytest.mark.parametrize("memory", [0, 2])
def test_natural_video_trains_and_is_scored_on_shots_held_out(tmp_path, capsys, memory):
    run = str(tmp_path / "run")
    main(["train-clips", *TINY[:-4], "--world.size", "16", "--world.memory", str(memory), "--network.widths", "4",
          "--out", run])  # fmt: skip
    main(["train-clips", "--resume", "--steps", "40", "--out", run])
    assert "finished at step 40:" in capsys.readouterr().out
    main(["evaluate", run, "--scenes", "40"])
    scores = json.loads(capsys.readouterr().out)
    assert scores["scenes"] == 40 and scores["squared_error_copy"] > 1e-4 and "excess_error" not in scores


def test_a_run_on_video_of_ones_own_can_be_evaluated_and_published(tmp_path, capsys):
    """It says nothing of which shots are for testing: the end of each is held out."""
    shot, run = np.random.default_rng(0).integers(0, 256, (24, 32, 40), dtype=np.uint8), str(tmp_path / "run")
    np.savez(tmp_path / "mine.npz", shot=shot)
    main(["train-clips", *TINY[:-4], "--world.source", str(tmp_path / "mine.npz"), "--network.widths", "4",
          "--out", run])  # fmt: skip
    main(["publish", run, "mine", "--folder", str(tmp_path), "--scenes", "4"])
    assert load_denoiser("mine", tmp_path).card["world"]["hold_out"] == 0.2
    capsys.readouterr()
    main(["evaluate", run, "--scenes", "4"])
    assert json.loads(capsys.readouterr().out)["scenes"] == 1  # of five frames, three of a patch


def test_a_missing_package_is_said_in_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "mine.mp4").write_bytes(b"video")
    with pytest.raises(SystemExit):
        main(["train-clips", *TINY[:-4], "--world.source", str(tmp_path / "mine.mp4"), "--out", str(tmp_path / "run")])
    assert re.search(r"scorevid: av is needed here .*: pip install 'scorevid\[video\]'\n", capsys.readouterr().err)


def test_a_regression_on_the_past_trains_goes_on_and_says_its_licence(tmp_path):
    run, folder = str(tmp_path / "run"), str(tmp_path / "weights")
    main(["train", *TINY, "--network.widths", "4", "--network.regression", "--out", run])
    main(["train", "--resume", "--steps", "40", "--out", run])
    main(["publish", run, "tiny", "--folder", folder, "--scenes", "20", "--licence", "CC BY-NC 4.0"])
    f = load_denoiser("tiny", folder)
    assert f.card["licence"] == "CC BY-NC 4.0" and f.card["training"]["steps"] == 40
    c = torch.rand(2, 2, 16, 16)
    assert torch.equal(f(torch.zeros(2, 1, 16, 16), c), f(torch.ones(2, 1, 16, 16), c))


def test_what_cannot_be_done_is_said_in_one_line(tmp_path, capsys):
    run = str(tmp_path / "run")
    main(["train", *TINY, "--network.widths", "4", "--out", run])
    for arguments, message in [
        (["train", *TINY, "--network.widths", "4", "--out", run], "exists: resume it"),
        (["train", "--resume", "--out", str(tmp_path / "nowhere")], "no run to continue"),
        (["train", "--no-compile", "--out", str(tmp_path / "other")], "say how long to train"),
        (["train", "--resume", "--out", run, "--network.widths", "8"], "goes on with its own network"),
        (["train-gaussian", "--resume", "--out", run], "is of Leaves, not Gaussian"),
        (["train", "--resume", "--out", run, "--optimiser", "adam"], "made with muon and cannot go on with adam"),
        (["train", "--device", "gpu", "--out", str(tmp_path / "other")], "the device 'gpu' cannot be used here"),
        (["evaluate", "leaves-23"], "no weights named 'leaves-23'"),
    ]:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        printed = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 1 and message in printed[-1] and printed[-1].startswith("scorevid: ")


def test_a_run_cut_short_says_how_to_go_on(tmp_path, capsys):
    main(
        [
            "train",
            *TINY[2:],
            "--steps",
            "100000",
            "--minutes",
            "0.01",
            "--network.widths",
            "4",
            "--out",
            str(tmp_path / "run"),
        ]
    )
    assert "--resume goes on from there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [["train", "--stepz", "3"], ["train", "--optimiser", "sgd"], ["train", "--world.radius", "wide", "wider"], ["fly"]],
)
def test_wrong_arguments_end_with_a_usage_error(wrong):
    with pytest.raises(SystemExit) as stop:
        main(wrong)
    assert stop.value.code == 2


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for word in ("--minutes", "--steps", "--resume", "--device", "--out", "stop after so many minutes", "radius"):
        assert word in text
