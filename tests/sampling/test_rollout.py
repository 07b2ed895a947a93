"""Roll-outs of known continuations."""

import math

import pytest
import torch

from scorevid.sampling import Ascent, Ladder, Multistep, roll_out

SAMPLERS = [Multistep(Ladder(steps=3)), Ascent(h_0=0.3, beta=0.5)]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def extrapolate(y, c):
    """The polynomial through the past, read one frame on: exact for polynomials of degree M − 1."""
    m = c.shape[1]
    weights = [(-1) ** (m - 1 - k) * math.comb(m, k) for k in range(m)]
    return sum(w * c[:, k : k + 1] for k, w in enumerate(weights))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("memory", [1, 2, 3])
def test_a_known_continuation_is_rolled_out(memory, sampler):
    coefficients = torch.rand(3, memory, 4, 5, generator=generator(), dtype=torch.float64)
    t = torch.arange(memory + 6, dtype=torch.float64)[:, None, None]
    video = sum(coefficients[:, k, None] * (t / 8) ** k for k in range(memory))  # greys leave [0, 1]
    c = video[:, :memory]
    kept = c.clone()
    x = roll_out(extrapolate, c, 6, sampler, generator=generator())
    torch.testing.assert_close(x, video[:, memory:], rtol=0, atol=1e-9)
    assert torch.equal(c, kept)


@pytest.mark.parametrize("memory", [1, 2, 3])
def test_the_past_is_the_last_frames(memory):
    pasts = []

    def count(y, c):
        pasts.append(c[:, :, 0, 0])
        return c[:, -1:] + 1

    c = torch.arange(float(memory))[None, :, None, None].expand(1, memory, 4, 4)
    x = roll_out(count, c, 5, SAMPLERS[0], generator=generator())
    assert x[0, :, 0, 0].tolist() == [memory + k for k in range(5)]
    each = len(pasts) // 5  # evaluations for a frame
    for k in range(5):
        for past in pasts[k * each : (k + 1) * each]:
            assert past.tolist() == [[k + m for m in range(memory)]]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_generator_decides(sampler):
    c = torch.rand(4, 2, 6, 6, generator=generator(1))

    def f(y, c):
        return (c.mean(1, keepdim=True) + (3 * y).tanh()) / 2

    one, again, other = (roll_out(f, c, 3, sampler, generator=generator(seed)) for seed in (0, 0, 1))
    assert one.shape == (4, 3, 6, 6) and torch.equal(one, again) and not torch.equal(one, other)
    torch.testing.assert_close(roll_out(f, c, 3, sampler, generator=generator(0), batch_limit=3), one)
    assert torch.equal(roll_out(f, c, 2, sampler, generator=generator(0)), one[:, :2])


def test_a_progress_bar_is_shown_when_asked_for(capsys):
    c = torch.zeros(1, 1, 4, 4)
    roll_out(extrapolate, c, 2, SAMPLERS[0], generator=generator())
    assert not capsys.readouterr().err
    roll_out(extrapolate, c, 2, SAMPLERS[0], generator=generator(), progress=True)
    assert "2/2" in capsys.readouterr().err


def test_bad_roll_outs_raise():
    c = torch.zeros(2, 2, 4, 4)
    for bad in (c[0], c[:, :0], c.tolist()):
        with pytest.raises(ValueError, match="c must be"):
            roll_out(extrapolate, bad, 2, SAMPLERS[0], generator=generator())
    for frames in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="frames must be a positive integer"):
            roll_out(extrapolate, c, frames, SAMPLERS[0], generator=generator())
    with pytest.raises(ValueError, match="floating-point"):
        roll_out(extrapolate, c.long(), 2, SAMPLERS[0], generator=generator())
    with pytest.raises(ValueError, match="batch_limit"):
        roll_out(extrapolate, c, 2, SAMPLERS[0], generator=generator(), batch_limit=0)
    with pytest.raises(ValueError, match="finite numbers at frame 1 of 3"):
        roll_out(lambda y, c: 1 / (1 - c[:, -1:]), c, 3, SAMPLERS[0], generator=generator())
