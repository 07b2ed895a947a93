"""Small networks that differ from a common base in one thing, each trained for the same computing time.

(The one with Adam in two: at the rate of the others it diverges as soon as its normalisation has settled.)

``python -m scorevid.studies.ablations`` trains those that are not there yet and publishes them to ``weights/ablations``. The
time is that of the processor on one thread, which does not count what else the machine does, and yet differs by a
quarter with how busy it is; so cards tell updates and minutes, and the base is trained with three seeds, to show how
much of a difference may be luck.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
import tyro

from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.weights import FOLDER as PUBLISHED
from scorevid.noise.corruptions import CORRUPTIONS
from scorevid.noise.prior import NoisePrior
from scorevid.training.runs import go_on_from, open_run, publish
from scorevid.training.steps import Settings, TrainState
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves

FOLDER = PUBLISHED / "ablations"
SLACK = 0.1  # share of a plan; one that is off by less is left as it is


@dataclass(frozen=True)
class Variant:
    """What is different from the base, and how a table calls it."""

    label: str
    network: dict = field(default_factory=dict)
    noise: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)


BASE = {"memory": 2, "widths": (16, 32, 64)}
NOISES = {k: Variant(f"{k} noise", noise={"corruption": k}) for k in CORRUPTIONS if k != "gaussian"}
ARCHITECTURES = {
    "no-lateral": Variant("no lateral connections", {"lateral": False}),
    "bias": Variant("with biases", {"bias": True}),
    "no-normalisation": Variant("no normalisation", {"normalise": False}),
    "two-scales": Variant("2 scales", {"widths": (16, 32)}),
    "four-scales": Variant("4 scales", {"widths": (16, 32, 64, 128)}),
    "half-width": Variant("half width", {"widths": (8, 16, 32)}),
    "double-width": Variant("double width", {"widths": (32, 64, 128)}),
}
TRAINING = {
    "unsettled": Variant("batch statistics throughout", settings={"freeze_norm_after": None}),
    "adam": Variant("Adam instead of Muon", settings={"optimiser": "adam", "frozen_lr_factor": 0.4}),
}
SEEDS = {f"seed-{k}": Variant(f"base, seed {k}", settings={"seed": k}) for k in (1, 2)}
_PEAKED = {"law": "peaked"}
PEERS = {
    "blind": Variant("blind, as the paper", noise=_PEAKED),
    "edm": Variant("told σ, preconditioned", {"type": "Preconditioned", "kind": "EDM"}, _PEAKED),
    "flow": Variant("told σ, flow matching", {"type": "Preconditioned", "kind": "Flow"}, _PEAKED),
    "regression": Variant("regression on the past", {"type": "Regression"}, _PEAKED),
}
VARIANTS = {"base": Variant("base")} | SEEDS | NOISES | ARCHITECTURES | TRAINING


def train(
    variant: Variant,
    base: dict,
    world,
    minutes: float | None,
    folder: Path,
    steps: int | None = None,
    published: Network | None = None,
) -> None:
    """Train one variant for about so many minutes of processor time in a folder, or so many updates, from where it is.

    base: arguments of the network that the variant does not change. world: what a new run draws its scenes from. A run that
    was planned for less is made longer: its rate rises again, to where it is in the longer plan, and falls to zero at its end.
    steps: in place of the minutes, which are None then. published: what this variant has come to, to go on from where its run
    is gone (:func:`~scorevid.training.runs.go_on_from`). Raises ValueError for both minutes and steps or neither, and
    SystemExit where it was interrupted.
    """
    if (minutes is None) == (steps is None):
        raise ValueError(f"give either minutes or steps, got {minutes} and {steps}")
    if (folder / "checkpoint.pt").is_file():
        trainer = open_run(folder)
        longer = longer_plan(trainer.state, minutes) if steps is None else steps
        if longer and longer > (trainer.state.planned_steps or 0):
            trainer = open_run(folder, steps=longer)
    else:
        common = {
            "freeze_norm_after": 1000,
            "frozen_lr_factor": 1.0,
            "noise": NoisePrior(**variant.noise),
            "steps": steps,
        }
        settings = Settings(**common | variant.settings)
        torch.manual_seed(settings.seed)
        trainer = Trainer(build_network(base | variant.network), world, settings, folder)
        if published is not None:
            go_on_from(trainer, published)
    left = 0 if minutes is None else minutes - trainer.state.seconds / 60
    if left > 0:
        trainer.run(left, clock=time.process_time)
    if trainer.state.planned_steps is not None and not trainer.interrupted:
        trainer.run(clock=time.process_time)  # to the end of the plan: the learning rate has to fall to zero
    if trainer.interrupted:
        raise SystemExit(f"stopped in {folder}, from where the same command goes on")


def longer_plan(state: TrainState, minutes: float) -> int | None:
    """How many updates fit the minutes at the mean speed so far, where the plan has fewer by more than ``SLACK``."""
    if state.planned_steps is None or state.seconds <= 0:
        return None
    steps = int(state.step * 60 * minutes / state.seconds)
    return steps if steps > (1 + SLACK) * state.planned_steps else None


@dataclass(frozen=True)
class Ablate:
    """Train and publish the ablations that are not published yet."""

    minutes: float = 4.5  # of processor time for each, compiling included
    out: Path = Path("runs/ablations")  # folder of the runs
    folder: Path = FOLDER  # where to publish
    only: tuple[str, ...] = tuple(VARIANTS)  # which
    scenes: int = 1000  # test scenes of each kind, for the cards

    def __call__(self) -> None:
        torch.set_num_threads(1)  # the time is that of one
        for name in self.only:
            if (self.folder / f"{name}.json").is_file():
                continue
            print(name, flush=True)
            train((VARIANTS | PEERS)[name], BASE, Leaves(), self.minutes, self.out / name)
            publish(self.out / name, name, self.folder, self.scenes, force=True)


if __name__ == "__main__":
    tyro.cli(Ablate)()
