r"""What networks have learned inside: which networks are compared, and what is to be decoded from them.

Networks of one backbone, trained by the same number of updates on the same leaves, with three seeds each: the blind denoiser
of the paper, EDM, flow matching, regression without noise, and the blind network before its training.
``python -m scorevid.studies.representations --steps 40000`` trains and publishes those that are not there yet, to
``weights/representations``. It goes on where it was interrupted. :func:`load_network` loads them by name.

The targets are known exactly. Two disks that meet are told apart by their greys, "lighter" and "darker", as nothing else does
in a frame. So the log odds of the two futures are those of the lighter disk in front,

.. math:: \log \frac{P(\text{lighter in front})}{P(\text{darker in front})} = \kappa \log \frac{r_l}{r_d} .

They follow from the past alone. A noisy frame adds what it shows of the overlap (:func:`posterior_log_odds`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn.functional import max_pool2d

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.normalisation import estimate_statistics
from scorevid.denoisers.weights import FOLDER as PUBLISHED
from scorevid.denoisers.weights import load_card, load_denoiser
from scorevid.noise.prior import NoisePrior
from scorevid.studies.ablations import BASE, PEERS, Variant, train
from scorevid.training.runs import publish
from scorevid.training.steps import Settings, generator_for, noisy_batch
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene, covers
from scorevid.worlds.leaves.world import Leaves

FOLDER = PUBLISHED / "representations"
WORLD = Leaves(n_disks=5, fewest=2, meeting=0.85, close=0.8, joining=0.85)  #: of ``leaves-32-many``
SEEDS = (0, 1, 2)
#: by name, "blind-0" to "regression-2"; :func:`load_network` also knows "untrained-0" to "untrained-2"
NETWORKS: dict[str, Variant] = {
    f"{name}-{seed}": replace(peer, label=f"{peer.label}, seed {seed}", settings={"seed": seed})
    for name, peer in PEERS.items()
    for seed in SEEDS
}
UNTRAINED = tuple(f"untrained-{seed}" for seed in SEEDS)


def load_network(name: str, folder: Path | str = FOLDER) -> Network:
    """A network of the comparison in evaluation mode: of :data:`NETWORKS`, which are published, or of ``UNTRAINED``.

    Raises ValueError for another name, and as :func:`~scorevid.denoisers.weights.load_denoiser` does.
    """
    checks.one_of("name", name, (*NETWORKS, *UNTRAINED))
    return untrained(int(name.split("-")[1])) if name in UNTRAINED else load_denoiser(name, folder)


def untrained(seed: int, base: dict = BASE, world: Leaves = WORLD, batches: int = 10) -> Network:
    """The blind network of this seed as it is before its training, with the statistics of its normalisation estimated."""
    checks.integer("seed", seed, 0)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = build_network(base)
    settings = Settings(seed=seed, noise=NoisePrior(**PEERS["blind"].noise))
    streams = (generator_for(2**31 + seed, k) for k in range(batches))
    drawn = (noisy_batch(world, settings.noise, settings.batch, stream) for stream in streams)
    return estimate_statistics(network, drawn).requires_grad_(False)


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


@dataclass(frozen=True)
class Train:
    """Train and publish the networks whose card is missing, or has fewer updates."""

    steps: int  # updates of each
    out: Path = Path("runs/representations")  # folder of the runs
    folder: Path = FOLDER  # where to publish
    only: tuple[str, ...] = tuple(NETWORKS)  # which
    scenes: int = 1000  # test scenes of each kind, for the cards

    def __post_init__(self):
        checks.integer("steps", self.steps)
        for name in self.only:
            checks.one_of("only", name, NETWORKS)

    def __call__(self) -> None:
        torch.set_num_threads(1)  # of several runs at a time
        for name in self.missing():
            print(name, flush=True)
            train(NETWORKS[name], BASE, WORLD, None, self.out / name, self.steps)
            publish(self.out / name, name, self.folder, self.scenes, force=True)

    def missing(self) -> Iterator[str]:
        """Names of the networks that have not had so many updates."""
        for name in self.only:
            there = (self.folder / f"{name}.json").is_file()
            if not there or load_card(name, self.folder)["training"]["steps"] < self.steps:
                yield name


if __name__ == "__main__":
    tyro.cli(Train)()
