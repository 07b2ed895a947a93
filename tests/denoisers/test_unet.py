"""The network: bias-free, homogeneous, locally linear, and clear about what it takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scorevid.denoisers.unet import ScaledConv, UNet, upsample2x


def network(memory=2, widths=(4, 8, 8), lateral=True, seed=0):
    """A network in double precision whose running variances are not the initial ones."""
    torch.manual_seed(seed)
    net = UNet(memory, widths, lateral).double()
    for _ in range(5):
        net(torch.rand(4, 1, 16, 16).double(), torch.rand(4, memory, 16, 16).double())
    return net.eval()


def inputs(memory=2, batch=3, size=16, seed=1):
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(batch, 1, size, size, generator=generator, dtype=torch.double)
    return y, torch.rand(batch, memory, size, size, generator=generator, dtype=torch.double)


@pytest.mark.parametrize("lateral", [True, False])
def test_homogeneous_of_degree_one_in_both_arguments(lateral):
    f, (y, c) = network(lateral=lateral), inputs()
    for a in (1e-3, 0.5, 7.0):
        torch.testing.assert_close(f(a * y, a * c), a * f(y, c), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(f(2 * y, c), 2 * f(y, c), rtol=1e-3)  # jointly, not in y alone


@pytest.mark.parametrize("lateral", [True, False])
def test_locally_linear(lateral):
    """f(y, c) = J_y y + J_c c, the derivative along the input itself."""
    f, (y, c) = network(lateral=lateral), inputs()
    value, along = torch.func.jvp(f, (y, c), (y, c))
    torch.testing.assert_close(along, value, rtol=1e-9, atol=1e-12)


def test_in_training_mode_the_statistics_scale_along():
    f, (y, c) = network().train(), inputs()
    torch.testing.assert_close(f(2 * y, 2 * c), f(y, c), rtol=1e-3, atol=1e-4)


def test_nothing_in_it_is_added():
    f = network()
    zero = torch.zeros(1, 1, 16, 16, dtype=torch.double)
    assert f(zero, zero.expand(1, 2, 16, 16)).abs().max() == 0
    assert not [name for name, _ in f.named_parameters() if "bias" in name]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
def test_scaling_the_kernel_is_scaling_the_output(bias, frozen):
    """Also its derivatives: a kernel scaled by a detached gain would leave the gain untrained."""
    torch.manual_seed(0)
    layer, x = ScaledConv(3, 4, bias).double(), torch.randn(2, 3, 8, 8).double()
    layer.norm.variance.uniform_(0.5, 2)
    layer.norm.gain.data.uniform_(0.5, 2)
    layer.norm.frozen = frozen
    layer.train(frozen)
    expected = layer.norm(layer.conv(x))
    torch.testing.assert_close(layer(x), expected)
    parameters = list(layer.parameters())
    gradients = torch.autograd.grad(expected.square().sum(), parameters)
    torch.testing.assert_close(torch.autograd.grad(layer(x).square().sum(), parameters), gradients)


def test_a_norm_that_follows_the_batch_is_not_part_of_the_kernel():
    """Its scale has to be that of the batch, which undoes a factor on the input."""
    torch.manual_seed(0)
    layer, x = ScaledConv(3, 4).double(), torch.randn(2, 3, 8, 8).double()
    assert not layer.norm.is_fixed
    torch.testing.assert_close(layer(7 * x), layer(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"bias": True}, {"normalise": False}, {"lateral": False}])
def test_weights_of_version_0_1_load(options):
    """Its blocks were rows of layers, whose numbers named the parameters: each has to come to the layer that has its place."""
    network = UNet(1, (4, 6), **options)
    place = {"0.conv": 0, "0.norm": 1, "2.conv": 3, "2.norm": 4} if network.normalise else {"0.conv": 0, "2.conv": 2}
    old = {}
    for key, value in network.state_dict().items():
        for part, layer in place.items():
            key = key.replace(f".{part}.", f".{layer}.")
        old[key] = value + 1
    again = UNet(1, (4, 6), **options)
    again.load_state_dict(old)
    for key, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[key], value + 1), key
    assert len(old) == len(network.state_dict())
    nested = nn.ModuleDict({"backbone": UNet(1, (4, 6), **options)})
    nested.load_state_dict({f"backbone.{key}": value for key, value in old.items()})


def test_lateral_connections_are_an_option():
    assert sum(p.numel() for p in network(lateral=True).parameters()) > sum(
        p.numel() for p in network(lateral=False).parameters()
    )


@settings(max_examples=20, deadline=None)
@given(
    memory=st.integers(0, 3),
    scales=st.integers(1, 3),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    batch=st.integers(1, 3),
)
def test_frames_of_any_divisible_size(memory, scales, height, width, batch):
    f = UNet(memory, (4,) * scales).eval()
    step = 2 ** (scales - 1)
    y, c = torch.rand(batch, 1, height * step, width * step), torch.rand(batch, memory, height * step, width * step)
    assert f(y, c).shape == y.shape


@pytest.mark.parametrize(
    ("y", "c", "message"),
    [
        (torch.rand(2, 16, 16), torch.rand(2, 2, 16, 16), "y must be"),
        (torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16), r"c must be \(2, 2, 16, 16\)"),
        (torch.rand(2, 1, 16, 16), torch.rand(1, 2, 16, 16), "c must be"),
        (torch.rand(2, 1, 18, 16), torch.rand(2, 2, 18, 16), "multiples of 4"),
        (torch.ones(2, 1, 16, 16).int(), torch.ones(2, 2, 16, 16).int(), "grey levels"),
    ],
)
def test_input_that_does_not_fit_is_refused(y, c, message):
    with pytest.raises(ValueError, match=message):
        UNet(2, (4, 4, 4))(y, c)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("height,width", [(1, 1), (2, 3), (8, 4)])
def test_doubling_written_out_for_the_compiler_is_the_interpolation(height, width, monkeypatch):
    x = torch.randn(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_(True)
    found = [upsample2x(x)]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found.append(upsample2x(x))
    assert torch.allclose(*found, atol=1e-12)
    weights = torch.randn(found[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(*(torch.autograd.grad((y * weights).sum(), x)[0] for y in found), atol=1e-12)
