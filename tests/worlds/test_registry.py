"""Worlds by name: what is registered is found by cards, checkpoints and the command line, and nowhere listed again."""

from dataclasses import dataclass

import pytest
import torch

from scorevid.cli import main
from scorevid.worlds import registry
from scorevid.worlds.leaves.world import Leaves


def test_a_new_world_is_its_class_alone(tmp_path, monkeypatch):
    """Would catch a list of worlds anywhere else: in the command line, the trainer, or what opens a run."""
    monkeypatch.setattr(registry, "_WORLDS", dict(registry.worlds()))

    @registry.register("train-drift", "noise that drifts", "drift", memory=1)
    @dataclass(frozen=True)
    class Drift:
        size: int = 16
        memory: int = 2

        def draw(self, batch, generator):
            first = torch.rand(batch, 1, self.size, self.size, generator=generator)
            video = torch.cat([first.roll(t, 3) for t in range(self.memory + 1)], 1)
            return video[:, :-1], video[:, -1:]

    monkeypatch.chdir(tmp_path)
    main(["train-drift", "--network.widths", "4", "--batch", "4", "--no-compile", "--steps", "3"])
    main(["train-drift", "--resume", "--steps", "5", "--out", "runs/drift"])
    assert (tmp_path / "runs" / "drift" / "checkpoint.pt").is_file()
    assert registry.make_world(registry.describe_world(Drift(memory=1))) == Drift(memory=1)


def test_a_description_that_json_has_stored_makes_the_world_again():
    world = Leaves(size=16, radius=(2.0, 3.0))
    described = registry.describe_world(world)
    assert registry.make_world({k: list(v) if isinstance(v, tuple) else v for k, v in described.items()}) == world


@pytest.mark.parametrize(
    "wrong, message", [({"name": "Sea"}, "no world named 'Sea'; known are"), ({"name": "Leaves", "salt": 1}, "salt")]
)
def test_an_unknown_world_or_parameter_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        registry.make_world(wrong)
