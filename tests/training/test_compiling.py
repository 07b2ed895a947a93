"""Finding gradients that a compiler has lost."""

import pytest
import torch

from scorevid.training.compiling import lost_gradients

NAMED = [("kept", torch.nn.Parameter(torch.tensor([1.0, -2.0]))), ("other", torch.nn.Parameter(torch.tensor(3.0)))]
BATCH = (torch.tensor([0.5, 2.0]),)


def loss(x, share=1.0):
    (_, kept), (_, other) = NAMED
    return ((kept * x - other.detach() * (1 - share) - other * share) ** 2).sum()


def test_the_same_loss_loses_nothing():
    assert lost_gradients(loss, loss, NAMED, BATCH) == []


@pytest.mark.parametrize(
    ("share", "lost"), [(0.0, ["other"]), (0.01, ["other"]), (0.5, []), (float("nan"), ["kept", "other"])]
)
def test_what_is_short_beside_the_eager_gradient_or_not_finite_is_lost(share, lost):
    assert lost_gradients(loss, lambda x: loss(x, share), NAMED, BATCH) == lost


def test_noise_as_large_as_the_gradient_is_not_a_loss():
    turned = lambda x: loss(x) - 2 * (NAMED[0][1] * torch.autograd.grad(loss(x), NAMED[0][1])[0]).sum()  # noqa: E731
    assert lost_gradients(loss, turned, NAMED, BATCH) == []


def test_gradients_that_are_zero_anyway_are_not_lost():
    flat = lambda x: 0 * loss(x)  # noqa: E731
    assert lost_gradients(flat, flat, NAMED, BATCH) == []


def test_a_parameter_without_part_in_the_loss_and_a_frozen_one_are_no_trouble():
    frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    idle = torch.nn.Parameter(torch.ones(2))
    assert lost_gradients(loss, loss, [*NAMED, ("frozen", frozen), ("idle", idle)], BATCH) == []


def test_kept_gradients_stay():
    NAMED[0][1].grad = torch.tensor([7.0, 7.0])
    lost_gradients(loss, loss, NAMED, BATCH)
    assert NAMED[0][1].grad.tolist() == [7.0, 7.0]
    assert NAMED[1][1].grad is None
    NAMED[0][1].grad = None
