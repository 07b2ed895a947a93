"""Where a channel answers most strongly: found on a channel whose answer is known."""

import pytest
import torch
from torch import nn

from scorevid.measures.representations.driving import driving_patches


class Copies(nn.Module):
    """One block at half the resolution: channel 0 is the last past frame, channel 1 is zero."""

    needs_sigma = False

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 2, 3, 2, padding=1, bias=False), nn.ReLU())])
        self.encoder[0][0].weight.data.zero_()[0, 1, 1, 1] = 1
        self.eval().requires_grad_(False)

    def forward(self, y, c, sigma=None):
        self.encoder[0](torch.cat([c, y], 1))
        return y


def scene(at, height):
    c = torch.full((3, 2, 16, 16), 0.2)
    for k, ((i, j), h) in enumerate(zip(at, height, strict=True)):
        c[k, 1, i, j] = h
    return c, torch.full((3, 1, 16, 16), 0.7)


def test_the_strongest_places_come_first_with_what_is_about_them():
    """Would catch rows taken for columns, a scale left out, and a shift of the patch."""
    c, x = scene([(4, 10), (12, 0), (2, 6)], [0.8, 0.95, 0.5])
    found = driving_patches(Copies(), "encoder.0", 0, c, x, 0.1, generator=None, n=2, size=8)
    assert found.scene.tolist() == [1, 0] and found.activation.tolist() == pytest.approx([0.95, 0.8])
    assert (found.row - torch.tensor([12, 4])).abs().max() <= 1 and (
        found.column - torch.tensor([0, 10])
    ).abs().max() <= 1
    assert found.patches.shape == (2, 3, 8, 8)
    assert found.patches[0, 1].max() == pytest.approx(0.95) and found.patches[0, 1, :, 0].eq(0.5).all()  # outside: grey
    peak = found.patches[1, 1] == c[0, 1, 4, 10]
    assert peak.nonzero().tolist() == [[4 - int(found.row[1]) + 4, 10 - int(found.column[1]) + 4]]
    assert found.patches[1, 2].eq(0.7).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [({"channel": 2}, "channel"), ({"block": "encoder.7"}, "blocks"), ({"n": 4}, "n must be"), ({"size": 1}, "size")],
)
def test_what_does_not_fit_is_refused(change, message):
    c, x = scene([(4, 10), (12, 0), (2, 6)], [0.8, 0.95, 0.5])
    given = {"block": "encoder.0", "channel": 0, "n": 1, "size": 8} | change
    block, channel = given.pop("block"), given.pop("channel")
    with pytest.raises(ValueError, match=message):
        driving_patches(Copies(), block, channel, c, x, 0.1, generator=None, **given)
