"""Natural video as a world: the patches that are drawn."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_davis import write_davis
from made_video import write_video

from scorevid.worlds.clips.bank import bank
from scorevid.worlds.clips.patches import held_out
from scorevid.worlds.clips.readers import SEEN
from scorevid.worlds.clips.world import Clips, footage
from scorevid.worlds.registry import make_world

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
def davis_folder(tmp_path):
    """The official layout with three short sequences; "pigs" has the frames that repeat others."""
    return write_davis(tmp_path, {"pigs": 27, "bear": 4}, {"goat": 5})


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 40), st.integers(0, 3), st.integers(1, 9), st.integers(1, 2), st.sampled_from([0.0, 0.5, 1.0]))
def test_draws_have_their_shape_and_range(drifts, size, memory, batch, stride, motion):
    world = Clips(size=size, memory=memory, source=drifts, stride=stride, motion=motion)
    c, x = world.draw(batch, generator())
    assert c.shape == (batch, memory, size, size) and x.shape == (batch, 1, size, size)
    assert c.dtype == x.dtype == torch.float32
    assert (x >= 0).all() and (x <= 1).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_are_cut_in_order_and_where_they_belong(tmp_path, stride):
    t, i, j = np.meshgrid(np.arange(7), np.arange(34), np.arange(36), indexing="ij")
    np.savez(tmp_path / "a.npz", a=(60 * (t % 4) + i + j // 2).astype(np.uint8))
    world = Clips(source=str(tmp_path / "a.npz"), memory=2, stride=stride, flip=False, motion=0.5)
    c, x = (255 * v for v in world.draw(200, generator()))
    frames = torch.cat([c, x], 1).round()
    step = frames[:, 1:] - frames[:, :-1]
    assert (step.sub(60 * stride).remainder(240) == 0).all()
    assert (frames.diff(dim=2) == 1).all()  # rows follow each other
    assert set(frames[:, :, 0].diff(dim=2).unique().tolist()) == {0, 1}


def test_all_places_of_a_shot_are_drawn_whole_and_no_others(tmp_path):
    """Pixels number frames, rows and columns, so that the corner of x tells where it was cut."""
    frames = np.zeros((5, 35, 37), np.uint8)
    frames[:] = np.arange(37) + 40 * np.arange(5)[:, None, None]
    frames[:, :, 36] = frames[:, :, 35]
    np.savez(tmp_path / "a.npz", a=frames)
    for motion in (0.0, 1.0):
        world = Clips(source=str(tmp_path / "a.npz"), memory=2, motion=motion, flip=False)
        corner = (255 * world.draw(600, generator())[1][:, 0, 0, 0]).round().int()
        assert set((corner % 40).tolist()) == set(range(6))
        assert set((corner // 40).tolist()) == {2, 3, 4}


def test_a_seed_gives_the_same_draws_and_the_global_generator_is_left_alone(drifts):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    world = Clips(source=drifts)
    first, again, other = (world.draw(16, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    held_out(replace(world, split="test", test=("b",)), most=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_memories_see_the_same_next_frames(drifts):
    drawn = {memory: Clips(source=drifts, memory=memory).draw(50, generator()) for memory in (0, 1)}
    assert torch.equal(drawn[0][1], drawn[1][1])


def test_every_other_draw_is_mirrored_with_its_past(drifts):
    plain = torch.cat(Clips(source=drifts, flip=False).draw(400, generator()), 1)
    some = torch.cat(Clips(source=drifts).draw(400, generator()), 1)
    same = (some == plain).flatten(1).all(1)
    mirrored = (some == plain.flip(3)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 150 < same.sum() < 250


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 3), st.integers(1, 60), st.booleans(), st.integers(20, 44))
def test_the_place_of_every_other_draw_pans_at_a_speed_of_its_own(tmp_path_factory, memory, pan, flip, size):
    """Over frames that tell row and column and stand still: the past is the same picture from further off."""
    row, column = np.meshgrid(np.arange(50), np.arange(60), indexing="ij")
    path = tmp_path_factory.getbasetemp() / "still.npz"
    np.savez(
        path, row=np.broadcast_to(row.astype(np.uint8), (9, 50, 60)), column=np.tile(column.astype(np.uint8), (9, 1, 1))
    )
    for k, name in enumerate(("row", "column")):
        world = Clips(size=size, memory=memory, source=str(path), only=(name,), flip=flip)
        _, x = (255 * v for v in world.draw(300, generator()))
        past, same = (255 * v for v in replace(world, pan=pan).draw(300, generator()))
        assert torch.equal(same, x)
        frames = torch.cat([past, same], 1).round().double()
        assert frames.max() < (50, 60)[k]  # nothing from another row
        speed = frames.diff(dim=1)
        assert (speed == speed[:, :1, :1, :1]).all()  # all pixels and frames of a draw alike
        if memory:
            speed = speed[:, 0, 0, 0]
            assert speed.abs().max() <= min(pan, ((50, 60)[k] - size) // memory)
            assert 0.3 < (speed == 0).double().mean() < 0.9 and speed.max() > 0 > speed.min()


@pytest.mark.parametrize("memory", [0, 2])
def test_every_fourth_draw_is_of_twice_the_size_made_smaller(tmp_path, memory):
    """A ramp climbs twice as fast from pixel to pixel, and a pan of one pixel is one of half a pixel."""
    ramp = np.broadcast_to(np.arange(90, dtype=np.uint8)[:, None], (6, 90, 80))
    np.savez(tmp_path / "ramp.npz", ramp=ramp)
    world = Clips(size=16, memory=memory, source=str(tmp_path / "ramp.npz"), pan=3, halved=True)
    c, x = (255 * v for v in world.draw(403, generator()))
    assert c.shape == (403, memory, 16, 16) and x.shape == (403, 1, 16, 16)
    near, far = x[:303], x[303:]
    for some, step in ((near, 1), (far, 2)):
        assert torch.allclose(some.diff(dim=2), torch.tensor(float(step)), atol=1e-3)
    assert torch.allclose(far[..., :1, :].frac(), torch.tensor(0.5), atol=1e-3)  # the mean of two rows
    if memory:
        climbs = (x - c[:, -1:])[303:].mean((1, 2, 3)) / 2  # in pixels of the smaller frames
        assert set((2 * climbs).round().int().tolist()) == set(range(-3, 4))
    with pytest.raises(ValueError, match="96 × 96 pixels"):
        replace(world, size=48).draw(8, generator())


def test_places_of_much_motion_are_chosen_in_proportion_to_it(tmp_path):
    """A shot that is still on the left, and whose right half flickers."""
    frames = np.full((6, 32, 160), 100, np.uint8)
    frames[::2, :, 96:] = 150
    np.savez(tmp_path / "half.npz", half=frames)

    def energy(motion):
        c, x = Clips(source=str(tmp_path / "half.npz"), motion=motion).draw(2000, generator())
        return (x - c[:, -1:]).square().mean((1, 2, 3)) * (255 / 50) ** 2  # share of pixels that flicker

    assert (energy(1.0) > 0).all()
    # over places g = 0 … 128, E(g) = clip((g − 64) / 32, 0, 1): its mean, and the mean of its square over its mean
    place = torch.arange(129.0)
    share = ((place - 64) / 32).clamp(0, 1)
    assert energy(0.0).mean() == pytest.approx(share.mean().item(), abs=0.04)
    assert energy(1.0).mean() == pytest.approx((share.square().mean() / share.mean()).item(), abs=0.04)


def test_motion_is_stronger_in_the_bank_where_it_is_asked_for():
    change = {}
    for motion in (0.0, 1.0):
        c, x = Clips(motion=motion).draw(500, generator())
        change[motion] = (x - c[:, -1:]).square().mean()
    assert change[1.0] > 1.5 * change[0.0]


def test_where_nothing_moves_places_are_drawn_evenly(tmp_path):
    np.savez(tmp_path / "still.npz", still=np.broadcast_to(np.arange(64, dtype=np.uint8), (3, 32, 64)))
    x = Clips(source=str(tmp_path / "still.npz"), motion=1.0, memory=1, flip=False).draw(500, generator())[1]
    left = (255 * x[:, 0, 0, 0]).round()
    assert left.min() < 3 and left.max() > 29 and abs(left.mean() - 16) < 2


def test_long_shots_are_drawn_by_the_root_of_their_length(tmp_path):
    shots = {"short": np.full((4, 32, 32), 10, np.uint8), "long": np.full((36, 32, 32), 90, np.uint8)}
    np.savez(tmp_path / "two.npz", **shots)
    x = Clips(source=str(tmp_path / "two.npz")).draw(2000, generator())[1]
    assert (x.mean((1, 2, 3)) > 0.2).float().mean().item() == pytest.approx(3 / 4, abs=0.04)


def test_splits_are_kept_apart(drifts):
    assert set(Clips(split="test").clips()) == {"bikes-0", "taz"}
    assert set(Clips(split=SEEN).clips()) == {"vtest-675"}
    assert not {"bikes-0", "taz", "vtest-675"} & set(Clips().clips())
    mixed = Clips(source=("bank", drifts), test=("b",))
    assert "a" in mixed.clips() and "b" not in mixed.clips() and "cup" in mixed.clips()
    assert set(replace(mixed, split="test").clips()) == {"bikes-0", "taz", "b"}
    assert bank()["taz"].split == "test"


def test_only_the_shots_that_are_named_are_taken_and_in_that_order(drifts, davis_folder):
    world = Clips(source=("bank", drifts, str(davis_folder)), test=("b",), only=("goat", "b", "taz"), height=32)
    assert list(replace(world, split="test").clips()) == ["goat", "b", "taz"]
    assert list(replace(world, only=("pigs", "b")).clips()) == ["pigs"]
    shutil.rmtree(davis_folder / "JPEGImages" / "480p" / "bear")
    assert list(footage(str(davis_folder), height=33, only=("pigs",))) == ["pigs"]  # others are not even read
    with pytest.raises(ValueError, match="no shot is named fox, wolf; there are a, b, pigs, bear, goat"):
        footage((drifts, str(davis_folder)), ("wolf",), 32, ("fox", "b"))


def test_shots_too_short_or_too_small_are_left_out(tmp_path, drifts):
    np.savez(tmp_path / "mixed.npz", short=noise(3), small=noise(tall=40), good=noise())
    path = str(tmp_path / "mixed.npz")
    assert set(Clips(source=path, size=44, memory=3).clips()) == {"good"}
    with pytest.raises(ValueError, match=r"no shot in the split 'train' of 9 frames.*short \(3, 48, 64\)"):
        Clips(source=path, memory=4, stride=2).draw(1, generator())
    with pytest.raises(ValueError, match="64 × 64 pixels or more"):
        Clips(source=drifts, size=64).draw(1, generator())
    with pytest.raises(ValueError, match="no shot in the split 'test'"):
        Clips(source=drifts, split="test").draw(1, generator())


def test_sources_may_be_files_of_all_kinds(drifts, davis_folder, tmp_path):
    found = footage((drifts, str(davis_folder)), height=32)
    assert list(found) == ["a", "b", "pigs", "bear", "goat"]
    write_video(tmp_path / "mine.mkv", noise())
    world = Clips(source=str(tmp_path / "mine.mkv"), height=40)
    assert world.clips()["mine.mkv"].frames.shape == (8, 40, 53)
    with pytest.raises(ValueError, match="there is no nowhere: 'bank'"):
        Clips(source="nowhere").draw(1, generator())
    with pytest.raises(ValueError, match=r"a, b of .* has the name of a shot of another source"):
        footage((drifts, drifts))
    with pytest.raises(ValueError, match="no shot is named wolf"):
        footage(drifts, ("wolf",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": 32.0},
        {"memory": -1},
        {"memory": True},
        {"stride": 0},
        {"height": 0},
        {"source": ()},
        {"source": ""},
        {"source": ["bank"]},
        {"source": (1,)},
        {"test": "taz"},
        {"only": "taz"},
        {"split": "validation"},
        {"motion": 1.5},
        {"motion": float("nan")},
    ],
)
def test_values_that_describe_no_world_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Clips(**wrong)


def test_a_world_is_made_again_from_plain_fields(drifts):
    world = Clips(source=("bank", drifts), test=("b",), memory=3)
    kept = json.loads(json.dumps(asdict(world)))
    again = Clips(**{k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()})
    assert again == world
    assert all(torch.equal(a, b) for a, b in zip(again.draw(4, generator()), world.draw(4, generator()), strict=True))


# what is held out of footage that does not say what is for testing


@pytest.fixture
def own(tmp_path):
    """Shots of one's own, whose frames tell their number; "short" cannot be parted."""
    shots = {name: np.full((n, 40, 40), 0, np.uint8) for name, n in (("long", 50), ("middle", 20), ("short", 9))}
    for frames in shots.values():
        frames[:] = np.arange(len(frames), dtype=np.uint8)[:, None, None]
    np.savez(tmp_path / "own.npz", **shots)
    return str(tmp_path / "own.npz")


