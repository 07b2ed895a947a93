"""From a run of training to published weights with a card."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import scorevid
from scorevid.denoisers.weights import save_denoiser
from scorevid.measures.cards import score_card
from scorevid.training.logs import read_log
from scorevid.training.runs import open_run
from scorevid.training.trainer import Trainer


def publish(
    run: Path | str, name: str, folder: Path | str, scenes: int = 1000, seed: int = 1_000_003, licence: str = "MIT"
) -> Path:
    """Write the averaged network of a run as NAME.safetensors and NAME.json; returns the path of the weights.

    scenes, seed: of the scenes that the scores on the card are from. licence: of the weights, with what the data ask for.
    """
    trainer = open_run(run, compile=False)
    network = trainer.denoiser()
    card = describe(trainer) | {"licence": licence, "evaluation": score_card(network, trainer.world, scenes, seed)}
    evaluations = Path(run) / "evaluations.jsonl"
    if evaluations.exists():
        by_images = {scores["images"]: scores for scores in read_log(evaluations)}
        card["evaluations"] = [by_images[k] for k in sorted(by_images)]
    return save_denoiser(network, name, card, folder)


def describe(trainer: Trainer) -> dict:
    """How a run's network was made: data, noise prior, settings, steps, time, machine, versions, learning curve."""
    s = trainer.settings
    log = read_log(trainer.log) if trainer.log.exists() else []  # a run may be shorter than a line of it
    thinned = log[: -1 : max(1, len(log) // 200)] + log[-1:]
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "world": {"name": type(trainer.world).__name__, **_without_folders(vars(trainer.world))},
        "noise": vars(s.noise),
        "past_noise": vars(s.past),
        "training": {
            "seed": s.seed,
            "steps": trainer.step,
            "planned_steps": trainer.steps,
            "batch": s.batch,
            "images": trainer.images,
            "hours": round(trainer.seconds / 3600, 3),
            "optimiser": s.optimiser,
            "lr": s.lr,
            "lr_muon": s.lr_muon if s.optimiser == "muon" else None,
            "warmup": s.warmup,
            "settle": s.settle,
            "settled_rate": s.settled_rate,
            "averaging": s.averaging,
            "changes": trainer.changes,
            "precision": "bf16 autocast" if trainer.bf16 else "fp32",
        },
        "machine": {k: v for k, v in trainer.made_on.items() if k != "versions"},
        "versions": {"scorevid": scorevid.__version__} | trainer.made_on["versions"],
        "learning_curve": [{k: line[k] for k in ("images", "loss", "seconds")} for line in thinned],
    }


def _without_folders(world: dict) -> dict:
    """A world's parameters with the names alone of the files that it reads: where they lie is no one else's business."""
    if "source" not in world:
        return world
    source = world["source"]
    names = Path(source).name if isinstance(source, str) else tuple(Path(one).name for one in source)
    return world | {"source": names}
