"""The command line, a dataclass a command: ``scorevid train``, ``train-gaussian``, ``train-clips``, ``evaluate``, …"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Generic, Literal, TypeVar, Union

import torch
import tyro

from scorevid import checks
from scorevid.companion.prediction import check_ending, predict_video
from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.following import Following
from scorevid.denoisers.onnx_file import export
from scorevid.denoisers.recurrent import Recurrent
from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import FOLDER, load_denoiser
from scorevid.machine import best_device
from scorevid.sweep.command import Sweep
from scorevid.training.cards import score_card
from scorevid.training.parallel import is_first, make_processes
from scorevid.training.records import append_to_log
from scorevid.training.runs import open_run, publish, read_run, start_from
from scorevid.training.steps import Settings
from scorevid.training.trainer import SHORT, Trainer
from scorevid.worlds.registry import make_world, worlds

World = TypeVar("World")


@dataclass(frozen=True)
class Network:
    """The bias-free U-Net, or a peer: one that remembers the past in a state, one that does not look at the noisy frame."""

    widths: tuple[int, ...] = (32, 64, 128)  # channels at each scale, finest first
    lateral: bool = True  # hand the encoder's features to the decoder at each scale
    bias: bool = False  # add biases: no longer homogeneous
    normalise: bool = True  # scale before each ReLU
    regression: bool = False  # predict from the past alone, for comparison; of the rest the widths alone count
    recurrent: bool = False  # take in past frames one after the other, in a state; of the rest the widths alone count
    following: bool = False  # move past frames on along the motion first; of the rest the widths alone count

    def build(self, memory: int) -> UNet | Regression | Recurrent | Following:
        """The network, with its initial weights from torch's global generator. Raises ValueError for several peers at once."""
        own = asdict(self)
        peers = [kind for kind in (Regression, Recurrent, Following) if own.pop(kind.__name__.lower())]
        if len(peers) > 1:
            names = " and ".join(kind.__name__.lower() for kind in peers)
            raise ValueError(f"the network is one of regression, recurrent and following, got {names}")
        if peers:
            return peers[0](memory, self.widths)
        return UNet(memory, **own)

    @classmethod
    def of(cls, config: dict) -> Network:
        """The network of a configuration, whose memory is the world's."""
        own = {k.name: config[k.name] for k in fields(cls) if k.name in config}
        kind = config.get("type")
        own |= {peer: kind == peer.capitalize() for peer in ("regression", "recurrent", "following")}
        return cls(**own | {"widths": tuple(own["widths"])})


@dataclass(frozen=True, kw_only=True)
class Train(Generic[World]):
    """Train a blind denoiser on a world."""

    minutes: float | None = None  # stop after so many minutes, leaving a checkpoint to resume
    # continue the run in --out with its own settings, which those given here replace; --resume alone means yes, and auto
    # starts a run where there is none
    resume: Literal["no", "yes", "auto"] = "no"
    start: str | None = None  # published weights to begin with instead of random ones, of these widths
    device: str = "auto"  # cpu, cuda, or auto for the best there is
    out: Path  # folder of checkpoint.pt and log.jsonl
    devices: int = 1  # processes on each machine, which share each batch: a GPU each, or a part of the CPU's threads
    nodes: int = 1  # machines: start the command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set
    threads: int = 0  # CPU threads of a process, 0 for PyTorch's default
    log_every: int = 50  # steps between lines of the log
    save_every: float = 60.0  # seconds between checkpoints
    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    world: World
    network: Network = field(default_factory=Network)

    @property
    def resumes(self) -> bool:
        """Whether there is a run to be continued, which ``yes`` takes for granted."""
        return self.resume == "yes" or (self.resume == "auto" and (self.out / "checkpoint.pt").exists())

    def __call__(self) -> None:
        checks.integer("threads", self.threads, 0, os.cpu_count() or 1)
        processes, device = make_processes(self.device, self.devices, self.nodes)
        device = device or best_device(self.device)
        if self.resumes:
            trainer = open_run(self.out, device, world=self.world, **vars(self.settings))
            if self.network != Network.of(trainer.network.config):
                raise ValueError(f"the run in {self.out} goes on with its own network, not with another one")
        else:
            torch.manual_seed(self.settings.seed)
            trainer = Trainer(self.network.build(self.world.memory), self.world, self.settings, self.out, device=device)
            if self.start is not None:
                start_from(trainer, load_denoiser(self.start))
        trainer.distribute(processes)
        if self.threads:  # from here on, for Fabric deals out the processor's
            torch.set_num_threads(self.threads)
        say, state = print if processes.first else lambda *_, **__: None, trainer.state
        say(
            f"{sum(p.numel() for p in trainer.network.parameters()):,} parameters, {device}, "
            f"{'bf16' if trainer.bf16 else 'fp32'}, {trainer.settings.optimiser}, from step {state.step}"
            + (f", {processes.size} processes" if processes.size > 1 else "")
        )
        if trainer.loss.compiles and not (self.minutes and self.minutes <= SHORT):
            say(
                "compiling before the first update, a minute or less, and less in later runs (--no-compile does without)",
                flush=True,
            )
        if trainer.run(self.minutes, log_every=self.log_every, save_every=self.save_every):
            say(f"finished at step {state.step:,}: {trainer.checkpoint}")
        else:
            planned = f" of {state.planned_steps:,}" if state.planned_steps else ""
            say(f"stopped at step {state.step:,}{planned}: {trainer.checkpoint}\n--resume goes on from there")

    def with_defaults_of_run(self) -> Train:
        """The command that a resumed run takes options from: its own settings, world and network."""
        kept, world = read_run(self.out)
        if type(world) is not type(self.world):
            raise ValueError(f"the run in {self.out} is of {type(world).__name__}, not {type(self.world).__name__}")
        return replace(self, settings=kept.settings, world=world, network=Network.of(kept.config))


