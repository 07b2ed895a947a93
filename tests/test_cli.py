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


def test_a_run_starts_from_published_weights(tmp_path, capsys):
    run = str(tmp_path / "run")
    main(["train", *TINY, "--start", "leaves-32", "--world.memory", "3", "--past.forget", "0.5", "--out", run])
    kept, world = read_run(run)
    assert world.memory == 3 and kept.settings.past.forget == 0.5 and kept.state.frozen
    assert kept.state.changes == [{"until_step": 0, "started_from": "leaves-32"}]
    for words, problem in (
        (["--start", "nothing"], "name must be one of"),
        (["--start", "leaves-32", "--network.widths", "4"], "differs in its memory alone"),
    ):
        with pytest.raises(SystemExit):
            main(["train", *TINY, *words, "--out", str(tmp_path / "other")])
        assert problem in capsys.readouterr().err


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
        (["evaluate", "leaves-23"], "got 'leaves-23'"),
    ]:
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        printed = capsys.readouterr().err.strip().splitlines()
        assert stop.value.code == 1 and message in printed[-1] and printed[-1].startswith("scorevid: ")


TRAIN = ["train", *TINY, "--network.widths", "4"]


def refused(arguments, capsys):
    """The line, or two in a box of tyro's, in which a command line is refused."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    said = " ".join(re.sub("[│─╭╮╰╯]", "", capsys.readouterr().err).split())
    assert "scorevid: " in said if stop.value.code == 1 else said.startswith("Value error")
    return said


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--batch", "0"], "batch must be a positive integer"),
        (["--lr", "nan"], "lr must be a finite number, got nan"),
        (["--steps", "0"], "steps must be a positive integer"),
        (["--minutes", "inf"], "minutes must be a finite number, got inf"),
        (["--threads", "-1"], "threads must be"),
        (["--threads", "100000"], "threads must be"),
        (["--log-every", "0"], "log_every must be a positive integer"),
        (["--save-every", "nan"], "save_every must be a finite number"),
        (["--seed", "-1"], "seed must be"),
        (["--devices", "0"], "devices must be"),
        (["--out", ""], "an empty string was given after --out: was a variable not set?"),
        (["--world.size", "-1"], "size must be"),
        (["--world.size", "1" + "0" * 30], "size must be a positive integer"),
        (["--network.widths", "0"], "widths must"),
        (
            ["--network.widths", "1" + "0" * 30],
            "widths must be positive integers, one for each scale, 1,000,000 at most",
        ),
        (["--network.widths", "1000000"], "memory"),
        (["--noise.sigma-min", "nan"], "sigma_min"),
    ],
)
def test_values_that_cannot_be_are_refused_in_a_line_that_names_them_and_leave_nothing(
    tmp_path, capsys, wrong, message
):
    """Would catch a traceback, and a folder that keeps the corrected command from starting."""
    assert message in refused([*TRAIN, "--out", str(tmp_path / "run"), *wrong], capsys)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [["--world.size", "1" + "0" * 30], ["--world.shift", "1" + "0" * 30, "0"]])
def test_a_number_that_torch_cannot_hold_is_refused_in_words(tmp_path, capsys, wrong):
    """Would catch what torch says of it, which is a traceback of some twenty frames."""
    command = ["train-gaussian", *TINY[:-4], "--network.widths", "4", "--out", str(tmp_path / "run"), *wrong]
    assert f"{wrong[0][8:]} must be" in refused(command, capsys)


def test_a_typing_error_in_the_path_of_the_video_leaves_nothing(tmp_path, capsys):
    source = str(tmp_path / "mien.npz")
    command = ["train-clips", *TINY[:-4], "--network.widths", "4", "--out", str(tmp_path / "run"), "--world.source"]
    assert "mien.npz" in refused([*command, source], capsys)
    np.savez(tmp_path / "mine.npz", a=np.random.default_rng(0).integers(0, 255, (24, 96, 128), dtype=np.uint8))
    main([*command, str(tmp_path / "mine.npz")])
    assert "finished at step 30:" in capsys.readouterr().out


@pytest.fixture
def own_video(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (24, 64, 64), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", a=frames)
    return ["train-clips", *TINY[:-4], "--network.widths", "4", "--world.source", str(tmp_path / "mine.npz")]


def test_a_network_of_ones_own_video_can_be_evaluated_and_published(tmp_path, capsys, own_video):
    """Would catch footage of which nothing is held out, which is found out an hour later."""
    run = str(tmp_path / "run")
    main([*own_video, "--out", run])
    main(["publish", run, "mine", "--folder", str(tmp_path / "weights"), "--scenes", "4"])
    assert load_denoiser("mine", tmp_path / "weights").card["evaluation"]["scenes"] > 0
    assert load_denoiser("mine", tmp_path / "weights").card["world"]["source"] == "mine.npz"


def test_that_nothing_is_held_out_is_said_before_training(tmp_path, own_video):
    with pytest.warns(UserWarning, match="can be neither evaluated nor published"):
        main([*own_video, "--world.hold-out", "0", "--out", str(tmp_path / "run")])


def test_resume_auto_continues_a_run_that_is_there_and_starts_one_that_is_not(tmp_path, capsys):
    """For schedulers that restart jobs: one command line, whether it is the first time or not."""
    run = str(tmp_path / "run")
    main([*TRAIN, "--resume", "auto", "--out", run])
    assert "from step 0" in capsys.readouterr().out
    main([*TRAIN[:1], "--resume", "auto", "--steps", "40", "--out", run])
    said = capsys.readouterr().out
    assert "from step 30" in said and "finished at step 40:" in said
    assert "goes on with its own network" in refused(
        [*TRAIN, "--network.widths", "8", "--resume", "--out", run], capsys
    )


def test_weights_of_a_name_are_replaced_by_force_alone(tmp_path, capsys, own_video):
    run, folder = str(tmp_path / "run"), tmp_path / "weights"
    main([*own_video, "--out", run])
    publishing = ["publish", run, "mine", "--folder", str(folder), "--scenes", "4"]
    main(publishing)
    before = (folder / "mine.json").read_text()
    (folder / "mine.safetensors").unlink()  # what is left is somebody's, too
    assert "exists: choose another name, or replace it with --force" in refused(publishing, capsys)
    assert "file name" in refused([*publishing[:2], "../mine", *publishing[3:]], capsys)
    assert (folder / "mine.json").read_text() == before
    main([*publishing, "--force"])
    assert load_denoiser("mine", folder).card["evaluation"]
    assert {path.name for path in folder.iterdir()} == {"mine.json", "mine.safetensors"}


def test_half_a_line_of_evaluations_is_left_out_of_the_card(tmp_path, own_video):
    run, folder = tmp_path / "run", tmp_path / "weights"
    main([*own_video, "--out", str(run)])
    main(["evaluate", str(run), "--scenes", "4", "--append"])
    with (run / "evaluations.jsonl").open("a") as file:
        file.write('{"images": 12')
    with pytest.warns(UserWarning, match=r"evaluations.jsonl: 1 of 2 lines"):
        main(["publish", str(run), "mine", "--folder", str(folder), "--scenes", "4"])
    assert [scores["images"] for scores in load_denoiser("mine", folder).card["evaluations"]] == [120]


def test_too_little_memory_is_one_line(monkeypatch, tmp_path, capsys):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory:\nyou tried to allocate 8 bytes")

    monkeypatch.setattr("scorevid.cli.Trainer.update", fail)
    assert "can't allocate memory" in refused([*TRAIN, "--out", str(tmp_path / "run")], capsys)


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
