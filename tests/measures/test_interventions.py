"""Steering and ablation: what is changed is changed, by as much as is asked, and only within the context."""

import pytest
import torch

from scorevid.denoisers.predictors import ConvLSTM
from scorevid.denoisers.unet import UNet
from scorevid.measures.representations import ablated, channel_averages, effect, steered


@pytest.fixture
def network():
    torch.manual_seed(0)
    return UNet(2, (4, 6)).eval().requires_grad_(False)


def scenes(n=3, size=8):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 1, size, size, generator=generator), torch.rand(n, 2, size, size, generator=generator)


def averages(network, y, c):
    return channel_averages(network, c, y, 1e-9, generator=torch.Generator().manual_seed(1))


def test_the_last_block_is_steered_by_what_its_convolution_makes_of_the_direction(network):
    """After decoder.0 everything is linear: would catch a direction along a wrong axis, and a wrong amount."""
    y, c = scenes()
    direction = torch.tensor([0.1, -0.2, 0.3, 0.5])
    before, after = effect(steered(network, "decoder.0", direction, -2.0), network, y, c)
    expected = network.out((-2 * direction)[None, :, None, None].expand(3, 4, 8, 8))
    torch.testing.assert_close(after - before, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(network(y, c), before, rtol=0, atol=0)
    assert not any(m._forward_hooks for m in network.modules())


def test_ablated_channels_are_zero_or_average_and_others_as_they_were(network):
    y, c = scenes()
    free = averages(network, y, c)
    with ablated(network, {"encoder.1": [0, 4], "decoder.0": [1]}):
        found = averages(network, y, c)
    assert (found["encoder.1"][:, [0, 4]] == 0).all() and (found["decoder.0"][:, 1] == 0).all()
    torch.testing.assert_close(found["encoder.1"][:, [1, 2, 3, 5]], free["encoder.1"][:, [1, 2, 3, 5]])
    torch.testing.assert_close(found["encoder.0"], free["encoder.0"])
    means = {"encoder.1": free["encoder.1"].mean(0)}
    with ablated(network, {"encoder.1": [2]}, means):
        found = averages(network, y, c)
    torch.testing.assert_close(found["encoder.1"][:, 2], means["encoder.1"][2].expand(3))


def test_nothing_is_changed_by_a_direction_of_zero_or_no_channels(network):
    y, c = scenes()
    for change in (steered(network, "encoder.0", torch.zeros(4)), ablated(network, {"encoder.0": []})):
        before, after = effect(change, network, y, c)
        assert torch.equal(before, after)


def test_cells_of_another_network_are_ablated_along_their_own_axis():
    """ConvLSTM's cells answer (B, M, C, H, W); without any state it predicts what its biases say, of every scene the same."""
    torch.manual_seed(0)
    network = ConvLSTM(2, (4, 6)).eval().requires_grad_(False)
    y, c = scenes()
    change = ablated(network, {"cells.0": range(6), "cells.1": range(6)})
    before, after = effect(change, network, y, c)
    torch.testing.assert_close(after, after[:1].expand_as(after))
    assert not torch.allclose(before, before[:1].expand_as(before))


def test_what_does_not_fit_is_refused_and_leaves_no_hook(network):
    y, c = scenes()
    with pytest.raises(ValueError, match="blocks must be one of"):
        effect(steered(network, "attic", torch.ones(4)), network, y, c)
    with pytest.raises(ValueError, match="4 channels, got 5"):
        effect(steered(network, "encoder.0", torch.ones(5)), network, y, c)
    with pytest.raises(ValueError, match="direction"):
        effect(steered(network, "encoder.0", torch.full((4,), torch.nan)), network, y, c)
    with pytest.raises(ValueError, match="less than 4"):
        effect(ablated(network, {"encoder.0": [4]}), network, y, c)
    with pytest.raises(ValueError, match="0 or more"):
        effect(ablated(network, {"encoder.0": [-1]}), network, y, c)
    with pytest.raises(ValueError, match="means"):
        effect(ablated(network, {"encoder.0": [1]}, {}), network, y, c)
    with pytest.raises(ValueError, match="training mode"):
        effect(steered(network, "encoder.0", torch.ones(4)), network.train(), y, c)
    assert not any(m._forward_hooks for m in network.modules())