@dataclass(frozen=True)
class Evaluate:
    """Print what a denoiser scores: squared error over σ, and its distance from the optimal denoiser."""

    name: Annotated[str, tyro.conf.Positional]  # published weights, or the folder of a run
    scenes: int = 1000  # test scenes of each kind
    seed: int = 1_000_003  # of the test scenes
    append: bool = False  # for a run: add the scores to evaluations.jsonl in its folder, from where they reach the card

    def __call__(self) -> None:
        if (Path(self.name) / "checkpoint.pt").is_file():
            trainer = open_run(self.name, compile=False)
            scores = score_card(trainer.denoiser(), trainer.world, self.scenes, self.seed)
            if self.append:
                scores = {"images": trainer.state.images} | scores
                append_to_log(Path(self.name) / "evaluations.jsonl", scores)
        else:
            network = load_denoiser(self.name)
            scores = score_card(network, make_world(network.card["world"]), self.scenes, self.seed)
        print(json.dumps(scores, indent=2))


@dataclass(frozen=True)
class Publish:
    """Evaluate a run's averaged weights and write them with their card."""

    run: Annotated[Path, tyro.conf.Positional]  # folder of the run
    name: Annotated[str, tyro.conf.Positional]  # name of the weights
    folder: Path = FOLDER  # where to write them; the package's own folder by default
    scenes: int = 1000  # test scenes of each kind
    seed: int = 1_000_003  # of the test scenes
    licence: str = "MIT"  # what goes on the card; say there what data under other terms ask for
    force: bool = False  # replace weights of that name

    def __call__(self) -> None:
        path = publish(self.run, self.name, self.folder, self.scenes, self.seed, self.licence, self.force)
        print(f"wrote {path} and its card")


@dataclass(frozen=True)
class Export:
    """Write a trained network as an ONNX file, which runs without PyTorch."""

    name: Annotated[str, tyro.conf.Positional]  # published weights
    out: Path  # the file to write, net.onnx
    backward: bool = False  # write the backward pass instead, which gives local linear weights
    folder: Path = FOLDER  # where the weights are; the package's own folder by default

    def __call__(self) -> None:
        network = load_denoiser(self.name, self.folder)
        about = {k: network.card[k] for k in ("name", "licence", "sha256") if k in network.card}
        export(network, self.out, backward=self.backward, about=about)
        print(f"wrote {self.out}, {self.out.stat().st_size:,} bytes")


