"""The network that follows motion: homogeneous, locally linear, right about what moves where, and trained like the others."""

import pytest
import torch
import torch.nn.functional as F

from scorevid.cli import Network, main
from scorevid.denoisers import following
from scorevid.denoisers.conditioned import build_network
from scorevid.denoisers.following import Following, correlations, gradient_step, shifted
from scorevid.denoisers.memory import with_longer_memory
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import load_denoiser
from scorevid.measures import linear_weights
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.gaussian import Gaussian

WIDTHS = (4, 4, 8)


def frames(memory=2, batch=2, size=16, seed=1):
    draw = torch.Generator().manual_seed(seed)
    y = torch.rand(batch, 1, size, size, generator=draw, dtype=torch.double)
    return y, torch.rand(batch, memory, size, size, generator=draw, dtype=torch.double)


def network(memory=2, reach=2):
    """A network in double precision, none of whose kernels is zero any more."""
    torch.manual_seed(0)
    f = Following(memory, WIDTHS, reach).double()
    with torch.no_grad():
        for kernel in (f.correct[-1].weight, f.search.weigh[-1].weight):
            kernel.normal_(std=0.3)
    f(*frames(memory))
    return f.eval()


def texture(size, seed=0):
    """A smooth texture (1, 1, size, size), greys in [0, 1]."""
    coarse = torch.rand(1, 1, size // 6, size // 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def everywhere(down, right, like):
    """The displacement (1, 2, H, W) that is the same at each pixel."""
    return torch.tensor([down, right]).to(like)[None, :, None, None].expand(1, 2, *like.shape[-2:])


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_homogeneous_of_degree_one_in_both_arguments(memory):
    f, (y, c) = network(memory), frames(memory)
    for a in (1e-2, 0.5, 7.0):
        torch.testing.assert_close(f.displacement(a * y, a * c), f.displacement(y, c), rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(f(a * y, a * c), a * f(y, c), rtol=1e-7, atol=1e-10)
    assert f.displacement(y, c).abs().max() > 0.1
    assert not [name for name, _ in f.named_parameters() if "bias" in name]


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_locally_linear(memory):
    """Rows of J, the derivative of the displacement among them, add up to the output."""
    f, (y, c) = network(memory), frames(memory)
    pixels = [(3, 4), (9, 13)]
    rows = linear_weights.rows(f, y, c, pixels)
    made = torch.stack([f(y, c)[:, 0, i, j] for i, j in pixels], 1)
    torch.testing.assert_close(linear_weights.reconstruct(rows, y, c), made, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("own", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float64, torch.float32])
def test_frames_of_another_type_than_the_kernels_are_answered_in_their_own(own, given):
    """And not refused by a convolution or an interpolation deep inside, as tall frames are not."""
    y, c = (v[..., :12, :].to(given) for v in frames())
    f = network().to(own)
    assert f(y, c).dtype == given and f(y, c).shape == (2, 1, 12, 16) and f(y, c).isfinite().all()
    due, close = network().displacement(y.double(), c.double()), 0.5 if own == torch.bfloat16 else 1e-3  # pixels
    torch.testing.assert_close(f.displacement(y, c).double(), due, rtol=0, atol=close)
    with torch.autocast("cpu", torch.bfloat16, enabled=own == torch.float32):
        torch.testing.assert_close(f.displacement(y, c).double(), due, rtol=0, atol=0.5)


def test_frames_without_contrast_give_finite_answers_and_gradients():
    """Nothing can be matched there, and lengths and determinants are zero."""
    f, flat = network(), torch.full((1, 1, 16, 16), 0.5, dtype=torch.double)
    for a in (0.0, 1.0):
        c = (a * flat).expand(1, 2, 16, 16).clone().requires_grad_()
        f(a * flat, c).sum().backward()
        assert c.grad.isfinite().all()


@pytest.mark.parametrize("j", [0, 1])
def test_correlations_are_those_of_their_definition(j, monkeypatch):
    """At a place written out by hand, at the border zero, and the same one displacement at a time as with all pairs."""
    a, b = torch.randn(2, 2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    found = correlations(a, b, j, 2)
    down, right, row, column = -1, 2, 4, 6
    value = (a[:, :, row - j * down, column - j * right] * b[:, :, row - (j + 1) * down, column - (j + 1) * right]).sum(
        1
    )
    torch.testing.assert_close(found[:, (down + 2) * 5 + right + 2, row, column], value)
    assert (found[:, 24, 0] == 0).all() and found.shape == (2, 25, 9, 11)  # two down: from beyond the upper border
    monkeypatch.setattr(following, "ALL_PAIRS", 0)
    torch.testing.assert_close(correlations(a, b, j, 2), found)


def test_moved_frames_meet_the_next_one():
    """With the true displacement both past frames are the next frame, but for what comes in at the border."""
    x = texture(48)
    c = torch.cat([shifted(x, everywhere(-2 * 3.0, -2 * 1.0, x)), shifted(x, everywhere(-3.0, -1.0, x))], 1)
    found = Following(2, WIDTHS).moved(everywhere(3.0, 1.0, x), c)
    torch.testing.assert_close(found[..., 8:-8, 8:-8], x.expand(1, 2, 48, 48)[..., 8:-8, 8:-8], rtol=0, atol=1e-5)


@pytest.mark.parametrize("left", [(0.4, -0.3), (-0.5, 0.0)])
def test_the_last_step_finds_what_is_left_of_the_motion(left):
    x = texture(60)
    pair = torch.cat(
        [shifted(x, everywhere(-2 * left[0], -2 * left[1], x)), shifted(x, everywhere(*(-v for v in left), x))], 1
    )
    found = gradient_step(pair)[0, :, 10:-10, 10:-10].mean((1, 2))
    torch.testing.assert_close(found, torch.tensor(left), rtol=0, atol=0.06)
    assert (gradient_step(torch.full((1, 2, 8, 8), 0.3)) == 0).all()


def test_training_learns_a_displacement_beyond_the_kernels(tmp_path):
    """A texture drifts by six pixels a frame; copy and what a few convolutions see are of no use."""
    world = Gaussian(32, 2, rho=0.999, shift=(6, 0))
    settings = Settings(steps=80, batch=6, compile=False, precision="fp32")
    torch.manual_seed(0)
    trainer = Trainer(Following(2, WIDTHS, 3), world, settings, tmp_path)
    trainer.run(progress=False)
    f, draw = trainer.denoiser(), torch.Generator().manual_seed(9)
    c, x = world.draw(8, draw)
    with torch.no_grad():
        moved = f.moved(f.displacement(x + 3 * torch.randn(x.shape, generator=draw), c), c)[:, -1:]
    inner = (..., slice(8, -8), slice(8, -8))
    assert (moved - x)[inner].square().mean() < 0.3 * (c[:, -1:] - x)[inner].square().mean()


def test_it_starts_where_a_unet_stands():
    """What is moved has no effect at first, with more memory neither, and another network is refused."""
    torch.manual_seed(0)
    plain = UNet(2, WIDTHS).eval()
    for memory in (2, 3):
        y, c = (v.float() for v in frames(memory))
        f = with_longer_memory(plain, Following(memory, WIDTHS).config)
        with torch.no_grad():
            torch.testing.assert_close(f(y, c), plain(y, c[:, -2:]))
    with pytest.raises(ValueError, match="differs in its memory alone"):
        with_longer_memory(plain, Following(2, (4, 8, 8)).config)


def test_the_command_line_trains_it_goes_on_and_publishes(tmp_path):
    run, tiny = (
        str(tmp_path / "run"),
        ["--steps", "4", "--batch", "2", "--no-compile", "--network.widths", "4", "4", "4"],
    )
    main(["train-gaussian", *tiny, "--world.size", "16", "--network.following", "--out", run])
    main(["train-gaussian", "--resume", "--steps", "6", "--out", run])
    main(["publish", run, "tiny", "--folder", str(tmp_path / "weights"), "--scenes", "8"])
    f = load_denoiser("tiny", tmp_path / "weights")
    assert isinstance(f, Following) and f.card["training"]["steps"] == 6
    assert Network.of(f.config).following and build_network(f.config).config == f.config


def test_input_that_does_not_fit_is_refused():
    y, c = frames()
    with pytest.raises(ValueError, match="c must be"):
        network()(y, c[:, :1])
    for wrong in ({"memory": 0}, {"widths": (4, 4)}, {"reach": 0}):
        with pytest.raises(ValueError, match="|".join(wrong)):
            Following(**wrong)
