"""A folder of training as something to come back to: continue it, look at its averaged network, publish that with a card."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

import scorevid
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.memory import with_longer_memory
from scorevid.denoisers.weights import save_denoiser
from scorevid.training.cards import score_card
from scorevid.training.records import FIRST_NAMES, Checkpoint, load_checkpoint, read_log
from scorevid.training.trainer import Trainer
from scorevid.worlds.registry import describe_world, make_world


def read_run(folder: Path | str) -> tuple[Checkpoint, object]:
    """The checkpoint of a run, and its world. Raises ValueError where there is no checkpoint."""
    path = Path(folder) / "checkpoint.pt"
    kept = load_checkpoint(path)
    try:
        return kept, make_world(kept.world)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}; go on with the version that wrote it") from problem


def open_run(folder: Path | str, device: torch.device | str = "cpu", *, world=None, **changes) -> Trainer:
    """The trainer of a run as its checkpoint left it: world, network and settings are the run's own.

    world: another one to go on with, of the same kind, frame size and memory. changes: fields of
    :class:`~scorevid.training.steps.Settings` to replace from here on, such as ``steps``, a new length of the whole run,
    over which the learning rate then falls. Raises ValueError where there is no checkpoint, for a world that does not fit,
    and for another optimiser, whose state the checkpoint does not hold.
    """
    kept, own = read_run(folder)
    world = own if world is None else world
    if (type(world), world.size, world.memory) != (type(own), own.size, own.memory):
        raise ValueError(f"the run in {folder} goes on with frames and a memory like those of {own}, not with {world}")
    settings = replace(kept.settings, **changes)
    return Trainer(build_network(kept.config), world, settings, folder, device=device, resume=True)


def start_from(trainer: Trainer, published: Network) -> None:
    """Begin a run with weights that have been trained, with a shorter memory perhaps; normalisation keeps their statistics.

    published: with its card, as of :func:`~scorevid.denoisers.weights.load_denoiser`. Past frames older than those that it was
    trained with have no effect at first. Raises ValueError for a run that has begun, and for a network of another kind, other
    widths or a longer memory.
    """
    if trainer.state.step:
        raise ValueError(f"a run that has made {trainer.state.step} updates cannot start from other weights")
    trainer.network.load_state_dict(with_longer_memory(published, trainer.network.config).state_dict())
    trainer.ema = [p.detach().clone() for p in trainer.network.parameters()]
    trainer.state.changes.append({"until_step": 0, "started_from": published.card["name"]})
    trainer.freeze()


def go_on_from(trainer: Trainer, published: Network) -> None:
    """Continue the training of a published network whose run is gone: its updates, images and time count, all else is new.

    Training begins with its averaged weights. Normalisation keeps its statistics where the settings freeze them at all.
    published: with its card, as of :func:`~scorevid.denoisers.weights.load_denoiser`. Raises ValueError for a run that has
    begun, for one that is planned for no more updates, and for another network or seed.
    """
    done, state, seed = published.card["training"], trainer.state, trainer.settings.seed
    if state.step:
        raise ValueError(f"a run that has made {state.step} updates cannot go on from other weights")
    if published.config != trainer.network.config or done["seed"] != seed:
        text = f"{published.config} with the seed {done['seed']}"
        raise ValueError(f"the run of {published.card['name']} has {text}, not {trainer.network.config} with {seed}")
    if (state.planned_steps or math.inf) <= done["steps"]:
        raise ValueError(f"{published.card['name']} has {done['steps']} updates, and {state.planned_steps} are planned")
    trainer.network.load_state_dict(published.state_dict())
    trainer.ema = [p.detach().clone() for p in trainer.network.parameters()]
    state.step, state.images, state.seconds = done["steps"], done["images"], 3600 * done["hours"]
    changed = {} if done["batch"] == trainer.settings.batch else {"batch": done["batch"]}
    state.changes = [*done["changes"], {"until_step": state.step, "went_on_from": published.card["name"]} | changed]
    if trainer.settings.freeze_norm_after is not None:
        state.frozen_at = state.step
        trainer.freeze()


def publish(
    run: Path | str,
    name: str,
    folder: Path | str,
    scenes: int = 1000,
    seed: int = 1_000_003,
    licence: str = "MIT",
    force: bool = False,
) -> Path:
    """Write the averaged network of a run as NAME.safetensors and NAME.json; returns the path of the weights.

    scenes, seed: of the scenes that the scores on the card are from. licence: of the weights, with what the data ask for.
    force: to replace weights of that name. Raises FileExistsError where there are some, and ValueError for a bad name.
    """
    folder = Path(folder)
    if name != Path(name).name:
        raise ValueError(f"name must be a file name without folder and ending, got {name!r}")
    there = [path for path in (folder / f"{name}.safetensors", folder / f"{name}.json") if path.exists()]
    if there and not force:
        raise FileExistsError(f"{there[0]} exists: choose another name, or replace it with --force")
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
    state, settings = trainer.state, asdict(trainer.settings)
    settings["lr_muon"] = settings["lr_muon"] if settings["optimiser"] == "muon" else None
    how = {old: settings.pop(new) for old, new in FIRST_NAMES.items()}  # which cards have kept
    log = read_log(trainer.log) if trainer.log.exists() else []  # a run may be shorter than a line of it
    thinned = log[: -1 : max(1, len(log) // 200)] + log[-1:]
    world = describe_world(trainer.world)
    if source := world.get("source"):  # names of files alone: where they lie is no one else's business
        world["source"] = Path(source).name if isinstance(source, str) else [Path(one).name for one in source]
    return {
        "made": datetime.now(UTC).date().isoformat(),
        "world": world,
        "noise": settings["noise"],
        "past_noise": settings["past"],
        "training": {
            **{name: settings[name] for name in ("seed", "batch", "optimiser", "lr", "lr_muon", "warmup")},
            **how,
            **{"steps": state.step, "planned_steps": state.planned_steps, "images": state.images},
            "hours": round(state.seconds / 3600, 3),
            "changes": state.changes,
            "precision": "bf16 autocast" if trainer.bf16 else "fp32",
        },
        "machine": {k: v for k, v in state.made_on.items() if k != "versions"},
        "versions": {"scorevid": scorevid.__version__} | state.made_on["versions"],
        "learning_curve": [{k: line[k] for k in ("images", "loss", "seconds")} for line in thinned],
    }
