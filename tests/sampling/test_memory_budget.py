"""As many frames at once as fit, and the same samples however many that are."""

import math
from pathlib import Path

import pytest
import torch

from scorevid.denoisers.unet import UNet
from scorevid.sampling import ascend, solve
from scorevid.sampling import memory_budget as memory
from scorevid.sampling.memory_budget import frames_at_once

MIB = 2**20


@pytest.mark.parametrize("mib, expected", [(8.5, 4), (1e6, 9), (0, 1)])
def test_half_of_what_is_free_is_filled(monkeypatch, mib, expected):
    """By a network whose widest layer has 8 channels, at 1 MiB a frame."""
    monkeypatch.setattr(memory, "free_memory", lambda device: mib * MIB)
    monkeypatch.setattr(memory, "PER_CHANNEL", MIB / 8 / 64)
    assert frames_at_once(UNet(2, (4, 8)), torch.zeros(9, 2, 8, 8)) == expected


def test_memory_without_a_known_limit_holds_all(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: math.inf)
    assert frames_at_once(UNet(2, (4, 8)), torch.zeros(9, 2, 8, 8)) == 9


def test_what_is_no_network_gets_all_frames(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert frames_at_once(lambda y, c: y, torch.zeros(9, 2, 8, 8)) == 9


@pytest.mark.parametrize("widths", [(4, 8), (32, 64, 128)])
def test_a_network_stays_below_what_it_is_taken_to_need(widths):
    """Else more frames than fit would be given at once. Counted by what all modules give out together."""
    network, given = UNet(2, widths).eval(), []
    for module in network.modules():
        module.register_forward_hook(lambda module, taken, made: given.append(made.numel() * made.element_size()))
    with torch.no_grad():
        network(torch.zeros(1, 1, 32, 32), torch.zeros(1, 2, 32, 32))
    assert 0.05 < sum(given) / (memory.PER_CHANNEL * max(widths) * 32 * 32) < 1


@pytest.mark.parametrize("sampler", [ascend, solve])
def test_samples_are_the_same_in_pieces(monkeypatch, sampler):
    torch.manual_seed(0)
    f, c = UNet(2, (4, 8)).eval(), torch.rand(5, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    sizes = []
    f.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
    settings = {"max_steps": 20, "h_0": 0.1, "beta": 0.5} if sampler is ascend else {"steps": 4}

    def draw():
        return sampler(f, c, n_samples=3, generator=torch.Generator().manual_seed(2), **settings).x

    whole = draw()
    assert max(sizes) == 15
    sizes.clear()
    monkeypatch.setattr(memory, "free_memory", lambda device: 0.2 * MIB)
    torch.testing.assert_close(draw(), whole, rtol=1e-4, atol=1e-4)
    assert 1 <= max(sizes) < 15


@pytest.mark.parametrize(
    "line, kind, names",
    [
        ("0::/job/step", "", ("memory.max", "memory.current", "inactive_file")),
        ("4:memory:/job/step", "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")),
    ],
)
def test_the_limits_of_control_groups_count(tmp_path, line, kind, names):
    """The tightest of those around the process, with the files that can be dropped from memory given back."""
    own, step = tmp_path / "own", tmp_path / kind / "job" / "step"
    assert memory._of_groups(own, tmp_path) == math.inf
    step.mkdir(parents=True)
    own.write_text(f"1:cpu:/elsewhere\n{line}\n")
    assert memory._of_groups(own, tmp_path) == math.inf
    for folder, most, used in ((step, "1000", "300"), (step.parent, "900", "500"), (tmp_path / kind, "max", "1")):
        (folder / names[0]).write_text(most + "\n")
        (folder / names[1]).write_text(used + "\n")
        (folder / "memory.stat").write_text(f"anon 5\n{names[2]} 150\n")
    assert memory._of_groups(own, tmp_path) == 900 - 500 + 150
    (step.parent / names[0]).write_text("max\n")
    assert memory._of_groups(own, tmp_path) == 1000 - 300 + 150


def test_the_machine_tells_or_there_is_no_limit(monkeypatch):
    assert memory.free_memory(torch.device("cpu")) > 0

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert memory.free_memory(torch.device("cpu")) == math.inf
