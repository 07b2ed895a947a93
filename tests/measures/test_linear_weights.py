"""Local linear weights: the right rows, split the right way, and enough to give back the output."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.unet import UNet
from scorevid.measures.linear_weights import jacobian, reconstruct, rows
from scorevid.worlds.futures import Futures


def inputs(batch=3, memory=2, size=(5, 6), seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.rand(batch, 1, *size, generator=generator, dtype=torch.float64)
    return y, torch.rand(batch, memory, *size, generator=generator, dtype=torch.float64)


def known(memory=2, size=(5, 6), seed=1):
    """A linear denoiser with a known matrix: f, weights on y (N, N), weights on c (N, M, N)."""
    n = math.prod(size)
    generator = torch.Generator().manual_seed(seed)
    on_y = torch.randn(n, n, generator=generator, dtype=torch.float64)
    on_c = torch.randn(n, memory, n, generator=generator, dtype=torch.float64)

    def f(y, c):
        x = y.flatten(1) @ on_y.T + torch.einsum("nmk,bmk->bn", on_c, c.flatten(2))
        return x.reshape(y.shape)

    return f, on_y, on_c


class Plain(nn.Module):
    """A small convolutional network without biases, after which the identities hold to rounding."""

    def __init__(self, memory=2):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(memory + 1, 8, 3, padding=1, bias=False)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.out = nn.Conv2d(8, 1, 3, padding=1, bias=False)
        self.double().eval()

    def forward(self, y, c):
        x = torch.relu_(self.first(torch.cat([c, y], 1)))
        return self.out(torch.relu_(self.second(x)))


def test_rows_of_a_known_matrix():
    f, on_y, on_c = known()
    y, c = inputs()
    places = [(0, 0), (2, 3), (4, 5), (-1, -1)]
    found = rows(f, y, c, places)
    assert found.on_y.shape == (3, 4, 5, 6) and found.on_c.shape == (3, 4, 2, 5, 6)
    for b in range(3):
        for p, n in enumerate((0, 15, 29, 29)):
            torch.testing.assert_close(found.on_y[b, p].flatten(), on_y[n])
            torch.testing.assert_close(found.on_c[b, p].flatten(1), on_c[n])
    torch.testing.assert_close(found.sums()[0, 1], torch.cat([on_c[15].sum(1), on_y[15].sum()[None]]))
    whole = jacobian(f, y[:1], c[:1], batch=7)
    torch.testing.assert_close(whole, (on_y, on_c))


def test_each_example_may_have_its_own_pixels():
    f, y_c = Plain(), inputs()
    own = torch.tensor([[[0, 0], [1, 2]], [[4, 5], [3, 3]], [[2, 2], [0, 5]]])
    together = rows(f, *y_c, own)
    for b in range(3):
        alone = rows(f, y_c[0][b : b + 1], y_c[1][b : b + 1], [tuple(p) for p in own[b].tolist()])
        torch.testing.assert_close(together.on_y[b : b + 1], alone.on_y)
        torch.testing.assert_close(together.on_c[b : b + 1], alone.on_c)


@pytest.mark.parametrize("network", [Plain, lambda: UNet(2, (4, 8)).double().eval()])
def test_a_network_without_bias_is_its_own_linear_weights(network):
    torch.manual_seed(0)
    f, (y, c) = network(), inputs(size=(6, 8))
    places = [(i, j) for i in range(6) for j in range(8)]
    again = reconstruct(rows(f, y, c, places), y, c)
    torch.testing.assert_close(again, f(y, c).detach().flatten(1), rtol=1e-9, atol=1e-12)


def test_a_bias_shows():
    f, (y, c) = Plain(), inputs()

    def biased(y, c):
        return f(y, c) + 0.1

    gap = biased(y, c)[:, 0, 2, 2] - reconstruct(rows(biased, y, c, [(2, 2)]), y, c)[:, 0]
    torch.testing.assert_close(gap, torch.full_like(gap, 0.1))


def test_the_jacobian_of_an_oracle_is_its_covariance():
    y, c = inputs(batch=1)
    ahead = Futures(torch.rand(1, 3, 5, 6, dtype=torch.float64), torch.tensor([[0.5, 0.3, 0.2]], dtype=torch.float64))
    on_y, on_c = jacobian(partial(Oracle(ahead), sigma=0.5), y, c)
    torch.testing.assert_close(
        0.25 * on_y, Oracle(ahead).posterior_covariance(y, c, 0.5).matrix()[0], rtol=1e-6, atol=1e-9
    )
    assert (on_c == 0).all()  # c is not looked at


def test_copying_the_last_frame_has_all_weight_on_it():
    y, c = inputs()
    found = rows(lambda y, c: c[:, -1:] * 1.0, y, c, [(1, 1)])
    assert found.on_y.abs().max() == 0
    assert found.sums()[:, 0].tolist() == [[0, 1, 0]] * 3
    assert found.on_c[0, 0, 1, 1, 1] == 1


def test_inputs_stay_as_they_are_and_no_grad_around_is_no_hindrance():
    f, (y, c) = Plain(), inputs()
    with torch.no_grad():
        found = rows(f, y, c, [(1, 1)])
    assert not (y.requires_grad or c.requires_grad or found.on_y.requires_grad)
    assert all(p.grad is None for p in f.parameters())


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([(5, 0)], "within the frame"),
        ([(0, -7)], "within the frame"),
        ([(0.5, 1.0)], "integers"),
        ([0, 1], "integers"),
        ([], "integers"),
        (torch.zeros(2, 4, 2, dtype=torch.long), "integers"),
        (torch.zeros(3, 4, 3, dtype=torch.long), "integers"),
    ],
)
def test_pixels_that_are_none_are_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        rows(Plain(), *inputs(), pixels)


def test_bad_input_is_refused():
    f, (y, c) = Plain(), inputs()
    with pytest.raises(ValueError, match="must be"):
        rows(f, y[:, 0], c, [(0, 0)])
    with pytest.raises(ValueError, match="must be"):
        rows(f, y, c[:2], [(0, 0)])
    with pytest.raises(ValueError, match="eval"):
        rows(Plain().train(), y, c, [(0, 0)])
    with pytest.raises(ValueError, match="gradient"):
        rows(torch.no_grad()(f), y, c, [(0, 0)])
    with pytest.raises(ValueError, match="must return"):
        rows(lambda y, c: y[..., 1:], y, c, [(0, 0)])
    with pytest.raises(ValueError, match="one frame"):
        jacobian(f, y, c)
    with pytest.raises(ValueError, match="batch must be"):
        jacobian(f, y[:1], c[:1], batch=0)


@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    memory=st.integers(0, 3),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    count=st.integers(1, 4),
    data=st.data(),
)
def test_shapes(batch, memory, size, count, data):
    f, on_y, _ = known(memory, size)
    pixel = st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1))
    places = data.draw(st.lists(pixel, min_size=count, max_size=count))
    y, c = inputs(batch, memory, size)
    found = rows(f, y, c, places)
    assert found.on_y.shape == (batch, count, *size) and found.on_c.shape == (batch, count, memory, *size)
    assert found.sums().shape == (batch, count, memory + 1)
    torch.testing.assert_close(found.on_y[0, 0].flatten(), on_y[places[0][0] * size[1] + places[0][1]])
    at = torch.tensor(places).T
    torch.testing.assert_close(reconstruct(found, y, c), f(y, c)[:, 0, at[0], at[1]])


def test_centroids_are_where_each_frame_was_looked_at():
    def moved(y, c):  # of the last frame 2 pixels to the left and 1 down, of the one before 1 up, some of y as it is
        return 0.7 * c[:, -1:].roll((-1, 2), (2, 3)) - 0.4 * c[:, :1].roll(1, 2) + 0.1 * y

    y, c = inputs(size=(8, 9))
    pixels = torch.tensor([[3, 4], [4, -3]])
    found = rows(moved, y, c, pixels).centroids(pixels)
    due = torch.tensor([[0.0, -1.0], [-2.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(found, due.expand(3, 2, 3, 2))
    own = pixels.expand(3, 2, 2)
    torch.testing.assert_close(rows(moved, y, c, own).centroids(own), found)
    assert rows(lambda y, c: y + 0 * c[:, :1], y, c, pixels).centroids(pixels)[:, :, :-1].isnan().all()


@pytest.mark.parametrize("other", [0.4, -0.4])
def test_centroids_count_each_pixel_by_its_weight_squared(other):
    """Twice the weight counts four times, whatever the sign of the other."""

    def f(y, c):  # of the last frame 0.8 from 5 pixels to the right, and half as much from where the pixel is
        return 0.8 * c[:, -1:].roll(-5, 3) + other * c[:, -1:] + 0.1 * y

    y, c = inputs(size=(8, 9))
    found = rows(f, y, c, [(3, 2)]).centroids([(3, 2)])[:, 0, -2]
    torch.testing.assert_close(found, torch.tensor([5 * 0.64 / (0.64 + 0.16), 0.0], dtype=torch.float64).expand(3, 2))