def numbers(world):
    return {name: clip.frames[:, 0, 0].tolist() for name, clip in world.clips().items()}


def test_the_end_of_each_shot_is_held_out_and_not_trained_on(own):
    """Else a run on one's own video could be neither evaluated nor published, or on what it was trained on."""
    train, test = (numbers(Clips(source=own, split=split)) for split in ("train", "test"))
    assert train == {"long": [*range(40)], "middle": [*range(15)], "short": [*range(9)]}
    assert test == {"long": [*range(40, 50)], "middle": [*range(15, 20)]}
    for split, low, high in (("train", 2, 39), ("test", 17, 49)):
        drawn = torch.cat(Clips(source=own, split=split, flip=False).draw(300, generator()), 1) * 255
        assert drawn[:, -1].min() >= low and drawn.max() <= high
    assert set(held_out(Clips(source=own, split="test")).clip) == {"long", "middle"}


def test_memories_part_shots_alike(own):
    """Else what one network was trained on would be held out of another, and they could not be compared."""
    parted = [numbers(Clips(source=own, memory=memory)) for memory in range(5)]
    assert all(one == parted[0] for one in parted)
    assert numbers(Clips(source=own, memory=3, stride=4, split="test"))["long"] == [*range(37, 50)]  # all that it takes


def test_what_is_held_out_may_be_more_or_nothing(own, tmp_path):
    assert numbers(Clips(source=own, hold_out=0.5, split="test"))["long"] == [*range(25, 50)]
    assert numbers(Clips(source=own, hold_out=0.0))["long"] == [*range(50)]
    with pytest.raises(ValueError, match="no shot in the split 'test'"):
        Clips(source=own, hold_out=0.0, split="test").clips()
    np.savez(tmp_path / "short.npz", short=noise(8))
    with pytest.raises(ValueError, match="no shot in the split 'test'"):
        Clips(source=str(tmp_path / "short.npz"), split="test").clips()
    with pytest.raises(ValueError, match="hold_out must lie in"):
        Clips(hold_out=1.0)


