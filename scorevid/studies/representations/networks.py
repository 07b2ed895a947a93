r"""Networks of one backbone, trained in five ways on the same leaves: which are compared in chapter 9, and their training.

They are the blind denoiser of the paper, EDM, flow matching, regression without noise, and the blind network before its
training, with three seeds each and the same number of updates. ``python -m scorevid.studies.representations --steps 6000``
trains and publishes those that are not there yet, to ``weights/representations``. It goes on where it was interrupted, and
with more steps it makes them longer. :func:`load_network` loads them by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.normalisation import estimate_statistics
from scorevid.denoisers.weights import FOLDER as PUBLISHED
from scorevid.denoisers.weights import load_card, load_denoiser
from scorevid.noise.prior import NoisePrior
from scorevid.studies.ablations import BASE, PEERS, Variant, train
from scorevid.training.runs import publish
from scorevid.training.steps import Settings, generator_for, noisy_batch
from scorevid.worlds.leaves.world import Leaves

FOLDER = PUBLISHED / "representations"
WORLD = Leaves(n_disks=5, fewest=2, meeting=0.85, close=0.8, joining=0.85)  #: of ``leaves-32-many``
SEEDS = (0, 1, 2)
BATCH = 16  # with which trials learn sooner than with 48 (:mod:`~scorevid.studies.trials`)
#: by name, "blind-0" to "regression-2"; :func:`load_network` also knows "untrained-0" to "untrained-2"
NETWORKS: dict[str, Variant] = {
    f"{name}-{seed}": replace(peer, label=f"{peer.label}, seed {seed}", settings={"seed": seed, "batch": BATCH})
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
