"""Continuations of frames of any size, where they are known."""

import pytest
import torch

from scorevid import load_denoiser
from scorevid.sampling import Ladder, Multistep, continue_frames, roll_out
from scorevid.sampling.whole_frames import Continuation, padding

SAMPLER = Multistep(Ladder(sigma_0=3.0, steps=3))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Brighter:
    """Each next frame is a tenth of a grey unit lighter than the last. It takes what a network of three scales takes."""

    needs_sigma, widths = False, (1, 1, 1)

    def __call__(self, y, c):
        assert y.shape[2] % 4 == 0 and y.shape[3] % 4 == 0
        return c[:, -1:] + 0.1


@pytest.mark.parametrize("height, width, lacks", [(8, 12, (0, 0)), (5, 7, (3, 1)), (9, 4, (3, 0)), (6, 15, (2, 1))])
def test_frames_of_any_size_are_padded_and_cut_again(height, width, lacks):
    c = torch.rand(2, 2, height, width, generator=generator(), dtype=torch.float64)
    kept = c.clone()
    made = continue_frames(Brighter(), c, 3, SAMPLER, n_samples=4, generator=generator())
    truth = c[:, -1:] + torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)[:, None, None]
    assert padding(Brighter(), height, width) == lacks and torch.equal(c, kept)
    torch.testing.assert_close(made.samples, truth[:, None].expand(-1, 4, -1, -1, -1), rtol=0, atol=1e-9)
    torch.testing.assert_close(made.mean, truth, rtol=0, atol=1e-9)
    assert made.disagreement().max() < 1e-9


def test_a_network_sees_frames_that_are_mirrored_at_their_lower_and_right_border():
    f, c = load_denoiser("natural-32-m2"), torch.rand(1, 2, 10, 15, generator=generator())
    made = continue_frames(f, c, 2, SAMPLER, n_samples=2, generator=generator())
    mirrored = torch.cat([c, c[:, :, [8, 7]]], 2)
    mirrored = torch.cat([mirrored, mirrored[:, :, :, [13]]], 3)
    by_hand = roll_out(f, mirrored.expand(2, -1, -1, -1), 2, SAMPLER, generator=generator())
    torch.testing.assert_close(made.samples[0], by_hand[:, :, :10, :15])


class Gaussian:
    """The optimal denoiser of next frames that are the last one and normal noise of deviation 0.2, independent by pixel."""

    needs_sigma = True

    def __call__(self, y, c, sigma):
        v, sigma = 0.2**2, torch.as_tensor(sigma, dtype=y.dtype).reshape(-1, 1, 1, 1)
        return c[:, -1:] + v / (v + sigma**2) * (y - c[:, -1:])


def test_mean_and_disagreement_are_those_of_the_law():
    """The mean has next to no noise in it; samples deviate by 0.2, and by as much again in each later frame."""
    c = torch.rand(1, 1, 24, 24, generator=generator(), dtype=torch.float64)
    sampler = Multistep(Ladder(sigma_0=10.0, steps=40))
    made = continue_frames(Gaussian(), c, 3, sampler, n_samples=40, generator=generator())
    assert (made.mean - c).abs().mean() < 0.01
    deviation = made.disagreement().square().mean((0, 2, 3)).sqrt()
    torch.testing.assert_close(deviation, 0.2 * torch.tensor([1.0, 2.0, 3.0]).double().sqrt(), rtol=0.03, atol=0)


def test_the_generator_decides():
    f, c = load_denoiser("natural-32-m1"), torch.rand(1, 1, 8, 8, generator=generator())
    one, again, other = (
        continue_frames(f, c, 2, SAMPLER, n_samples=2, generator=generator(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one.samples, again.samples) and torch.equal(one.mean, again.mean)
    assert not torch.equal(one.samples, other.samples) and not torch.equal(one.samples[:, 0], one.samples[:, 1])


def test_the_bar_counts_what_the_network_is_given_and_leaves_it_as_it_was(capsys):
    f, c = load_denoiser("natural-32-m1"), torch.rand(1, 1, 8, 8, generator=generator())
    continue_frames(f, c, 2, SAMPLER, n_samples=3, generator=generator(), progress=True)
    each = SAMPLER.ladder.steps + 2
    assert f"{2 * (3 * each + 2)}/{2 * (3 * each + 2)}" in capsys.readouterr().err
    assert not f._forward_hooks
    continue_frames(f, c, 1, SAMPLER, generator=generator())
    assert not capsys.readouterr().err


def test_what_cannot_be_continued_is_refused():
    f, c = load_denoiser("natural-32-m1"), torch.rand(1, 1, 8, 8)
    for wrong, message in (({"frames": 0}, "frames must be"), ({"n_samples": 0}, "n_samples must be")):
        arguments = {"frames": 1, "n_samples": 1} | wrong
        with pytest.raises(ValueError, match=message):
            continue_frames(f, c, sampler=SAMPLER, generator=generator(), **arguments)
    with pytest.raises(ValueError, match=r"4 × 4 pixels or more, got 3 × 8"):
        continue_frames(f, c[:, :, :3], 1, SAMPLER, generator=generator())
    with pytest.raises(ValueError, match="finite"):
        continue_frames(f, c / 0, 1, SAMPLER, generator=generator())
    with pytest.raises(ValueError, match="2 or more, got 1"):
        Continuation(torch.zeros(1, 1, 2, 4, 4), torch.zeros(1, 2, 4, 4)).disagreement()
