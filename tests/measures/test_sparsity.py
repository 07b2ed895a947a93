"""Measures of sparsity, on averages of which they are known."""

import pytest
import torch

from scorevid.denoisers.unet import UNet
from scorevid.measures.representations import active_fraction, gini, participation_ratio, sparsity_curve

MEASURES = (active_fraction, participation_ratio, gini)


@pytest.mark.parametrize("channels", [4, 50])
def test_one_channel_and_equal_channels(channels):
    """Would catch ratios that are not shares of the channels, and a Gini coefficient of wrong rank or sign."""
    one = torch.zeros(1, channels)
    one[0, 2] = 0.3
    assert [m(one).item() for m in MEASURES] == pytest.approx([1 / channels, 1 / channels, 1 - 1 / channels])
    assert [m(torch.full((1, channels), 7.0)).item() for m in MEASURES] == pytest.approx([1, 1, 0])


def test_exponential_averages_have_one_half():
    n = 100_000
    phi = -torch.log1p(-(torch.arange(n, dtype=torch.float64) + 0.5) / n)[None]  # its quantiles
    assert participation_ratio(phi).item() == pytest.approx(0.5, abs=1e-3)
    assert gini(phi).item() == pytest.approx(0.5, abs=1e-3)


def test_scale_sign_and_order_do_not_matter():
    phi = torch.rand(6, 9, generator=torch.Generator().manual_seed(0))
    for measure in MEASURES:
        torch.testing.assert_close(measure(-3 * phi.flip(1)), measure(phi))


def test_sparsity_of_a_network_by_level_and_block():
    """Would catch levels and blocks in the wrong order, and intervals that are not over scenes."""
    torch.manual_seed(0)
    network, generator = UNet(2, (4, 6)).eval(), torch.Generator().manual_seed(0)
    c, x = torch.rand(12, 2, 8, 8, generator=generator), torch.rand(12, 1, 8, 8, generator=generator)
    found = sparsity_curve(network, c, x, (0.1, 1.0), generator=generator)
    assert [(s.sigma, s.block, s.channels) for s in found[:4]] == [
        (0.1, "encoder.0", 4),
        (0.1, "encoder.1", 6),
        (0.1, "decoder.0", 4),
        (1.0, "encoder.0", 4),
    ]
    for s in found:
        for estimate in (s.active_fraction, s.participation_ratio, s.gini):
            assert 0 <= estimate.low <= estimate.value <= estimate.high and estimate.n == 12 and estimate.kind == "t"


@pytest.mark.parametrize("phi", [torch.rand(3), torch.full((2, 3), torch.nan), torch.zeros(2, 0), [[1.0]]])
def test_what_are_no_averages_is_refused(phi):
    for measure in MEASURES:
        with pytest.raises(ValueError, match="phi must be"):
            measure(phi)