def test_nothing_more_is_held_out_where_a_source_or_a_name_says_what_is_for_testing(own, davis_folder):
    """Published networks were trained on such sources: their worlds must stay as they were."""
    named = Clips(source=own, test=("middle",))
    assert numbers(named)["long"] == [*range(50)]
    assert numbers(replace(named, split="test")) == {"middle": [*range(20)]}
    for source in (("bank", own), (str(davis_folder), own)):
        world = Clips(source=source, height=32)
        assert numbers(world)["long"] == [*range(50)]
        assert "long" not in replace(world, split="test").clips()
    assert Clips(only=("cup",)).clips()["cup"].frames.shape[0] == 217


def test_a_description_of_an_earlier_version_held_nothing_out(own):
    description = {"name": "Clips", **asdict(Clips(source=own))}
    assert make_world(description) == Clips(source=own)
    del description["hold_out"]
    assert make_world(description) == Clips(source=own, hold_out=0.0)


def test_published_worlds_draw_what_they_did(drifts):
    """Sums of grey levels as the version before hold_out drew them: the same footage, places, mirrors and pans."""
    drawn = {}
    worlds = {
        "bank": Clips(),
        "test": Clips(split="test", memory=1),
        "natural": Clips(memory=3, pan=2, halved=True, source=("bank", drifts), test=("b",)),
        "named": Clips(source=drifts, test=("a",), split="test", stride=2),
    }
    for name, world in worlds.items():
        c, x = world.draw(40, generator(1))
        drawn[name] = (round((255 * c.double()).sum().item()), round((255 * x.double()).sum().item()))
    assert drawn == {
        "bank": (9175121, 4548857),
        "test": (4924332, 4896416),
        "natural": (15706575, 5434775),
        "named": (8433664, 6674432),
    }
