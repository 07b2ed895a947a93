"""Muon on kernels: PyTorch's own, but in single precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scorevid.optimisers import KernelMuon, make_optimiser, orthogonal

SIDES = st.integers(1, 40)


@settings(deadline=None)
@given(SIDES, SIDES, st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_singular_vectors_stay_and_singular_values_come_near_one(height, width, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(height, width, generator=generator, dtype=torch.float64)
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    mapped = u.mT @ orthogonal([scale * matrix])[0] @ v.mT
    torch.testing.assert_close(mapped, torch.diag(mapped.diagonal()), atol=1e-9, rtol=0)
    plainly = s / s.norm() > 0.02  # from smaller ones five steps do not get as far as one
    assert ((mapped.diagonal()[plainly] > 0.5) & (mapped.diagonal()[plainly] < 1.3)).all()


def test_zero_stays_zero():
    assert torch.equal(orthogonal([torch.zeros(3, 5)])[0], torch.zeros(3, 5))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_updates_are_those_of_pytorch_without_its_rounding(layout, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (64, 2, 3, 3), (4, 8, 1, 1)]
    kernels = [nn.Parameter(torch.randn(s, generator=generator).to(memory_format=layout)) for s in shapes]
    columns = (0, 2, 3, 1) if layout == torch.channels_last else (0, 1, 2, 3)
    theirs = [nn.Parameter(k.detach().permute(columns).flatten(1).clone()) for k in kernels]
    ours, reference = KernelMuon(kernels, 0.02), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0)
    for _ in range(4):
        for kernel, matrix in zip(kernels, theirs, strict=True):
            kernel.grad = torch.randn(kernel.shape, generator=generator)
            matrix.grad = kernel.grad.permute(columns).flatten(1).clone()
        ours.step()
        reference.step()
    for kernel, matrix in zip(kernels, theirs, strict=True):
        torch.testing.assert_close(kernel.permute(columns).flatten(1), matrix, rtol=1e-5, atol=1e-6)


def test_momentum_is_kept_with_the_state():
    kernel = nn.Parameter(torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    other = nn.Parameter(kernel.detach().clone())
    first, second = KernelMuon([kernel], 0.1), KernelMuon([other], 0.1)
    for optimiser, weights in ((first, kernel), (first, kernel), (second, other)):
        if optimiser is second:
            other.data.copy_(kernel)
            second.load_state_dict(first.state_dict())
        weights.grad = torch.ones_like(weights)
        optimiser.step()
    kernel.grad = torch.ones_like(kernel)
    first.step()
    torch.testing.assert_close(kernel, other)


def test_gains_and_kernels_of_one_channel_are_left_to_adam():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    muon, adam = make_optimiser(network, "muon", 1e-3, 2e-2)
    assert [k.shape for k in muon.kernels] == [(4, 4, 3, 3)]
    assert (
        sum(p.numel() for g in adam.param_groups for p in g["params"])
        == sum(p.numel() for p in network.parameters()) - 4 * 4 * 9
    )
    with pytest.raises(ValueError, match="'adam' or 'muon', got 'sgd'"):
        make_optimiser(network, "sgd", 1e-3, 2e-2)
