"""Activations: every network of the package is read, exactly, and left as it was."""

import copy

import pytest
import torch
from torch import nn

from scorevid.denoisers.conditioned import Preconditioned, Regression
from scorevid.denoisers.predictors import ConvLSTM, SimVP
from scorevid.denoisers.recurrent import Recurrent
from scorevid.denoisers.unet import UNet
from scorevid.measures.representations import active_sets, block_names, channel_averages, rectifiers
from scorevid.measures.representations.activations import hooked

WIDTHS = (4, 6)
NETWORKS = {
    "unet": lambda: UNet(2, WIDTHS),
    "edm": lambda: Preconditioned(2, WIDTHS),
    "regression": lambda: Regression(2, WIDTHS),
    "recurrent": lambda: Recurrent(2, WIDTHS),
    "convlstm": lambda: ConvLSTM(2, WIDTHS),
    "simvp": lambda: SimVP(2, WIDTHS, hidden=8, blocks=2),
}
BLOCKS = {
    "unet": ["encoder.0", "encoder.1", "decoder.0"],
    "edm": ["backbone.encoder.0", "backbone.encoder.1", "backbone.decoder.0"],
    "regression": ["backbone.encoder.0", "backbone.encoder.1", "backbone.decoder.0"],
    "recurrent": ["backbone.encoder.0", "backbone.encoder.1", "backbone.decoder.0"],
    "convlstm": ["encoder.0", "encoder.1", "cells.0", "cells.1", "decoder.0"],
    "simvp": ["encoder.0", "encoder.1", "translator.0", "translator.1", "decoder.0"],
}


def made(name):
    torch.manual_seed(0)
    return NETWORKS[name]().eval()


def scenes(n=5, size=8):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 2, size, size, generator=generator), torch.rand(n, 1, size, size, generator=generator)


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


class Copies(nn.Module):
    """Answers y; its only block has the channels y, 2y and the last past frame."""

    memory = 2

    def __init__(self):
        super().__init__()
        convolution = nn.Conv2d(2, 3, 3, padding=1, bias=False)
        with torch.no_grad():
            convolution.weight.zero_()
            convolution.weight[:, :, 1, 1] = torch.tensor([[1.0, 0], [2, 0], [0, 1]])
        self.blocks = nn.ModuleList([nn.Sequential(convolution)])

    def forward(self, y, c, sigma=None):
        self.blocks[0](torch.cat([y, c[:, -1:]], 1))
        return y


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_its_blocks_and_is_not_changed(name):
    """Would catch a network that cannot be read, a batch that is mixed up with frames, and a hook that stays or changes it."""
    network, (c, x) = made(name), scenes()
    before, answer = copy.deepcopy(network.state_dict()), network(x, c, 0.5)
    found = channel_averages(network, c, x, 0.5, generator=seeded())
    sets = active_sets(network, c, x, 0.5, generator=seeded())
    assert list(found) == list(sets) == block_names(network) == BLOCKS[name]
    assert all(len(phi) == 5 and phi.ndim == 2 and phi.isfinite().all() for phi in found.values())
    assert all(len(active) == 5 and active.dtype == torch.bool for active in sets.values())
    torch.testing.assert_close(network(x, c, 0.5), answer, rtol=0, atol=0)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules()) and not network.training


@pytest.mark.parametrize("name", NETWORKS)
def test_a_scene_is_answered_by_itself(name):
    """Would catch averages of one scene that depend on the others, or on how many go through at once; y is not noisy here."""
    network, (c, x) = made(name), scenes()
    whole, pieces = (channel_averages(network, c, x, 1e-9, generator=seeded(), batch=batch) for batch in (5, 2))
    for block, phi in whole.items():
        torch.testing.assert_close(phi, pieces[block], rtol=1e-5, atol=1e-6)


