"""Muon on kernels: PyTorch's own, but in single precision."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scorevid.training.optimisers import KernelMuon, make_optimiser, orthogonal

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


def test_matrices_of_one_size_are_taken_together_and_not_mixed_up():
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 27), (4, 9), (54, 8), (8, 8), (9, 4), (8, 100)]
    matrices = [torch.randn(s, generator=generator) for s in shapes]
    for found, matrix in zip(orthogonal(matrices), matrices, strict=True):
        assert found.shape == matrix.shape
        torch.testing.assert_close(found, orthogonal([matrix])[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(8, 72), (32, 288), (576, 64)])
def test_single_precision_is_enough_for_matrices_of_nearly_one_rank(shape):
    generator = torch.Generator().manual_seed(0)
    height, width = shape
    matrix = torch.randn(height, 1, generator=generator) * torch.randn(1, width, generator=generator)
    matrix += 1e-3 * torch.randn(shape, generator=generator)
    found, exact = orthogonal([matrix])[0], orthogonal([matrix.double()])[0]
    assert torch.linalg.matrix_norm(exact, 2) < 1.3
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-3)


def test_what_single_precision_is_needed_for_is_refused_in_less():
    with pytest.raises(ValueError, match=r"fp32 or fp64, got .* torch\.bfloat16"):
        orthogonal([torch.ones(2, 2, dtype=torch.bfloat16)])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_updates_are_those_of_pytorch_without_its_rounding(layout, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 3, 3, 3), (8, 6, 3, 3), (72, 8, 1, 1), (64, 2, 3, 3), (4, 8, 1, 1)]
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
    generator = torch.Generator().manual_seed(0)
    start, *gradients = torch.randn(4, 4, 4, 3, 3, generator=generator).unbind(0)
    kernel = nn.Parameter(start)
    first = KernelMuon([kernel], 0.1)
    for gradient in gradients[:2]:
        kernel.grad = gradient.clone()
        first.step()
    middle, state = kernel.detach().clone(), copy.deepcopy(first.state_dict())
    ends = []
    for kept in (True, False):
        again = nn.Parameter(middle.clone())
        second = KernelMuon([again], 0.1)
        if kept:
            second.load_state_dict(state)
        again.grad = gradients[2].clone()
        second.step()
        ends.append(again.detach())
    kernel.grad = gradients[2].clone()
    first.step()
    torch.testing.assert_close(kernel.detach(), ends[0])
    assert not torch.allclose(kernel, ends[1], atol=1e-3)


def test_gains_and_kernels_of_one_channel_are_left_to_adam():
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3))
    muon, adam = make_optimiser(network, "muon", 1e-3, 2e-2)
    assert [k.shape for k in muon.kernels] == [(4, 4, 3, 3)]
    assert (
        sum(p.numel() for g in adam.param_groups for p in g["params"])
        == sum(p.numel() for p in network.parameters()) - 4 * 4 * 9
    )
    with pytest.raises(ValueError, match="adam, muon, got 'sgd'"):
        make_optimiser(network, "sgd", 1e-3, 2e-2)
