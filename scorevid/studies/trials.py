"""Ways to train a denoiser or to build it, each from random weights for equal processor time, judged on validation data.

**leaves**: which batch, widths, noise prior or scenes bring the choices between futures nearest to their law? Judged on scenes
of two and of four disks. **natural**: which network predicts natural video best? Judged on shots that no training has used.
Each trial differs from the first of its table, the base, in what its label says, and in what follows from it: the learning
rate falls where normalisation settles. "combined" was composed when the other trials had been judged.

The speed of a machine changes while others work on it. So the processor time of an update is measured for all trials in turns
(:func:`seconds_an_update`), and each gets as many updates as fit the minutes at that speed, in the stored results to within
two per cent. What is found here guides the choice of a network, which is then to be judged on other data.

``python -m scorevid.studies.trials leaves`` and ``python -m scorevid.studies.trials natural --shots DAVIS TRAIN`` train, judge
and store. Called with more minutes for some of them, they go on with the runs in ``runs/trials``, and store rows beside those
there are. Updates go by the times that are stored; an empty ``--folder`` has them measured anew.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Literal

import torch
import tyro

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.weights import load_card
from scorevid.machine import machine
from scorevid.measures.errors import excess_curve
from scorevid.noise.prior import NoisePrior
from scorevid.studies import natural
from scorevid.studies.ablations import Variant, train
from scorevid.studies.many import EIGHT, WORLD, scene_statistics
from scorevid.studies.stored import load_results, settings_of, store_results
from scorevid.training.runs import open_run, read_run
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.meetings import undecided_scenes
from scorevid.worlds.registry import make_world

BASE = {"memory": 2, "widths": (32, 64, 128)}
LEAVES = replace(WORLD, n_disks=5, fewest=2, joining=0.85, inferred=0.1)  #: of ``leaves-32-many``
SEED = 31  # of the scenes on which leaves are judged
SIGMAS = {"leaves": (5.0, 1.0, 0.3, 0.1), "natural": (0.1, 0.5, 1.0, 3.0)}  #: at which errors are stored
DISKS = (2, 4)  # of the scenes on which leaves are judged
FRAMES = 8  # of each shot on which natural video is judged
SCENES, SAMPLED, SAMPLES = 400, 200, 16  # of leaves: for the errors, for samples, and samples of each
JUDGED = {  #: what is stored of how trials are judged
    "leaves": {"seed": SEED, "scenes": SCENES, "sampled": SAMPLED, "samples": SAMPLES, "sampler": settings_of(EIGHT)},
    "natural": {"seed": 0, "frames": FRAMES},
}


@dataclass(frozen=True)
class Trial:
    """What is different from the base: how it is trained and built, and fields of the world it draws from."""

    variant: Variant
    world: dict = field(default_factory=dict)


def _leaves(label: str, network: dict | None = None, noise: dict | None = None, world: dict | None = None, **settings):
    noise = {"law": "peaked", "sigma_max": 5.0, "peak": (0.1, 2.5)} | (noise or {})
    common = {"freeze_norm_after": 2000, "frozen_lr_factor": 0.4}  # as on the command line
    return Trial(Variant(label, network or {}, noise, common | settings), world or {})


def _natural(label: str, network: dict | None = None, larger: bool = False):
    noise = {"law": "peaked", "sigma_max": 3.0, "peak": (0.1, 3.0)}
    common = {"freeze_norm_after": 2000, "frozen_lr_factor": 0.4, "batch": 12 if larger else 48}
    return Trial(Variant(label, network or {}, noise, common), {"size": 64 if larger else 32})


TRIALS: dict[str, dict[str, Trial]] = {
    "leaves": {
        "base": _leaves("base: three scales of 32, 64, 128 channels, batch of 48"),
        "slim": _leaves("16, 64, 128 channels", {"widths": (16, 64, 128)}),
        "four-scales": _leaves("a fourth scale of 128 channels", {"widths": (32, 64, 128, 128)}),
        "batch-16": _leaves("batch of 16", batch=16),
        "batch-128": _leaves("batch of 128", batch=128),
        "settles-early": _leaves("normalisation settles, and the rate falls, after 300 updates", freeze_norm_after=300),
        "full-rate": _leaves("full learning rate throughout", frozen_lr_factor=1.0),
        "log-uniform": _leaves("noise log-uniform", noise={"law": "log-uniform"}),
        "choices": _leaves("noise mostly where choices are made", noise={"peak": (0.3, 5.0), "sigma_min": 0.05}),
        "meetings": _leaves(
            "two disks, which always meet with close futures",
            world={"n_disks": 2, "fewest": None, "meeting": 1.0, "close": 1.0, "joining": 0.0, "inferred": 0.0},
        ),
        "combined": _leaves(
            "combined: batch of 16, full learning rate, noise from 0.2 to 5",
            noise={"peak": (0.2, 5.0)},
            batch=16,
            frozen_lr_factor=1.0,
        ),
    },
    "natural": {
        "plain": _natural("plain: three scales, 32 × 32 patches"),
        "four-scales": _natural("a fourth scale of 128 channels", {"widths": (32, 64, 128, 128)}),
        "wide": _natural("256 channels at the coarsest scale", {"widths": (32, 64, 256)}),
        "patches-64": _natural("64 × 64 patches, a quarter as many", larger=True),
        "following": _natural("follows motion, 64 × 64 patches", {"type": "Following"}, larger=True),
    },
}


def world_of(table: str, trial: Trial, shots: Sequence[Path] = ()):
    """What a trial draws from. shots: where DAVIS and the shots for training lie, for natural video.

    Which shots are kept for validation is as for ``natural-follow-m2``. Raises ValueError as the worlds do.
    """
    if table == "leaves":
        return replace(LEAVES, **trial.world)
    card = load_card("natural-follow-m2")["world"]
    return make_world(card | {"source": ["bank", *map(str, shots)]} | trial.world)


def seconds_an_update(
    trials: Mapping[str, tuple[Trial, object]], rounds: int = 6, updates: int = 8
) -> dict[str, float]:
    """Seconds of processor time of an update of each trial with its world, measured in turns; the median of the rounds.

    They are those after normalisation has settled and everything is compiled.
    """
    trainers, seconds = {}, {name: [] for name in trials}
    for name, (trial, world) in trials.items():
        common = {"steps": 10**6, "noise": NoisePrior(**trial.variant.noise)}
        settings = Settings(**common | trial.variant.settings | {"freeze_norm_after": 4})
        network = build_network(BASE | trial.variant.network)
        with tempfile.TemporaryDirectory() as folder:
            trainers[name] = Trainer(network, world, settings, folder)
        for _ in range(updates):
            trainers[name].update()
    for name in list(trials) * rounds:
        start = time.process_time()
        for _ in range(updates):
            trainers[name].update()
        seconds[name].append((time.process_time() - start) / updates)
    return {name: median(found) for name, found in seconds.items()}


def judged_on_leaves(f: Network, scenes: int = SCENES, sampled: int = SAMPLED, samples: int = SAMPLES) -> dict:
    """How near a denoiser's choices are to their law, on scenes for validation, as plain data.

    "excess 2", "excess 4": for so many disks the excess error where futures differ at each of SIGMAS, a lower one is better
    (:func:`~scorevid.measures.errors.excess_curve`). Of samples of the first ``sampled`` scenes with two disks: slope, error,
    blends, chi_square and rendering_error, as of :class:`~scorevid.studies.many.SceneStatistics`.
    """
    found = {}
    for disks in DISKS:
        scene, law = undecided_scenes(WORLD, scenes, torch.Generator().manual_seed(SEED), n_disks=disks)
        own = torch.Generator().manual_seed(SEED)
        curve = excess_curve(f, scene.past(), law, SIGMAS["leaves"], own, prior=NoisePrior(0.02, 5.0))
        found[f"excess {disks}"] = [list(point) for point in curve]
        if disks == 2:
            own = torch.Generator().manual_seed(SEED)
            drawn = EIGHT(f, scene.past()[:sampled], n_samples=samples, generator=own, batch_limit=32)
            record = scene_statistics(drawn, law[:sampled], SEED).record()
            kept = ("slope", "error", "blends", "chi_square", "rendering_error")
            found |= {name: record[name] for name in kept}
    return found


def judged_on_shots(f: Network, world, frames: int = FRAMES) -> dict:
    """PSNR of a denoiser on the shots for validation of a world, as plain data: shots, and "decibels", of each at each σ."""
    networks = natural.load_networks()
    judged = {"M = 0": networks["M = 0"], natural.REGRESSION: networks[natural.REGRESSION], "trial": f}
    records = natural.measure(replace(world, split="test", size=32), judged, SIGMAS["natural"], frames=frames)
    decibels = natural.margins.decibels(records, "trial")
    return {"shots": [r["shot"] for r in records], "decibels": decibels.round(4).tolist()}


@dataclass(frozen=True)
class Run:
    """Train trials of a table, judge them, and store what is found, by trial and minutes.

    Raises ValueError for a trial whose run has had more minutes than these.
    """

    table: tyro.conf.Positional[Literal["leaves", "natural"]]
    minutes: float = 6.0  # of processor time for each
    shots: tuple[Path, ...] = ()  # for natural video: DAVIS, and the shots for training
    out: Path = Path("runs/trials")  # folder of the runs
    only: tuple[str, ...] = ()  # which; all unless some are named
    folder: str = ""  # where to store the results; the package's own folder unless told

    def __call__(self) -> None:
        trials = TRIALS[self.table]
        for name in self.only:
            checks.one_of("only", name, trials)
        checks.number("minutes", self.minutes, above=0)
        torch.set_num_threads(1)  # the time is that of one
        worlds = {name: world_of(self.table, trial, self.shots) for name, trial in trials.items()}
        with torch._dynamo.config.patch(recompile_limit=16 * len(trials)):  # one function, compiled for each network
            parameters = self._parameters(worlds)
            for name in self.only or trials:
                print(name, flush=True)
                steps = int(60 * self.minutes / parameters["seconds_an_update"][name])
                run = self.out / self.table / name
                if (run / "checkpoint.pt").is_file() and read_run(run)[0].state.step > steps:
                    raise ValueError(f"minutes must be those that {run} has had or more, got {self.minutes}")
                train(trials[name].variant, BASE, worlds[name], None, run, steps)
                self._store(name, parameters, run)

    def _parameters(self, worlds: dict) -> dict:
        """Stored ones if there are some; else what trials are judged by, the machine, and the seconds of an update of each.

        They are measured once for each kind of update.
        """
        stored = self._stored()
        if stored["parameters"].get("seconds_an_update", {}).keys() >= worlds.keys():
            return stored["parameters"]
        kinds: dict[str, list[str]] = {}  # names of trials whose updates differ in nothing that takes time
        for name, world in worlds.items():
            variant = TRIALS[self.table][name].variant
            kinds.setdefault(repr((variant.network, variant.settings.get("batch"), world)), []).append(name)
        found = seconds_an_update(
            {names[0]: (TRIALS[self.table][names[0]], worlds[names[0]]) for names in kinds.values()}
        )
        parameters = {
            "sigmas": SIGMAS[self.table],
            "machine": machine(torch.device("cpu")),
            "seconds_an_update": {name: found[names[0]] for names in kinds.values() for name in names},
        } | JUDGED[self.table]
        store_results(f"trials_{self.table}", parameters, stored["results"], self.folder)
        return parameters

    def _stored(self) -> dict:
        with suppress(ValueError):
            return load_results(f"trials_{self.table}", self.folder)
        return {"parameters": {}, "results": []}

    def _store(self, name: str, parameters: dict, run: Path) -> None:
        """Judge a run, and put it beside the rows that there are."""
        trainer = open_run(run, compile=False)
        f = trainer.denoiser()
        found = judged_on_leaves(f) if self.table == "leaves" else judged_on_shots(f, trainer.world)
        row = {
            "trial": name,
            "label": TRIALS[self.table][name].variant.label,
            "minutes": self.minutes,
            "updates": trainer.state.step,
            "images": trainer.state.images,
            "parameters": sum(p.numel() for p in f.parameters()),
        } | found
        kept = [old for old in self._stored()["results"] if (old["trial"], old["minutes"]) != (name, self.minutes)]
        order = list(TRIALS[self.table])
        rows = sorted([*kept, row], key=lambda r: (r["minutes"], order.index(r["trial"])))
        store_results(f"trials_{self.table}", parameters, rows, self.folder)


if __name__ == "__main__":
    tyro.cli(Run)()
