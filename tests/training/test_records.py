"""What a run leaves in its folder: checkpoints of any version, or a refusal in one line; logs of whole lines."""

from dataclasses import asdict

import pytest
import torch

from scorevid.denoisers.unet import UNet
from scorevid.training.records import FIRST_NAMES, load_checkpoint, read_log, trim_log
from scorevid.training.runs import open_run
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves

SMALL = Leaves(size=16, n_disks=2, memory=1, radius=(2.0, 3.0))


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    settings = Settings(steps=6, batch=4, compile=False, freeze_norm_after=2)
    trainer = Trainer(UNet(1, (4,)), SMALL, settings, tmp_path)
    trainer.run(progress=False)
    return trainer


def stored(run):
    return torch.load(run.checkpoint, weights_only=True)


def first_format(kept):
    """A checkpoint as version 0.1 wrote it."""
    state, settings = dict(kept["state"]), dict(kept["settings"])
    for old, new in FIRST_NAMES.items():
        settings[old] = settings.pop(new)
    own = {"planned_steps": "steps", "frozen": "settled", "frozen_at": "settled_at", "running_loss": "running"}
    state = {own.get(name, name): value for name, value in state.items()}
    for optimiser in kept["optimisers"]:
        for group in optimiser["param_groups"]:
            group["peak"] = 0.5
    rest = {name: kept[name] for name in ("world", "config", "network", "optimisers")}
    return state | rest | {"settings": settings, "average": kept["ema"]}


def test_a_checkpoint_of_the_first_format_goes_on_as_one_of_the_present(run, tmp_path):
    """Would catch a field that the migration forgets or mixes up, and an optimiser that starts at an old peak rate."""
    kept = stored(run)
    torch.save(first_format(stored(run)), run.checkpoint)
    migrated = load_checkpoint(run.checkpoint)
    assert asdict(migrated.settings) == kept["settings"] and migrated.world == kept["world"]
    assert {k: v for k, v in vars(migrated.state).items() if k != "running_loss"} == {
        k: v for k, v in kept["state"].items() if k != "running_loss"
    }
    again = open_run(tmp_path, steps=10)
    again.update()
    torch.save(kept, run.checkpoint)
    present = open_run(tmp_path, steps=10)
    present.update()
    assert all(torch.equal(a, b) for a, b in zip(again.ema, present.ema, strict=True))
    assert again.state.changes == present.state.changes == [{"until_step": 6, "steps": 6}]


def test_settings_that_the_oldest_checkpoints_lack_had_their_defaults(run):
    kept = first_format(stored(run))
    for newer in ("settled_rate", "past"):
        del kept["settings"][newer]
    kept["changes"] = [{"until_step": 2, "settle": None}]
    torch.save(kept, run.checkpoint)
    loaded = load_checkpoint(run.checkpoint)
    assert loaded.settings.frozen_lr_factor == 1.0 and loaded.settings.past.share == 0
    assert loaded.state.changes == [{"until_step": 2, "freeze_norm_after": None}]


def put(*keys):
    def change(kept):
        place = kept
        for key in keys:
            place = place[key]
        place["later"] = 1
        return kept

    return change


def without(*keys):
    def change(kept):
        place = kept
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        return kept

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (put("settings"), "no checkpoint that this version .* can read: .*later"),
        (put("settings", "noise"), "no checkpoint that this version .* can read: .*later"),
        (put("config"), "no checkpoint that this version .* can read: .*later"),
        (put("state"), "no checkpoint that this version .* can read: .*later"),
        (put("world"), "later.*; go on with the version that wrote it"),
        (lambda kept: kept | {"format": 99}, "its format is 99, and 2 the newest that is known"),
        (without("state", "frozen_at"), "it lacks 'frozen_at'"),
        (without("optimisers"), "it lacks 'optimisers'"),
        (lambda kept: kept | {"network": {}}, "no checkpoint that this version"),
        (lambda kept: kept["network"], "it lacks"),
        (lambda kept: [1, 2], "it holds a list"),
        (lambda kept: b"", "is empty"),
        (lambda kept: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (lambda kept: b"neither pickle nor zip", "is not a whole checkpoint"),
    ],
)
def test_what_is_no_checkpoint_of_this_version_is_refused_in_one_line(run, tmp_path, change, message):
    """Would catch a traceback of a constructor's, and torch's advice to execute what is in the file."""
    made = change(stored(run))
    if isinstance(made, bytes):
        run.checkpoint.write_bytes(made)
    else:
        torch.save(made, run.checkpoint)
    with pytest.raises(ValueError, match=message) as refused:
        open_run(tmp_path)
    said = str(refused.value)
    assert str(run.checkpoint) in said and "\n" not in said and "weights_only" not in said
    assert refused.value.__cause__ is None or "weights_only" not in str(refused.value.__cause__)


def test_lines_that_are_no_records_are_left_out_and_counted(tmp_path):
    """A power cut leaves half a line, or a line of zeros."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1}\n\0\0\0\n{"step": 2}\n7\n{"step": 3, "lo')
    with pytest.warns(UserWarning, match=r"log.jsonl: 3 of 5 lines are no whole records"):
        assert read_log(path) == [{"step": 1}, {"step": 2}]
    trim_log(path, 1)
    assert path.read_text() == '{"step": 1}\n'
