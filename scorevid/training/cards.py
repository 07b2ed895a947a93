"""What goes on the card of trained weights: scores on scenes that training cannot have seen."""

from __future__ import annotations

import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures.errors import SIGMAS, excess_curve, gaussian_score_error, squared_errors
from scorevid.noise.corruptions import corrupt
from scorevid.worlds.registry import TestScenes


@torch.no_grad()
def score_card(f: AnyDenoiser, world, scenes: int = 1000, seed: int = 1_000_003) -> dict:
    """Scores of a denoiser on test scenes of a world, as many of each kind, under Gaussian noise whatever its training's.

    The world says what they are and what is known of them (:class:`~scorevid.worlds.registry.TestScenes`). "squared_error" at
    each σ is a mean a pixel, "squared_error_copy" that of copying the last frame. Where the optimal denoiser is a Wiener
    filter, "score_error" is the relative squared error of the score; where the world has undecided scenes, "excess_error" is
    that in the pixels in which their futures differ.
    """
    checks.integer("scenes", scenes, most=10**6)
    checks.integer("seed", seed, 0, 2**63 - 1)
    device = next(iter(f.parameters())).device if isinstance(f, torch.nn.Module) else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    test = getattr(world, "test_scenes", lambda *given: TestScenes.draw(world, *given))(scenes, generator)
    c, x = test.c, test.x

    def by_sigma(errors, digits: int) -> dict[str, float]:
        return {str(s): round(float(e), digits) for s, e in zip(SIGMAS, errors, strict=True)}

    def score_error(sigma: float) -> Tensor:
        return gaussian_score_error(f, world, corrupt(x, sigma, "gaussian", generator), c, sigma).mean()

    scores = {
        "seed": seed,
        "scenes": len(x),
        "squared_error": by_sigma(squared_errors(f, c, x, SIGMAS, generator).mean(1), 7),
        "squared_error_copy": round(float(test.copy_error), 7),
    }
    if test.linear:
        scores["score_error"] = by_sigma(map(score_error, SIGMAS), 6)
    if test.undecided:
        excess = excess_curve(f, *test.undecided(scenes, generator), SIGMAS, generator)
        scores["excess_error"] = by_sigma((point.value for point in excess), 4)
    return scores
