"""The network that remembers in a state: homogeneous, locally linear, of any length of past, and trained like the others."""

import pytest
import torch

from scorevid.cli import Network, main
from scorevid.denoisers.conditioned import build_network
from scorevid.denoisers.memory import ShorterMemory
from scorevid.denoisers.recurrent import Recurrent
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import load_denoiser
from scorevid.noise.prior import PastNoise
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.gaussian import Gaussian


def frames(memory=3, batch=3, size=16, seed=1):
    draw = torch.Generator().manual_seed(seed)
    y = torch.rand(batch, 1, size, size, generator=draw, dtype=torch.double)
    return y, torch.rand(batch, memory, size, size, generator=draw, dtype=torch.double)


def network(memory=3, widths=(4, 8)):
    """A network in double precision whose statistics and kernels are not the initial ones."""
    torch.manual_seed(0)
    f = Recurrent(memory, widths).double()
    with torch.no_grad():
        f.carry.weight += 0.1 * torch.randn_like(f.carry.weight)
    for seed in range(5):
        f(*frames(memory, seed=seed))
    return f.eval()


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_homogeneous_of_degree_one_in_both_arguments(seen):
    f, (y, c) = network(), frames(seen)
    for a in (1e-3, 0.5, 7.0):
        torch.testing.assert_close(f(a * y, a * c), a * f(y, c), rtol=1e-12, atol=1e-15)
    assert not torch.allclose(f(2 * y, c), 2 * f(y, c), rtol=1e-3)  # jointly, not in y alone
    assert not [name for name, _ in f.named_parameters() if "bias" in name]


@pytest.mark.parametrize("seen", [1, 3, 5])
def test_locally_linear(seen):
    """f(y, c) = J_y y + J_c c, the derivative along the input itself."""
    f, (y, c) = network(), frames(seen)
    value, along = torch.func.jvp(f, (y, c), (y, c))
    torch.testing.assert_close(along, value, rtol=1e-12, atol=1e-14)


def test_the_state_meets_frames_one_after_the_other():
    """It is that of the recursion in the module's docstring, written out."""
    f, (_, c) = network(), frames()
    h = torch.zeros(3, 4, 16, 16, dtype=torch.double)
    for j in range(3):
        h = torch.relu(f.look(c[:, j : j + 1]) + f.carry(h))
    torch.testing.assert_close(f.state(c), h, rtol=1e-12, atol=1e-14)
    assert (f.state(c) - f.state(c.flip(1))).abs().max() > 1e-3


def test_older_frames_of_zeros_are_no_frames():
    """So a share of forgotten frames in training is training on shorter pasts."""
    f, (y, c) = network(), frames()
    shorter = torch.cat([torch.zeros_like(c[:, :2]), c[:, 2:]], 1)
    torch.testing.assert_close(f(y, shorter), f(y, c[:, 2:]), rtol=0, atol=0)
    torch.testing.assert_close(ShorterMemory(f, 1)(y, c[:, 2:]), f(y, c[:, 2:]), rtol=0, atol=0)


def test_parameters_do_not_depend_on_the_memory():
    counts = [sum(p.numel() for p in Recurrent(memory, (4, 8)).parameters()) for memory in (1, 7)]
    assert counts[0] == counts[1]
    assert build_network(network().config).config == {"type": "Recurrent", "memory": 3, "widths": [4, 8]}


def test_training_learns_that_the_past_matters(tmp_path):
    """Its error with all frames falls well below that with the last one alone, in a world where older ones count."""
    world = Gaussian(8, 4, rho=0.99, past_noise=0.3)
    settings = Settings(steps=300, batch=16, compile=False, past=PastNoise(forget=0.5))
    torch.manual_seed(0)
    trainer = Trainer(Recurrent(4, (8, 8)), world, settings, tmp_path)
    trainer.run(progress=False)
    f, draw = trainer.denoiser(), torch.Generator().manual_seed(9)
    c, x = world.draw(256, draw)
    y = x + 3 * torch.randn(x.shape, generator=draw)
    with torch.no_grad():
        longer, shorter = ((f(y, past) - x).square().mean() for past in (c, c[:, -1:]))
    assert longer < 0.8 * shorter


def test_the_command_line_trains_it_goes_on_and_publishes(tmp_path, capsys):
    run, tiny = str(tmp_path / "run"), ["--steps", "20", "--batch", "4", "--no-compile", "--network.widths", "4", "4"]
    both = ["--world.size", "8", "--network.recurrent", "--out", run]
    main(["train-gaussian", *tiny, *both])
    main(["train-gaussian", "--resume", "--steps", "30", "--out", run])
    main(["publish", run, "tiny", "--folder", str(tmp_path / "weights"), "--scenes", "8"])
    f = load_denoiser("tiny", tmp_path / "weights")
    assert isinstance(f, Recurrent) and f.card["training"]["steps"] == 30
    with pytest.raises(SystemExit):
        main(["train-gaussian", *tiny, *both[:-1], str(tmp_path / "other"), "--network.regression"])
    assert "one of regression, recurrent and following" in capsys.readouterr().err
    assert Network.of(f.config).recurrent and not Network.of(UNet(2, (4,)).config).recurrent


def test_input_that_does_not_fit_is_refused():
    y, c = frames()
    with pytest.raises(ValueError, match="c must be"):
        network()(y, c[:2])
    with pytest.raises(ValueError, match="memory must be a positive integer"):
        Recurrent(0)
