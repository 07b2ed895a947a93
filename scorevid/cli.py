"""The command line: ``scorevid train``, ``scorevid evaluate``, ``scorevid publish``, each a dataclass."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from scorevid.denoiser import Denoiser
from scorevid.evaluation import report
from scorevid.publishing import publish
from scorevid.runs import make_world, open_run
from scorevid.training import Settings, Trainer
from scorevid.weights import FOLDER, load_denoiser
from scorevid.worlds.leaves import Leaves


@dataclass(frozen=True)
class Network:
    """The bias-free U-Net."""

    widths: tuple[int, ...] = (32, 64, 128)  # channels at each scale, finest first
    lateral: bool = True  # hand the encoder's features to the decoder at each scale


@dataclass(frozen=True)
class Train:
    """Train a blind denoiser on moving leaves; interrupt it whenever you like, and --resume."""

    minutes: float | None = None  # stop after so many minutes, leaving a checkpoint to resume
    resume: bool = False  # continue the run in --out, whose world, network and settings it keeps; --steps may be longer
    device: str = "auto"  # cpu, cuda, or auto for the best there is
    out: Path = Path("runs/leaves")  # folder of checkpoint.pt and log.jsonl
    threads: int = 0  # CPU threads, 0 for PyTorch's default
    log_every: int = 50  # steps between lines of the log
    save_every: float = 60.0  # seconds between checkpoints
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    world: Leaves = field(default_factory=Leaves)
    network: Network = field(default_factory=Network)

    def __call__(self) -> None:
        if self.threads:
            torch.set_num_threads(self.threads)
        device = best_device(self.device)
        if self.resume:
            trainer = open_run(self.out, device, steps=self.settings.steps)
        else:
            torch.manual_seed(self.settings.seed)
            network = Denoiser(self.world.memory, self.network.widths, self.network.lateral)
            trainer = Trainer(network, self.world, self.settings, self.out, device=device)
        print(
            f"{sum(p.numel() for p in trainer.network.parameters()):,} parameters, {device}, "
            f"{'bf16' if trainer.bf16 else 'fp32'}, {trainer.settings.optimiser}, from step {trainer.step}"
        )
        done = trainer.run(self.minutes, log_every=self.log_every, save_every=self.save_every)
        print(f"{'finished' if done else 'stopped'} at step {trainer.step} of {trainer.steps}: {trainer.checkpoint}")


@dataclass(frozen=True)
class Evaluate:
    """Print what a denoiser scores: squared error over σ, and excess error where the futures differ."""

    name: Annotated[str, tyro.conf.Positional]  # published weights, or the folder of a run
    scenes: int = 1000  # test scenes of each kind
    seed: int = 1_000_003  # of the test scenes

    def __call__(self) -> None:
        if (Path(self.name) / "checkpoint.pt").is_file():
            trainer = open_run(self.name, compile=False)
            network, world = trainer.denoiser(), trainer.world
        else:
            network = load_denoiser(self.name)
            world = make_world(network.card["world"])
        print(json.dumps(report(network, world, self.scenes, self.seed), indent=2))


@dataclass(frozen=True)
class Publish:
    """Evaluate a run's averaged weights and write them with their card."""

    run: Annotated[Path, tyro.conf.Positional]  # folder of the run
    name: Annotated[str, tyro.conf.Positional]  # name of the weights
    folder: Path = FOLDER  # where to write them; the package's own folder unless told
    scenes: int = 1000  # test scenes of each kind
    seed: int = 1_000_003  # of the test scenes

    def __call__(self) -> None:
        path = publish(self.run, self.name, self.folder, self.scenes, self.seed)
        print(f"wrote {path} and its card")


def best_device(name: str) -> torch.device:
    """The device of that name; "auto" is CUDA where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def main(arguments: list[str] | None = None) -> None:
    command = tyro.extras.subcommand_cli_from_dict(
        {"train": Train, "evaluate": Evaluate, "publish": Publish},
        args=arguments,
        prog="scorevid",
        description="Video prediction with the score of a conditional density.",
    )
    command()
