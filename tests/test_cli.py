"""The commands, from training to published weights."""

import json

import pytest

from scorevid import load_denoiser
from scorevid.cli import main

TINY = ["--steps", "30", "--batch", "4", "--warmup", "5", "--no-compile", "--world.size", "16", "--world.n-disks", "2"]


def test_train_publish_evaluate_and_load(tmp_path, capsys):
    run, folder = str(tmp_path / "run"), str(tmp_path / "weights")
    main(["train", *TINY, "--network.widths", "4", "8", "--out", run])
    assert "finished at step 30 of 30" in capsys.readouterr().out
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
    assert "finished at step 40 of 40" in capsys.readouterr().out


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
