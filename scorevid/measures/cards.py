"""What goes on the card of trained weights: scores on scenes that training cannot have seen."""

from __future__ import annotations

from dataclasses import replace

import torch

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures.errors import SIGMAS, excess_curve, gaussian_score_error, squared_errors
from scorevid.noise.corruptions import corrupt
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.world import Clips
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.leaves.world import Leaves


def score_card(f: AnyDenoiser, world: Leaves | Gaussian | Clips, scenes: int = 1000, seed: int = 1_000_003) -> dict:
    """Scores of a denoiser on test scenes of a world.

    All under Gaussian noise, whatever the noise of the training. Mean squared error a pixel at each σ over random scenes
    of the world, with that of copying the last frame. For
    moving leaves, the excess error at each σ where the futures of undecided meetings differ; for Gaussian video of one ρ,
    the relative squared error of the score; for natural video, scenes are patches of shots held out, as many of each shot
    as there are, up to an even share.
    """
    checks.integer("scenes", scenes, most=10**6)
    checks.integer("seed", seed, 0, 2**63 - 1)
    device = next(iter(f.parameters())).device if isinstance(f, torch.nn.Module) else "cpu"
    generator = torch.Generator(device).manual_seed(seed)
    if isinstance(world, Clips):
        world = replace(world, split="test")
        patches = held_out(world, max(1, scenes // len(world.clips())), seed)
        c, x, copied = patches.c.to(device), patches.x.to(device), patches.motion.square().mean()
    else:
        c, x = world.draw(scenes, generator)
        copied = (c[:, -1:] - x).square().mean()
    errors = squared_errors(f, c, x, SIGMAS, generator).mean(1)
    scores = {
        "seed": seed,
        "scenes": len(x),
        "squared_error": {str(s): round(e.item(), 7) for s, e in zip(SIGMAS, errors, strict=True)},
        "squared_error_copy": round(copied.item(), 7),
    }
    if isinstance(world, Clips) or isinstance(getattr(world, "rho", None), tuple):
        return scores
    if isinstance(world, Gaussian):
        errors = {s: gaussian_score_error(f, world, corrupt(x, s, "gaussian", generator), c, s) for s in SIGMAS}
        return scores | {"score_error": {str(s): round(e.mean().item(), 6) for s, e in errors.items()}}
    meetings, ahead = undecided_meetings(world, scenes, generator)
    excess = excess_curve(f, meetings.past(), ahead, SIGMAS, generator)[0].tolist()
    return scores | {"excess_error": {str(s): round(e, 4) for s, e in zip(SIGMAS, excess, strict=True)}}
