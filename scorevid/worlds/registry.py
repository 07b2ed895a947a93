"""The worlds by name: a world's module registers its class, and cards, checkpoints and command line find it.

A new world is one module of this room, or a package with a module ``world``. Nothing else lists worlds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, is_dataclass

import torch
from torch import Tensor

import scorevid.worlds
from scorevid.worlds.futures import Futures


@dataclass(frozen=True)
class Registered:
    """A world's class, and how the command line trains on it."""

    world: type  # a dataclass with size, memory and draw(batch, generator) -> (c, x)
    command: str  # the command that trains on it, such as "train-clips"
    video: str  # what it shows, in the command's help
    folder: str  # default name of the folder of a run, in runs/
    defaults: dict = field(default_factory=dict)  # fields whose default on the command line is another one


@dataclass(frozen=True)
class TestScenes:
    """Scenes that training cannot have seen, and what their world knows of them: by this a denoiser is judged.

    A world returns them from ``test_scenes(n, generator)``; of one without this method they are :meth:`draw`.
    c (N, M, H, W), x (N, 1, H, W): past frames and next. copy_error: mean squared error a pixel of the last frame, (). linear:
    whether the optimal denoiser is the Wiener filter of the world. undecided: (n, generator) -> (c, futures), draws n scenes
    with finitely many known futures.
    """

    __test__ = False  # no test of pytest's

    c: Tensor
    x: Tensor
    copy_error: Tensor
    linear: bool = False
    undecided: Callable[[int, torch.Generator], tuple[Tensor, Futures]] | None = None

    @classmethod
    def draw(cls, world, n: int, generator: torch.Generator, **known) -> TestScenes:
        """As a world draws them for training, with other seeds. known: ``linear``, ``undecided``."""
        c, x = world.draw(n, generator)
        return cls(c, x, (c[:, -1:] - x).square().mean(), **known)


_WORLDS: dict[str, Registered] = {}


def register(command: str, video: str, folder: str, **defaults) -> Callable[[type], type]:
    """Class decorator that makes a world known; arguments as in :class:`Registered`."""

    def registering(world: type) -> type:
        _WORLDS[world.__name__] = Registered(world, command, video, folder, defaults)
        return world

    return registering


def worlds() -> dict[str, Registered]:
    """All worlds by the name of their class: those of this room, and any that other modules have registered."""
    for module in pkgutil.iter_modules(scorevid.worlds.__path__, "scorevid.worlds."):
        importlib.import_module(f"{module.name}.world" if module.ispkg else module.name)
    return _WORLDS


def describe_world(world) -> dict:
    """What a checkpoint or a card holds of a world: its name and its parameters."""
    return {"name": type(world).__name__, **(asdict(world) if is_dataclass(world) else {})}


def make_world(description: dict):
    """A world from its description, in which ``earlier`` of the class fills in fields that were not there yet.

    Raises ValueError for an unknown name or parameter, and as the world does.
    """
    parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in description.items()}
    name, known = parameters.pop("name"), worlds()
    if name not in known:
        raise ValueError(f"there is no world named {name!r}; known are {', '.join(known)}")
    world = known[name].world
    try:
        return world(**{**getattr(world, "earlier", {}), **parameters})
    except TypeError as problem:
        raise ValueError(f"this version of scorevid cannot make the world {name}: {problem}") from None
