"""The network: bias-free, homogeneous, locally linear, and clear about what it takes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.denoisers.normalisation import Scaling
from scorevid.denoisers.unet import Block, UNet, double


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
@pytest.mark.parametrize("settled", [True, False])
def test_a_settled_scaling_of_the_kernel_is_that_of_what_comes_out(bias, settled):
    torch.manual_seed(0)
    block, x = Block(3, 4, bias).double(), torch.randn(2, 3, 8, 8).double()
    for scaling in (block[1], block[4]):
        scaling.variance.uniform_(0.5, 2)
        scaling.gain.data.uniform_(0.5, 2)
        scaling.settled = settled
    block.train(settled)
    one_by_one = x
    for layer in block:
        one_by_one = layer(one_by_one)
    torch.testing.assert_close(block(x), one_by_one)
    parameters = list(block.parameters())
    due = torch.autograd.grad(one_by_one.square().sum(), parameters)
    torch.testing.assert_close(torch.autograd.grad(block(x).square().sum(), parameters), due)


def test_a_scaling_that_follows_the_batch_is_not_of_the_kernel():
    torch.manual_seed(0)
    block, x = Block(3, 4).double(), torch.randn(2, 3, 8, 8).double()
    assert not any(m.is_fixed for m in block if isinstance(m, Scaling))
    torch.testing.assert_close(block(7 * x), block(x), rtol=1e-3, atol=1e-4)


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
    found = [double(x)]
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found.append(double(x))
    assert torch.allclose(*found, atol=1e-12)
    weights = torch.randn(found[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(*(torch.autograd.grad((y * weights).sum(), x)[0] for y in found), atol=1e-12)
