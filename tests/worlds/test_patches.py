"""Held-out patches, and the worlds of shots that were held out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from made_davis import write_davis

from scorevid.worlds.clips.patches import held_out, only_held_out
from scorevid.worlds.clips.world import Clips, footage

pytestmark = pytest.mark.filterwarnings("ignore::scorevid.worlds.clips.readers.UncheckedFootage")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(frames=8, tall=48, wide=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (frames, tall, wide), dtype=np.uint8)


@pytest.fixture(scope="module")
def drifts(tmp_path_factory):
    """An .npz whose every pixel tells its frame, row and column: "a" and "b" alike but for the test shot's offset."""
    t, i, j = np.meshgrid(np.arange(9), np.arange(40), np.arange(50), indexing="ij")
    path = tmp_path_factory.mktemp("drifts") / "drifts.npz"
    np.savez(path, a=(20 * t + i + j).astype(np.uint8), b=(20 * t + 2 * i + j).astype(np.uint8))
    return str(path)


@pytest.fixture
def mixed_folder(tmp_path):
    """DAVIS with sequences held out of a training in both lists, and one in "val" that was in training."""
    return write_davis(tmp_path, {"bear": 6, "wolf": 6}, {"seen": 6, "goat": 6})


def test_what_was_trained_on_is_not_measured_whatever_davis_calls_it(mixed_folder):
    """That "val" counts as for testing would let it in."""
    world = Clips(test=("goat", "wolf"), height=32)
    assert {"seen"} < set(replace(world, source=str(mixed_folder), split="test").clips())
    held = only_held_out(world, str(mixed_folder))
    assert list(held.clips()) == ["goat", "wolf"] and set(held_out(held).clip) == {"goat", "wolf"}
    frames = {name: clip.frames for name, clip in footage(str(mixed_folder), height=32).items()}
    np.savez(mixed_folder / "all.npz", **frames)  # a file does not tell what is for testing
    from_file = only_held_out(world, str(mixed_folder / "all.npz"))
    assert held_out(from_file).clip == held_out(held).clip and torch.equal(held_out(from_file).x, held_out(held).x)


def test_held_out_shots_that_cannot_be_measured_are_named(mixed_folder):
    source = str(mixed_folder)
    with pytest.raises(ValueError, match="names no shots that were held out"):
        only_held_out(Clips(height=32), source)
    with pytest.raises(ValueError, match="no shot is named fox, lynx; there are bear, wolf, seen, goat"):
        only_held_out(Clips(test=("goat", "lynx", "fox"), height=32), source)
    with pytest.raises(ValueError, match=r"there is no .*nowhere"):
        only_held_out(Clips(test=("goat",)), str(mixed_folder / "nowhere"))
    np.savez(mixed_folder / "some.npz", goat=noise(3), wolf=noise())
    with pytest.raises(ValueError, match=r"goat of .* too short or too small"):
        only_held_out(Clips(test=("goat", "wolf"), memory=3), str(mixed_folder / "some.npz"))
    for name in ("goat", "wolf"):
        shutil.rmtree(mixed_folder / "JPEGImages" / "480p" / name)
    with pytest.raises(ValueError, match="480p lacks wolf, goat"):
        only_held_out(Clips(test=("goat", "wolf"), height=33), source)


def test_held_out_patches_share_no_pixel_and_are_where_they_say(drifts):
    world = Clips(source=drifts, split="test", test=("a", "b"), size=16, memory=2)
    found = held_out(world)
    n = 2 * 3 * (2 * 3)  # shots, times 3 of 9 frames, 2 rows of tiles of 3
    assert found.c.shape == (n, 2, 16, 16) and found.x.shape == (n, 1, 16, 16) and len(found.clip) == n
    taken = set()
    for k, name in enumerate(found.clip):
        t, i, j = found.place[k].tolist()
        cut = footage(drifts)[name].frames[t - 2 : t + 1, i : i + 16, j : j + 16]
        assert (torch.cat([found.c[k], found.x[k]]) * 255).round().equal(torch.from_numpy(cut).float())
        pixels = {(name, s, p, q) for s in range(t - 2, t + 1) for p in range(i, i + 16) for q in range(j, j + 16)}
        assert not taken & pixels
        taken |= pixels
    assert torch.allclose(found.motion, (found.x - found.c[:, -1:]).square().mean((1, 2, 3)).sqrt())


def test_so_many_held_out_patches_of_each_shot_chosen_by_a_seed(drifts):
    world = Clips(source=drifts, split="test", test=("a", "b"), size=16, memory=0)
    found, again, other = (held_out(world, most=4, seed=seed) for seed in (0, 0, 1))
    assert found.clip == ["a"] * 4 + ["b"] * 4
    assert found.c.shape == (8, 0, 16, 16)
    assert torch.equal(found.place, again.place) and not torch.equal(found.place, other.place)
    assert (found.motion > 0).all()
    with pytest.raises(ValueError, match="most must be"):
        held_out(world, most=0)
