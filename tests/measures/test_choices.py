"""Choices between futures: found and counted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scorevid.estimates import wilson
from scorevid.measures.choices import (
    BLEND,
    blend_share,
    choose,
    classify,
    coordinates,
    count_choices,
    first_probability,
    places,
    projection,
    rendering_error,
    tally,
)
from scorevid.worlds.futures import Futures


def pair(batch=4, size=6, seed=0, padding=1):
    """Scenes with two futures, padded by improbable ones, behind them or (in the last scene) before them."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(batch, 2 + padding, size, size, generator=generator, dtype=torch.float64)
    p = torch.rand(batch, 1, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    p = torch.cat([p, 1 - p, p.new_zeros(batch, padding)], 1)
    p[-1] = p[-1].roll(padding)
    return Futures(frames, p), torch.stack([f[q > 0] for f, q in zip(frames, p, strict=True)])


def test_samples_are_placed_between_the_futures():
    ahead, two = pair()
    share = torch.tensor([0.0, 0.2, 0.5, 1.0, 1.3])
    x_hat = two[:, 1:] + share[:, None, None] * (two[:, :1] - two[:, 1:])
    torch.testing.assert_close(projection(x_hat, ahead), share.double().expand(4, 5))
    assert rendering_error(x_hat, ahead).max() < 1e-20
    torch.testing.assert_close(
        first_probability(ahead), torch.cat([ahead.probabilities[:3, 0], ahead.probabilities[3:, 1]])
    )
    assert classify(projection(x_hat, ahead)).tolist() == [[1, 1, BLEND, 0, 0]] * 4


def test_errors_of_rendering_do_not_move_the_choice():
    ahead, two = pair()
    noise = 0.3 * torch.randn(4, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    difference = two[:, :1] - two[:, 1:]
    along = (noise * difference).sum((2, 3), keepdim=True) / difference.square().sum((2, 3), keepdim=True)
    across = noise - along * difference
    torch.testing.assert_close(projection(two + across, ahead), torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64))
    expected = across.square().mean((2, 3)).expand(4, 2)
    torch.testing.assert_close(rendering_error(two + across, ahead), expected)
    torch.testing.assert_close(rendering_error(two + noise, ahead), expected)


def test_places_tell_a_blend_from_a_patchwork_and_count_the_likelier_future():
    ahead, two = pair(size=8)
    ahead.probabilities[0] = torch.tensor([0.5, 0.5, 0.0])  # even odds: neither future is the likelier
    difference = two[:, :1] - two[:, 1:]
    half = torch.zeros_like(difference, dtype=torch.bool)
    for scene, squares in zip(half, difference.square(), strict=True):  # pixels with half of the squared distance
        order = squares.flatten().argsort()
        scene.view(-1)[order[squares.flatten()[order].cumsum(0) <= squares.sum() / 2]] = True
    patchwork = torch.where(half, two[:, :1], two[:, 1:])
    found = places(torch.cat([two, two.mean(1, keepdim=True), patchwork], 1), ahead)
    assert found.between == wilson(8, 16)
    assert found.likelier == wilson(3, 6)  # of each of three scenes one answer is right and one is wrong
    assert found.beside[:, :3].max() < 1e-12
    torch.testing.assert_close(found.beside[:, 3], torch.full((4,), 0.5, dtype=torch.float64), atol=0.02, rtol=0)
    torch.testing.assert_close(found.u, projection(torch.cat([two, two.mean(1, keepdim=True), patchwork], 1), ahead))


def test_counts():
    counts = count_choices(torch.tensor([[0.0, 0.9, 1.1, 0.5], [0.3, 0.4, 0.5, 0.6]]))
    assert (counts.first.tolist(), counts.second.tolist(), counts.blends.tolist()) == ([2, 0], [1, 0], [1, 4])
    assert counts.blend_rate() == 5 / 8


def test_bad_input_is_refused():
    ahead, two = pair()
    for wrong in (two[:3], two[..., 1:], two[:, 0]):
        with pytest.raises(ValueError, match="x_hat must be"):
            projection(wrong, ahead)
    three = Futures(ahead.frames, torch.full((4, 3), 1 / 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="4 of 4"):
        projection(two, three)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_between_two_futures_choosing_is_classifying(seed):
    ahead, two = pair(seed=seed)
    generator = torch.Generator().manual_seed(seed)
    share = 1.6 * torch.rand(4, 40, 1, 1, generator=generator, dtype=torch.float64) - 0.3
    x_hat = two[:, 1:] + share * (two[:, :1] - two[:, 1:])
    x_hat = x_hat + 0.1 * torch.randn(4, 40, 6, 6, generator=generator, dtype=torch.float64)
    old = classify(projection(x_hat, ahead))
    old[-1] = torch.where(old[-1] == BLEND, BLEND, old[-1] + 1)  # an impossible future comes first there
    assert torch.equal(choose(x_hat, ahead), old)


def corners():
    """Two meetings at once, far from each other: four futures at the corners of a rectangle, and an impossible one."""
    frames = torch.zeros(1, 5, 6, 6)
    for k, (up, left) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        frames[0, k, 0, :3], frames[0, k, 4, :2] = float(up), 0.5 * left
    frames[0, 4] = 0.25
    return Futures(frames, torch.tensor([[0.3, 0.2, 0.1, 0.4, 0.0]]))


def test_a_sample_chooses_among_many_futures_only_if_it_is_decided_in_every_respect():
    ahead = corners()
    a, b, c, d = ahead.frames[0, :4]
    noise = torch.zeros(6, 6)
    noise[2] = 3.0  # where the futures agree
    for k in range(4):
        x_hat = torch.stack([ahead.frames[0, k], ahead.frames[0, k] + noise, 0.9 * ahead.frames[0, k] + 0.1 * a])
        assert choose(x_hat[None], ahead).tolist() == [[k] * 3]
    undecided = torch.stack([(a + b) / 2, (a + c) / 2, (a + b + c + d) / 4, 0.6 * d + 0.4 * c, 0.7 * a + 0.3 * d])
    assert choose(undecided[None], ahead).tolist() == [[BLEND] * 5]
    assert choose(ahead.frames[:, 4:], ahead).tolist() == [[BLEND]]  # the impossible one is between the others
    line = Futures(torch.tensor([0.0, 0.5, 1.0]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2), torch.full((1, 3), 1 / 3))
    at = torch.tensor([-1.0, 0.1, 0.13, 0.37, 0.4, 0.6, 0.63, 0.9, 2.0]).reshape(1, 9, 1, 1).expand(1, 9, 2, 2)
    assert choose(at, line).tolist() == [[0, 0, BLEND, BLEND, 1, 1, BLEND, 2, 2]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
def test_choices_do_not_depend_on_the_order_of_the_futures(seed, n):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(3, n, 4, 4, generator=generator)
    p = torch.rand(3, n, generator=generator) + 0.1
    ahead = Futures(frames, p / p.sum(1, keepdim=True))
    order = torch.randperm(n, generator=generator)
    mix = torch.rand(3, 20, n, generator=generator) ** 6
    x_hat = torch.einsum("bsk,bkhw->bshw", mix / mix.sum(2, keepdim=True), frames)
    one = choose(x_hat, ahead)
    other = choose(x_hat, Futures(ahead.frames[:, order], ahead.probabilities[:, order]))
    assert torch.equal(one, torch.where(other == BLEND, BLEND, order[other]))
    assert one.dtype == torch.long and (one != BLEND).any()
    assert tally(one, n).sum() == (one != BLEND).sum()


def test_coordinates_among_two_futures_are_the_place_between_them():
    ahead, two = pair()
    x_hat = two.mean(1, keepdim=True) + 0.4 * torch.randn(
        4, 7, 6, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    u = projection(x_hat, ahead)
    found = coordinates(x_hat, ahead)
    torch.testing.assert_close(found[:3, :, :2], torch.stack([u, 1 - u], 2)[:3])
    torch.testing.assert_close(found[3, :, 1:], torch.stack([u, 1 - u], 2)[3])  # an impossible future comes first
    difference, second = two[:, :1] - two[:, 1:], two[:, 1:]
    across = x_hat - second - u[..., None, None] * difference
    torch.testing.assert_close(rendering_error(x_hat, ahead), across.square().mean((2, 3)))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 5))
def test_coordinates_find_the_mixture_and_rendering_errors_what_is_across(seed, n):
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(2, n + 1, 6, 6, generator=generator, dtype=torch.float64)
    p = torch.rand(2, n + 1, generator=generator, dtype=torch.float64) + 0.1
    p[0, 0] = 0  # one scene has a future less
    ahead = Futures(frames, p / p.sum(1, keepdim=True))
    mix = torch.randn(2, 9, n + 1, generator=generator, dtype=torch.float64)
    mix[0, :, 0] = 0
    mix = mix / mix.sum(2, keepdim=True)
    across = torch.randn(2, 9, 36, generator=generator, dtype=torch.float64)
    for scene, away in zip(range(2), across, strict=True):
        hull = frames[scene][p[scene] > 0].flatten(1)
        basis = torch.linalg.qr((hull[1:] - hull[:1]).T).Q
        away -= away @ basis @ basis.T
    x_hat = torch.einsum("bsk,bkhw->bshw", mix, frames) + across.unflatten(2, (6, 6))
    torch.testing.assert_close(coordinates(x_hat, ahead), mix, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rendering_error(x_hat, ahead), across.square().mean(2), atol=1e-8, rtol=1e-5)


def test_futures_that_depend_on_one_another_have_a_hull_as_well():
    """The corners of a rectangle: four futures in a plane."""
    ahead = corners()
    a, b, c, d = ahead.frames[0, :4]
    noise = torch.zeros(6, 6)
    noise[2] = 3.0
    x_hat = torch.stack([a, 0.3 * b + 0.7 * c, d + noise, (a + b + c + d) / 4])[None]
    found = coordinates(x_hat, ahead)
    within = torch.einsum("bsk,bkhw->bshw", found, ahead.frames)
    torch.testing.assert_close(within, x_hat - torch.stack([0 * a, 0 * a, noise, 0 * a])[None])
    torch.testing.assert_close(found.sum(2), torch.ones(1, 4))
    torch.testing.assert_close(rendering_error(x_hat, ahead), torch.tensor([[0, 0, 1.5, 0]]), atol=1e-6, rtol=1e-5)


def test_tally_and_choose_refuse_bad_input():
    assert tally(torch.tensor([[0, 2, BLEND, 2], [1, 1, 1, 0]]), 3).tolist() == [[1, 0, 2], [1, 3, 0]]
    ahead = corners()
    with pytest.raises(ValueError, match="x_hat must be"):
        choose(ahead.frames[..., 1:], ahead)
    with pytest.raises(ValueError, match="equal"):
        choose(ahead.frames, Futures(torch.zeros_like(ahead.frames), ahead.probabilities))
    for wrong in (torch.tensor([[3]]), torch.tensor([[-2]]), torch.tensor([[0.0]]), torch.tensor([0])):
        with pytest.raises(ValueError, match="from -1 to 2"):
            tally(wrong, 3)


def test_the_share_of_blends_has_wilsons_interval():
    u = torch.tensor([[0.0, 0.5, 1.0, 1.2], [0.3, 0.9, 0.1, 0.7]])
    assert blend_share(u) == wilson(3, 8)
