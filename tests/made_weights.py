"""Made-up shots on which flow and places are known, and denoisers in closed form whose weights are known."""

import numpy as np
import torch
from torch.nn import functional

SPEED = 2  # pixels a frame


def texture(seed, tall, wide):
    """Smooth greys of mean 0 that reach from −0.2 to 0.2."""
    noise = torch.randn(1, 1, tall + 4, wide + 4, generator=torch.Generator().manual_seed(seed))
    smooth = functional.avg_pool2d(functional.avg_pool2d(noise, 3, 1), 3, 1)[0, 0]
    return (0.2 * smooth / smooth.abs().max()).numpy()


def sheets(seed, frames=24):
    """A bright upper half that moves to the right, and a dark lower half that moves to the left, (T, 96, 96) uint8."""
    bright, dark = 0.75 + texture(seed, 48, 96), 0.25 + texture(seed + 1, 48, 96)
    moved = [np.concatenate([np.roll(bright, SPEED * t, 1), np.roll(dark, -SPEED * t, 1)]) for t in range(frames)]
    return (255 * np.stack(moved)).astype(np.uint8)


def objects(seed, frames=24):
    """Squares of 16 pixels that move to the right over still ground with a white bar, in each quarter, (T, 96, 96) uint8."""
    ground, square = 0.3 + texture(seed, 96, 96), 0.75 + texture(seed + 1, 16, 16)
    ground[37:41] = ground[85:89] = 1.0
    shown = np.repeat(ground[None], frames, 0)
    for t in range(frames):
        for row, column in ((10, 10), (10, 58), (58, 10), (58, 58)):
            left = column + SPEED * (t % 8)
            shown[t, row : row + 16, left : left + 16] = square
    return (255 * shown).astype(np.uint8)


def linear_in(a, shift=0):
    """f(y, c) = a y + (1 − a) c₋₁, the last frame moved to the right."""
    return lambda y, c: a * y + (1 - a) * c[:, -1:].roll(shift, -1)


def following(sign):
    """The last frame of the two sheets along their motion (1), or against it (−1), at small weight on y."""

    def f(y, c):
        last = c[:, -1:]
        bright = last.mean((2, 3), keepdim=True).detach() > 0.5
        return 0.1 * y + 0.9 * torch.where(bright, last.roll(sign * SPEED, -1), last.roll(-sign * SPEED, -1))

    return f


def weighing(y, c):
    """Takes 0.9 of y where the past has changed near by, 0.3 elsewhere, and all of that the less the noisier y is."""
    changed = functional.max_pool2d((c[:, -1:] - c[:, -2:-1]).abs(), 7, 1, 3).detach() > 0.02
    noise = (y - c[:, -1:]).square().mean((1, 2, 3), keepdim=True).detach()
    a = torch.where(changed, 0.9, 0.3) * torch.where(noise > 0.5, 0.1, 1.0)
    return a * y + (1 - a) * c[:, -1:]
