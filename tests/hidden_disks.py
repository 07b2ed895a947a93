"""Scenes with a hidden disk, for the tests of the scenes and of what becomes of the disk."""

from functools import cache

import torch

from scorevid.worlds.leaves.hidden import hidden_scenes
from scorevid.worlds.leaves.scenes import Scene, render
from scorevid.worlds.leaves.world import Leaves

N, FRAMES = 40, 12


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@cache
def hidden_and_control():
    """N scenes whose disk 1 is hidden in the past, and the same with it in view."""
    return hidden_scenes(Leaves(), N, generator(), FRAMES)


def repainted(scene, grey):
    return scene.replace(grey=torch.stack([scene.grey[:, 0], grey], 1))


def at(scene, times):
    """Each scene rendered at its own time, (B, H, W)."""
    return torch.cat([render(scene[k], t[None])[:, 0] for k, t in enumerate(times)])


def passing(speed=2.0, depth=(0, 1)):
    """A disk of radius 3 behind one of radius 6 that rests; their centres meet one frame before the first predicted."""
    return Scene(
        position=torch.tensor([[[16.0, 16.0], [16.0 + speed, 16.0]]]),
        velocity=torch.tensor([[[0.0, 0.0], [speed, 0.0]]]),
        radius=torch.tensor([[6.0, 3.0]]),
        grey=torch.tensor([[0.1, 0.9]]),
        depth=torch.tensor([depth]),
    )
