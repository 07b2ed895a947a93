r"""What is to be decoded from representations of leaves, exactly.

Two disks that meet are told apart by their greys, "lighter" and "darker", as nothing else does in a frame. So the log odds of
the two futures are those of the lighter disk in front,

.. math:: \log \frac{P(\text{lighter in front})}{P(\text{darker in front})} = \kappa \log \frac{r_l}{r_d} .

They follow from the past alone. A noisy frame adds what it shows of the overlap (:func:`posterior_log_odds`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene, covers


def targets_of_meetings(scene: Scene) -> dict[str, Tensor]:
    """What to decode from meetings of two disks, as of :func:`~scorevid.worlds.leaves.meetings.undecided_meetings`.

    Returns (B,) each, by name: "x lighter", "x darker", "y …" in pixels from the middle of the frame, in the next frame;
    "speed x …", "speed y …" in pixels a frame; "radius …" in pixels; "grey …"; "log odds" of the lighter disk in front; and
    "lighter in front", bool, what is so in the next frame. Raises ValueError for scenes of other than two disks.
    """
    if scene.radius.shape[1] != 2:
        raise ValueError(f"scene must have two disks, got {scene.radius.shape[1]}")
    rows, lighter = torch.arange(len(scene), device=scene.grey.device), scene.grey.argmax(1)
    found, middle = {}, (scene.size - 1) / 2
    for name, disk in (("lighter", lighter), ("darker", 1 - lighter)):
        x, y = (scene.position[rows, disk] - middle).unbind(1)
        speed_x, speed_y = scene.velocity[rows, disk].unbind(1)
        found |= {f"x {name}": x, f"y {name}": y, f"speed x {name}": speed_x, f"speed y {name}": speed_y}
        found |= {f"radius {name}": scene.radius[rows, disk], f"grey {name}": scene.grey[rows, disk]}
    found["log odds"] = scene.kappa * (found["radius lighter"] / found["radius darker"]).log()
    found["lighter in front"] = scene.depth[rows, lighter] < scene.depth[rows, 1 - lighter]
    return found


def targets_of_scenes(scene: Scene, law: Futures) -> dict[str, Tensor]:
    """What to decode from scenes of any number of disks with their futures, as the world draws them.

    Returns (B,) each, by name: "disks", how many there are within the last past frame; "undecided", bool, whether there are
    two futures or more; "entropy" of the futures in nats; "covered", the share of the next frame that is no ground; "grey",
    mean over pixels and futures; "speed", mean over the disks in the frame, in pixels a frame.
    """
    order = torch.arange(scene.radius.shape[1], device=scene.radius.device).expand_as(scene.radius)
    last, ahead = (
        torch.stack([cover[:, 0] for cover in covers(scene, torch.tensor([t]), order)], 1) for t in (-1.0, 0.0)
    )
    seen = last.flatten(2).amax(2) > 0.5  # (B, n)
    p = law.probabilities
    return {
        "disks": seen.sum(1),
        "undecided": law.count() > 1,
        "entropy": -torch.special.xlogy(p, p).sum(1),
        "covered": 1 - (1 - ahead).prod(1).mean((1, 2)),
        "grey": law.mean().mean((1, 2, 3)),
        "speed": (scene.velocity.norm(dim=2) * seen).sum(1) / seen.sum(1).clamp_min(1),
    }


def decided_twins(scene: Scene) -> Scene:
    """The same scenes of two disks one frame earlier, when they do not touch yet: meetings without a choice.

    So undecided scenes and decided ones differ in nothing but time, and a decoder that tells them apart uses that. Raises
    ValueError where some are undecided all the same.
    """
    twins = scene.replace(position=scene.position - scene.velocity)
    checks.every("scenes must have one future a frame earlier", futures(twins).count() == 1)
    return twins


def posterior_log_odds(scene: Scene, law: Futures, y: Tensor, sigma: float) -> Tensor:
    """Log odds of the lighter disk in front given the past and a noisy frame y (B, 1, H, W), (B,), for a known σ.

    They are what an optimal denoiser weighs the two futures by. scene, law: of
    :func:`~scorevid.worlds.leaves.meetings.undecided_meetings`, whose first future has disk 0 in front. Raises ValueError
    where there are not two futures.
    """
    if law.frames.shape[1] != 2:
        raise ValueError(f"law must be of two futures, got {law.frames.shape[1]}")
    checks.every("scenes must have two futures", law.count() == 2)
    checks.frames("y", y, 1, batch=len(law), size=tuple(law.frames.shape[2:]))
    checks.number("sigma", sigma, above=0)
    first, second = law.frames.double().unbind(1)
    evidence = ((first - second) * (y[:, 0].double() - (first + second) / 2)).sum((1, 2)) / sigma**2
    p = law.probabilities.double()
    odds = (p[:, 0] / p[:, 1]).log() + evidence
    return torch.where(scene.grey[:, 0] > scene.grey[:, 1], odds, -odds).to(y.dtype)


def open_pixels(law: Futures, margin: int = 0) -> Tensor:
    """Weights (B, 1, H, W), one in the pixels in which the futures differ and up to ``margin`` pixels from them, else zero.

    To average activations over the place where the choice is, as ``where`` of
    :func:`~scorevid.measures.representations.activations.channel_averages`.
    """
    checks.integer("margin", margin, 0)
    return max_pool2d(law.where().to(law.frames.dtype), 2 * margin + 1, 1, margin)
