"""The picture of the network tells the shapes that pass through it."""

import matplotlib.pyplot as plt
import pytest
import torch

from scorevid.companion.diagram import draw_network, shapes
from scorevid.denoisers.unet import UNet


@pytest.mark.parametrize("widths", [(4,), (4, 6), (3, 5, 7, 9)])
def test_shapes_are_those_that_pass_through(widths):
    network = UNet(2, widths).train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    found = shapes(network, 16, 24)
    assert found["in"] == (3, 16, 24) and found["out"] == (1, 16, 24)
    for k, channels in enumerate(widths):
        due = (channels, 16 >> k, 24 >> k)
        assert found[f"encoder.{k}"] == due
        if k < len(widths) - 1:
            assert found[f"decoder.{k}"] == due
    assert len(found) == 2 * len(widths) + 1
    assert network.training and all(torch.equal(v, network.state_dict()[k]) for k, v in before.items())
    assert not any(module._forward_hooks for module in network.modules())


def test_frames_that_do_not_fit_are_refused_and_leave_no_trace():
    network = UNet(1, (4, 8)).train()
    with pytest.raises(ValueError, match="multiples of 2"):
        shapes(network, 5, 4)
    assert network.training and not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("lateral", [True, False])
def test_the_picture_names_what_goes_in_and_out_and_what_is_handed_over(lateral):
    figure = draw_network(UNet(2, (4, 6, 8), lateral=lateral), 8, 8)
    told = [text.get_text() for text in figure.axes[0].texts]
    assert {"y and c\n3 × 8 × 8", "f(y, c)\n1 × 8 × 8", "8 channels\n2 × 2"} <= set(told)
    assert ("features handed over" in told) == lateral
    assert draw_network(UNet(0, (4,)), 8, 8).axes[0].texts[0].get_text() == "y\n1 × 8 × 8"
    plt.close("all")