@dataclass(frozen=True)
class Predict:
    """Predict the next frames of a video file, and show samples, one-step mean and disagreement beside the true ones."""

    video: Annotated[Path, tyro.conf.Positional]  # a file that FFmpeg can read
    weights: str = "natural-32-m2"  # published weights, of which only those named natural were trained on video
    frames: int = 8  # next frames, each fed back as past
    samples: int = 4  # continuations
    out: Path = Path("prediction.gif")  # .gif or .mp4 for a moving picture, .png for a sheet of all frames
    at: int | None = None  # number, from 0, of the first next frame; the last frames of the file unless given
    height: int = 96  # rows that larger frames are shrunk to, those of the training by default; 0 keeps all
    steps: int = 12  # of the sampler; each frame of a sample takes two evaluations more
    seed: int = 0  # of the noise
    device: str = "auto"  # cpu, cuda, or auto for the best there is
    folder: Path = FOLDER  # where the weights are; the package's own folder by default

    def __call__(self) -> None:
        out = check_ending(self.out)
        checks.integer("height", self.height, 0)
        own = {name: getattr(self, name) for name in ("at", "steps", "seed", "folder")}
        own |= {"height": self.height or None, "device": best_device(self.device), "say": print, "progress": True}
        made = predict_video(self.video, self.weights, self.frames, self.samples, **own)
        made.write(out)
        if errors := made.errors():
            found = ", ".join(f"{name} {error:.3f}" for name, error in errors.items())
            print(f"root mean square error over the {len(made.truth)} true frames, grey units: {found}")
        else:
            print("the video ends after the past: there are no true frames to compare with")
        print(f"wrote {out}, {out.stat().st_size:,} bytes")


def commands() -> dict[str, tuple[type, object | None, str | None]]:
    """What each command makes, from which defaults, and its help where that is not its docstring."""
    trains = {}
    for entry in sorted(worlds().values(), key=lambda entry: entry.command):
        default = Train(out=Path("runs") / entry.folder, world=entry.world(**entry.defaults))
        described = f"Train a blind denoiser on {entry.video}; interrupt it whenever you like, and --resume."
        trains[entry.command] = Train[entry.world], default, described
    others = {"evaluate": Evaluate, "publish": Publish, "export": Export, "predict": Predict, "sweep": Sweep}
    return trains | {name: (kind, None, None) for name, kind in others.items()}


def parse(arguments: list[str]) -> object:
    """The command of a command line. Raises ValueError for values that cannot be, SystemExit for others and for --help."""
    if "" in arguments:
        before = ["scorevid", *arguments][arguments.index("")]
        raise ValueError(f"an empty string was given after {before}: was a variable not set?")
    words, known = [], commands()
    for word, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        words += [word, "yes"] if word == "--resume" and after not in ("no", "yes", "auto") else [word]
    if not words or words[0] not in known:
        kinds = [
            Annotated[kind, tyro.conf.subcommand(name, default=default or tyro.MISSING, description=described)]
            for name, (kind, default, described) in known.items()
        ]
        return tyro.cli(
            Union[tuple(kinds)],  # noqa: UP007
            args=words,
            prog="scorevid",
            description="Video prediction with the score of a density.",
        )
    kind, default, described = known[words[0]]
    how = {"args": words[1:], "prog": f"scorevid {words[0]}", "description": described}
    command = tyro.cli(kind, default=default, **how)
    if isinstance(command, Train) and command.resumes:  # read again, now that it is known whose defaults count
        command = tyro.cli(kind, default=command.with_defaults_of_run(), **how)
    return command


def main(arguments: list[str] | None = None) -> None:
    """Run a command; its arguments are those of the command line unless given."""
    given, arguments = arguments is not None, sys.argv[1:] if arguments is None else arguments
    if not given:
        warnings.formatwarning = lambda message, *_, **__: f"scorevid: {message}\n"
    try:
        command = parse(arguments)
        if given and isinstance(command, Train) and command.devices * command.nodes > 1:
            raise ValueError("several processes are started by the command line only, or by torchrun")
        command()
    except BrokenPipeError:  # whoever reads what is printed has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except (ValueError, OSError, ImportError, ArithmeticError, MemoryError, RuntimeError) as problem:
        if isinstance(problem, RuntimeError) and "memory" not in str(problem):
            raise
        if is_first():
            print("scorevid:", " ".join(str(problem).split()) or "there is not enough memory", file=sys.stderr)
        raise SystemExit(1) from None