def test_averages_are_those_of_the_noisy_frames():
    """The channels are known: would catch a mean over wrong axes, wrong noise, and draws that are not averaged."""
    network, (c, x) = Copies().eval(), scenes()
    found = channel_averages(network, c, x, 0.3, generator=seeded(), draws=3)["blocks.0"]
    generator = seeded()
    y = torch.stack([x + 0.3 * torch.randn(x.shape, generator=generator) for _ in range(3)]).mean((0, 2, 3, 4))
    torch.testing.assert_close(found, torch.stack([y, 2 * y, c[:, 1].mean((1, 2))], 1))
    without = channel_averages(network, c, x, 0.3, generator=None)["blocks.0"]
    torch.testing.assert_close(without[:, 0], x.mean((1, 2, 3)))


def test_averages_over_a_part_of_the_frame():
    network, (c, x) = Copies().eval(), scenes()
    where = torch.zeros_like(x)
    where[:, :, 2, 3], where[:, :, 4, 4] = 3.0, 1.0
    found = channel_averages(network, c, x, 1e-9, generator=seeded(), where=where)["blocks.0"]
    torch.testing.assert_close(found[:, 2], (3 * c[:, 1, 2, 3] + c[:, 1, 4, 4]) / 4)
    even = channel_averages(network, c, x, 1e-9, generator=seeded(), where=torch.ones_like(x))["blocks.0"]
    torch.testing.assert_close(even, channel_averages(network, c, x, 1e-9, generator=seeded())["blocks.0"])


def test_bare_convolutions_count_with_the_relu_that_follows():
    """Would catch negative activations of ConvLSTM, whose ReLUs are no modules."""
    network, (c, x) = made("convlstm"), scenes()
    found = channel_averages(network, c, x, 1.0, generator=seeded())
    assert all((phi >= 0).all() for block, phi in found.items() if not block.startswith("cells"))
    first = torch.relu(network.encoder[0]((c - 0.5).flatten(0, 1)[:, None])).mean((2, 3)).unflatten(0, (5, 2)).mean(1)
    torch.testing.assert_close(found["encoder.0"], first)


def test_the_active_sets_of_all_rectifiers_give_the_answer():
    """A bias-free ReLU network is linear while its active sets stay: they are scale-free, and every ReLU is among them."""
    network, (c, x) = made("unet"), scenes()
    names = rectifiers(network)
    assert len(names) == 2 * len(block_names(network))
    one = active_sets(network, c, x, 0.5, generator=seeded(), blocks=names)
    twice = active_sets(network, 2 * c, 2 * x, 1.0, generator=seeded(), blocks=names)
    assert all(torch.equal(one[name], twice[name]) for name in names)
    assert [one[name].shape[1] for name in names] == [256, 256, 96, 96, 256, 256]


def test_hooks_are_removed_after_an_error():
    network, (c, x) = made("unet"), scenes()

    def fail(name, output):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"), hooked(network, fail, ["encoder.0"]):
        network(x, c)
    with pytest.raises(ValueError, match="blocks must be one of"), hooked(network, fail, ["encoder.0", "attic"]):
        pass
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    "change, message",
    [
        ({"sigma": 0.0}, "sigma"),
        ({"draws": 0}, "draws"),
        ({"batch": 0}, "batch"),
        ({"blocks": ["attic"]}, "blocks"),
        ({"blocks": []}, "blocks"),
        ({"where": torch.zeros(5, 1, 8, 8)}, "weights"),
        ({"where": torch.ones(5, 1, 4, 4)}, "where"),
        ({"x": torch.rand(4, 1, 8, 8)}, "c must be"),
        ({"generator": 0}, "generator"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    c, x = scenes()
    arguments = {"c": c, "x": x, "sigma": 0.5, "generator": seeded()} | change
    with pytest.raises(ValueError, match=message):
        channel_averages(made("unet"), **arguments)


def test_training_mode_and_modules_that_do_not_run_are_refused():
    c, x = scenes()
    with pytest.raises(ValueError, match="training mode"):
        channel_averages(made("unet").train(), c, x, 0.5, generator=seeded())
    network = made("unet")
    network.spare = nn.Conv2d(1, 1, 3)
    with pytest.raises(ValueError, match="modules that run"):
        channel_averages(network, c, x, 0.5, generator=seeded(), blocks=["spare"])
