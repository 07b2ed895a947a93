"""Methods of video prediction by networks of about one size, each trained for the same processor time on the same world.

========== ==================================================== ======= ======
name       what its network estimates                           given σ sees y
========== ==================================================== ======= ======
score      the next frame (the paper)                           no      yes
edm        a mixture of frame and noise (Karras et al. 2022)    yes     yes
flow       the velocity from noise to frame (Lipman et al.)     yes     yes
mcvd       the noise, its past masked half of the time          yes     yes
           (Voleti et al. 2022)
regression the next frame, of the past alone                    no      no
convlstm   the same, by recurrent cells (Shi et al. 2015)       no      no
simvp      the same, by convolutions only (Gao et al. 2022)     no      no
========== ==================================================== ======= ======

The first five have the U-Net as their backbone. All have the same seed, batch, noise prior, optimiser and learning rates. From
where normalisation keeps its statistics, the rates of these five are lower; the last two have no such normalisation, and their
rates are not lowered. The other methods are reduced to their idea, at a size that two cores can train. They do not measure
what the networks of their papers reach.

``python -m scorevid.studies.methods --minutes 60`` trains and publishes them. Called with more minutes than before, it goes on
with the same runs, or from the published weights where these are gone (:func:`~scorevid.studies.ablations.train`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from scorevid import checks
from scorevid.denoisers.weights import FOLDER as PUBLISHED
from scorevid.denoisers.weights import load_card, load_denoiser
from scorevid.noise.prior import PastNoise
from scorevid.studies.ablations import SLACK, Variant, train
from scorevid.training.runs import publish
from scorevid.worlds.registry import make_world

FOLDER = PUBLISHED / "motion"
_PEAKED = {"law": "peaked"}
_BATCH = {"batch": 16}  # which learns sooner than 48, the batch of the first eleven minutes of the published ones
_BATCH_NORM = _BATCH | {
    "freeze_norm_after": 2000,
    "frozen_lr_factor": 0.4,
}  # as on the command line, for networks of this width
_NONE = _BATCH | {"freeze_norm_after": None}


def _preconditioned(label: str, kind: str, **settings) -> Variant:
    return Variant(label, {"type": "Preconditioned", "kind": kind}, _PEAKED, _BATCH_NORM | settings)


METHODS: dict[str, Variant] = {
    "score": Variant("score, blind", {}, _PEAKED, _BATCH_NORM),
    "edm": _preconditioned("EDM", "EDM"),
    "flow": _preconditioned("flow matching", "Flow"),
    "mcvd": _preconditioned("MCVD", "Noise", past=PastNoise(mask=0.5)),
    "regression": Variant("regression", {"type": "Regression"}, _PEAKED, _BATCH_NORM),
    "convlstm": Variant("ConvLSTM", {"type": "ConvLSTM"}, _PEAKED, _NONE),
    "simvp": Variant("SimVP", {"type": "SimVP"}, _PEAKED, _NONE),
}


@dataclass(frozen=True)
class Compare:
    """Train and publish the methods whose card is missing, or has fewer minutes."""

    minutes: float = 60.0  # of processor time for each, compiling included
    world: str = "Motion"  # the world's class; its parameters are the defaults
    memory: int = 3  # past frames
    out: Path = Path("runs/motion")  # folder of the runs
    folder: Path = FOLDER  # where to publish
    only: tuple[str, ...] = tuple(METHODS)  # which
    scenes: int = 1000  # test scenes of each kind, for the cards

    def __post_init__(self):
        for name in self.only:
            checks.one_of("only", name, METHODS)

    def __call__(self) -> None:
        torch.set_num_threads(1)  # the time is that of one
        world = make_world({"name": self.world, "memory": self.memory})
        for name in self.only:
            if self._is_published(name):
                continue
            print(name, flush=True)
            published = load_denoiser(name, self.folder) if self._card(name) else None
            train(METHODS[name], {"memory": world.memory}, world, self.minutes, self.out / name, published=published)
            publish(self.out / name, name, self.folder, self.scenes, force=True)

    def _is_published(self, name: str) -> bool:
        """Whether there is a card of about so many minutes."""
        card = self._card(name)
        return card is not None and 60 * card["training"]["hours"] * (1 + SLACK) >= self.minutes

    def _card(self, name: str) -> dict | None:
        return load_card(name, self.folder) if (self.folder / f"{name}.json").is_file() else None


if __name__ == "__main__":
    tyro.cli(Compare)()
