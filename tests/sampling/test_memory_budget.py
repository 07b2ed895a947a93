"""As many frames at once as fit, and the same samples however many that are."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from scorevid.denoisers.unet import UNet
from scorevid.sampling import ascend, solve
from scorevid.sampling import memory_budget as memory
from scorevid.sampling.memory_budget import frames_at_once

MIB = 2**20


class Hungry(nn.Module):
    """Takes 1 MiB of new memory a frame, in two pieces; counts the frames of each evaluation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, y, c):
        self.seen.append(len(y))
        kept = torch.zeros(len(y), MIB // 8).flatten()  # a view is no new memory
        return (kept + 1).view(len(y), -1)[:, : y[0].numel()].view_as(y)


def frames(n):
    return torch.zeros(n, 1, 8, 8), torch.zeros(n, 2, 8, 8)


@pytest.mark.parametrize("mib, due", [(8.5, 4), (1e6, 9), (0, 1)])
def test_half_of_what_is_free_is_filled(monkeypatch, mib, due):
    monkeypatch.setattr(memory, "free_memory", lambda device: mib * MIB)
    monkeypatch.setattr(memory, "PER_CHANNEL", MIB)
    f = Hungry()
    assert frames_at_once(f, *frames(9), 1.0) == due
    assert f.seen == ([] if due == 9 else [1])


def test_a_network_is_not_evaluated_where_memory_is_no_question():
    f = Hungry()
    assert frames_at_once(f, *frames(9), 1.0) == 9 and f.seen == []


def test_what_a_network_needs_is_measured_within_its_bounds(monkeypatch):
    """At least what its widest layer gives out, at most four times all that its convolutions do."""
    monkeypatch.setattr(memory, "free_memory", lambda device: 64 * MIB)
    monkeypatch.setattr(memory, "PER_CHANNEL", MIB)
    widest, all_ = 32 * 32 * 4 * 4, (2 * 4 + 2 * 4 + 2 * 8 / 4 + 1) * 32 * 32 * 4
    fit = frames_at_once(UNet(2, (4, 8)).eval(), torch.zeros(10**5, 1, 32, 32), torch.zeros(10**5, 2, 32, 32), 1.0)
    assert 32 * MIB / (4 * all_) < fit < 32 * MIB / widest


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
    monkeypatch.setattr(memory, "PER_CHANNEL", 1e9)
    monkeypatch.setattr(memory, "free_memory", lambda device: 0.1 * MIB)
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
