"""Finitely many futures: what follows from frames and probabilities."""

import pytest
import torch
from scipy import stats

from scorevid.worlds.futures import Futures


def some(batch=1):
    generator = torch.Generator().manual_seed(0)
    return Futures(torch.rand(batch, 3, 4, 5, generator=generator), torch.tensor([[0.5, 0.3, 0.2]]).expand(batch, 3))


def test_futures_are_drawn_as_often_as_they_should_be():
    law = some().repeat(5000)
    x = law.draw(torch.Generator().manual_seed(1))
    assert x.shape == (5000, 1, 4, 5)
    which = (x == law.frames).all(3).all(2)
    assert (which.sum(1) == 1).all()
    expected = [2500, 1500, 1000]
    assert stats.power_divergence(which.sum(0).numpy(), expected, lambda_="log-likelihood").pvalue > 1e-3


def test_mean_and_ambiguity_are_those_of_the_draws():
    law = some().repeat(20_000)
    x = law.draw(torch.Generator().manual_seed(2))
    torch.testing.assert_close(x.mean(0), law.mean()[0], atol=0.02, rtol=0)
    spread = (x - law.mean()).square().sum((1, 2, 3))
    assert spread.mean().item() == pytest.approx(law.ambiguity()[0].item(), rel=0.03)


def test_pixels_differ_where_a_possible_future_does():
    frames = torch.zeros(1, 3, 2, 2)
    frames[0, 1, 0, 0], frames[0, 2, 1, 1] = 1.0, 1.0
    where = Futures(frames, torch.tensor([[0.5, 0.5, 0.0]])).where()
    assert where[0, 0].tolist() == [[True, False], [False, False]]


def test_what_is_no_law_is_refused():
    with pytest.raises(ValueError, match="sum to one"):
        Futures(torch.zeros(1, 2, 2, 2), torch.tensor([[0.5, 0.6]]))
    with pytest.raises(ValueError, match=r"\(B, K, H, W\)"):
        Futures(torch.zeros(1, 2, 2), torch.ones(1, 2) / 2)


def test_the_closest_pair_of_possible_futures_counts():
    frames = torch.zeros(2, 3, 2, 2)
    frames[:, 1, 0, 0], frames[:, 2, 0, 0] = 3.0, 4.0
    law = Futures(frames, torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0]]))
    torch.testing.assert_close(law.closest(), torch.tensor([1.0, 3.0]))
    assert Futures(frames[:, :1], torch.ones(2, 1)).closest().tolist() == [float("inf")] * 2


def test_padding_is_left_out_and_the_order_is_kept():
    frames = torch.arange(4.0)[None, :, None, None].expand(2, 4, 1, 1)
    law = Futures(frames, torch.tensor([[0.0, 0.3, 0.0, 0.7], [0.2, 0.0, 0.8, 0.0]])).without_padding()
    assert law.frames[..., 0, 0].tolist() == [[1, 3], [0, 2]]
    torch.testing.assert_close(law.probabilities, torch.tensor([[0.3, 0.7], [0.2, 0.8]]))


def test_laws_of_several_batches_are_padded_to_the_most_futures():
    one, three = Futures(torch.ones(2, 1, 4, 5), torch.ones(2, 1)), some()
    both = Futures.cat([one, three])
    assert both.frames.shape == (3, 3, 4, 5) and both.count().tolist() == [1, 1, 3]
    assert torch.equal(both[2].frames, three.frames) and torch.equal(both[0].without_padding().frames, one[0].frames)
