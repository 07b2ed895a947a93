"""From a run of training to published weights with a card."""

from __future__ import annotations

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

import scorevid
from scorevid.evaluation import report
from scorevid.runs import open_run
from scorevid.training import Trainer, read_log
from scorevid.weights import save_denoiser


def publish(run: Path | str, name: str, folder: Path | str, scenes: int = 1000, seed: int = 1_000_003) -> Path:
    """Write the averaged network of a run as NAME.safetensors and NAME.json; returns the path of the weights."""
    trainer = open_run(run, compile=False)
    network = trainer.denoiser()
    card = describe(trainer) | {"evaluation": report(network, trainer.world, scenes, seed)}
    evaluations = Path(run) / "evaluations.jsonl"
    if evaluations.exists():
        card["evaluations"] = read_log(evaluations)
    return save_denoiser(network, name, card, folder)


def describe(trainer: Trainer) -> dict:
    """How a run's network was made: data, noise prior, settings, steps, time, machine, versions, learning curve."""
    s = trainer.settings
    log = read_log(trainer.log) if trainer.log.exists() else []  # a run may be shorter than a line of it
    thinned = log[: -1 : max(1, len(log) // 200)] + log[-1:]
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "world": {"name": type(trainer.world).__name__, **vars(trainer.world)},
        "noise": vars(s.noise),
        "training": {
            "seed": s.seed,
            "steps": trainer.step,
            "planned_steps": trainer.steps,
            "batch": s.batch,
            "images": trainer.step * s.batch,
            "hours": round(trainer.seconds / 3600, 3),
            "optimiser": s.optimiser,
            "lr": s.lr,
            "lr_muon": s.lr_muon if s.optimiser == "muon" else None,
            "warmup": s.warmup,
            "settle": s.settle,
            "averaging": s.averaging,
            "changes": trainer.changes,
            "precision": "bf16 autocast" if trainer.bf16 else "fp32",
        },
        "machine": {"processor": processor(), "threads": torch.get_num_threads(), "device": str(trainer.device)},
        "versions": {
            "scorevid": scorevid.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": ".".join(map(str, sys.version_info[:3])),
        },
        "licence": "MIT",
        "learning_curve": [{k: line[k] for k in ("images", "loss", "seconds")} for line in thinned],
    }


def processor() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
