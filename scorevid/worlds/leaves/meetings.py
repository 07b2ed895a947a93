r"""Test scenes for exact comparisons: a past that determines all but who will be in front.

The futures of a scene have their listed probabilities only if radii, greys, positions and velocities can be read off the
past; and a choice can only be judged if any two futures are some distance :math:`D = \|x_A - x_B\|` apart. Scenes of two
disks have two futures (:func:`undecided_meetings`), those of more disks up to a dozen (:func:`undecided_scenes`). In
others the order of two disks that meet follows from a third (:func:`inferred_orders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorevid import checks
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.next_frames import MOST, draw_depth, futures, groups
from scorevid.worlds.leaves.pasts import cross
from scorevid.worlds.leaves.scenes import Scene, covers, rejection_sample, visible

if TYPE_CHECKING:  # it imports this module: a world draws its own scenes for testing
    from scorevid.worlds.leaves.world import Leaves

LEAST_VISIBLE = 0.5  #: share of a disk's area: with half of its outline in view, its circle is known
LEAST_DISTANCE = 0.7  #: grey units: D of two futures, 8 pixels at a contrast of a quarter
LEAST_SEEN = 0.2  #: grey units: by which the past must contradict an order, a pixel at a contrast of a fifth
MOST_FUTURES = 12  #: of one scene


def determined(scene: Scene, least_visible: float = LEAST_VISIBLE) -> Tensor:
    """Whether the past determines all but the depth order: (B,) bool.

    It does where there are two past frames or more, for the velocities, at least ``least_visible`` of every disk is seen
    in each of them, and no two disks of a group (:func:`~scorevid.worlds.leaves.next_frames.groups`) have nearly the same
    grey, by which they are told apart.
    """
    if scene.memory < 2:
        return torch.zeros(len(scene), dtype=torch.bool, device=scene.radius.device)
    seen = visible(scene, torch.arange(-scene.memory, 0)).amin((1, 2)) >= least_visible
    different = (scene.grey[:, :, None] - scene.grey[:, None]).abs()
    together = groups(scene)
    together.diagonal(dim1=1, dim2=2).fill_(False)
    different.masked_fill_(~together, 1)
    return seen & (different.amin((1, 2)) > 0.02)


def undecided_meetings(
    world: Leaves,
    n: int,
    generator: torch.Generator,
    probability: Sequence[float] | Tensor | None = None,
    least_distance: float = LEAST_DISTANCE,
) -> tuple[Scene, Futures]:
    """n scenes of two disks that meet in the next frame, with exactly two futures, for exact comparisons.

    probability: (n,) of the first future, in which disk 0 is in front; drawn as in the world if not given.
    least_distance: least ‖x_A − x_B‖, in grey units. The world's other parameters are kept, but for two disks.

    Raises ValueError where too few draws give such a scene.
    """
    world = replace(world, n_disks=2, fewest=None, inferred=0.0)
    if probability is not None:
        probability = torch.as_tensor(probability, dtype=torch.float32, device=generator.device)
        if probability.shape != (n,):
            raise ValueError(f"probability must be ({n},), got {tuple(probability.shape)}")

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        tried = missing.repeat(4)
        scene = world.meetings(len(tried), generator, None if probability is None else probability[tried])
        possible = futures(scene)
        good = determined(scene) & (possible.count() == 2)
        if possible.frames.shape[1] == 2:
            good &= (possible.frames[:, 0] - possible.frames[:, 1]).flatten(1).norm(dim=1) >= least_distance
        return scene[good], tried[good]

    wanted = f"futures {least_distance} apart are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    return scene, futures(scene)


def undecided_scenes(
    world: Leaves,
    n: int,
    generator: torch.Generator,
    n_disks: int | None = None,
    least_distance: float = LEAST_DISTANCE,
    most: int = MOST_FUTURES,
    tiles: int = 1,
) -> tuple[Scene, Futures]:
    """n scenes of any number of disks as the world draws them, that have from 2 to ``most`` futures.

    The past determines all but the depth order, and shows by :data:`LEAST_SEEN` or more what it decides of this. Any two
    futures are ``least_distance`` apart or more, in grey units. n_disks: in every scene, the world's number if not given.
    A share ``world.meeting`` of the drawn scenes has a meeting of disks 0 and 1, and further disks are joining with the same
    share, so that three may come together at once, or two pairs in two places. tiles: along each side of a larger frame.
    Each tile has the size of the world's frame and ``n_disks`` disks, which move on into others, and disks are brought to meet
    in one tile only, the middle one where there is one. Raises ValueError for bad input, and where such scenes are too rare.
    """
    checks.integer("n", n)
    checks.integer("tiles", tiles)
    n_disks = n_disks or world.n_disks
    inferred = world.inferred if n_disks > 2 else 0.0
    world = replace(world, n_disks=n_disks, fewest=None, joining=world.meeting, inferred=inferred, hiding=0.0)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        batch = max(8 * len(missing), 64)
        scene = world.scenes(batch, generator) if tiles == 1 else _tiled(world, tiles, batch, generator)
        scene = scene[determined(scene)]
        scene = scene[groups(scene).sum(2).amax(1) <= MOST]
        if len(scene):
            law = futures(scene)
            good = (law.count() > 1) & (law.count() <= most)
            good[good.clone()] = _closest(law[good]) >= least_distance
            scene = scene[good][_clearly_seen(scene[good], law[good])]
        return scene[: len(missing)], missing[: len(scene)]

    wanted = f"2 to {most} futures {least_distance} apart are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    return scene, futures(scene)


def inferred_orders(world: Leaves, n: int, generator: torch.Generator) -> tuple[Scene, Futures]:
    """n scenes of three disks in which disks 0 and 1 meet in the next frame, and their order follows from disk 2.

    The past shows, by :data:`LEAST_SEEN` or more, that disk 2 is behind one of them and in front of the other, which
    therefore have one order only, although they have never touched. The futures that are returned are the two that there
    would be without disk 2: the first is the true next frame, the second has the two disks exchanged wherever disk 2 is not,
    :data:`LEAST_DISTANCE` or more away, and the probabilities are by the radii of the two alone. So an answer that
    passes over disk 2 has these frequencies, and one that infers the order always chooses the first. Raises ValueError as
    :func:`undecided_scenes` does.
    """
    checks.integer("n", n)
    world = replace(world, n_disks=3, fewest=None, meeting=1.0, inferred=1.0, joining=0.0, hiding=0.0)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        scene = world.scenes(max(16 * len(missing), 64), generator)
        scene = scene[determined(scene) & (scene.depth[:, 2] == 1)]  # in depth between the two
        if len(scene):
            law = futures(scene)
            good = (law.count() == 1) & (_closest(_without_third(scene)) >= LEAST_DISTANCE)
            scene = scene[good][_clearly_seen(scene[good], law[good])]
        return scene[: len(missing)], missing[: len(scene)]

    scene = rejection_sample(n, draw, generator.device, f"orders that follow from a third disk are too rare in {world}")
    return scene, _without_third(scene)


def remembered_orders(world: Leaves, age: int, n: int, generator: torch.Generator) -> tuple[Scene, Futures, Tensor]:
    """n scenes in which disks 0 and 1 meet in the next frame, and only a memory of ``age`` frames or more shows their order.

    It follows from disk 2, which was seen behind one of them and in front of the other
    (:func:`~scorevid.worlds.leaves.pasts.cross`). The futures are those of :func:`inferred_orders`, the true one first, but
    for their probabilities: the third result is p of the true order given all that m frames show, for each memory m = 2 ... M,
    (n, M − 1). It is 1 from ``age`` on. The last two past frames determine all but the order. age: 2 to the world's memory.
    Raises ValueError as :func:`undecided_scenes` does.
    """
    checks.integer("n", n)
    checks.integer("age", age, 2, world.memory)
    world = replace(world, n_disks=3, fewest=None, meeting=1.0, inferred=0.0, hiding=0.0, joining=0.0)

    def draw(missing: Tensor) -> tuple[Scene, Tensor]:
        scene = world.meetings(8192, generator)
        every = torch.ones(len(scene), dtype=torch.bool, device=generator.device)
        scene, crossed = cross(scene, every, world.speed[1], generator, min(age + 1, world.memory))
        first = scene.depth[:, 0] < scene.depth[:, 1]
        scene = scene.replace(depth=torch.stack([2 * ~first, 2 * first, torch.ones_like(scene.depth[:, 2])], 1))
        scene = scene[crossed & (_last_touch(scene).amax(1) == age)]
        scene = scene[_last_two_determine(scene)]
        if len(scene):
            scene = scene[_closest(_without_third(scene)) >= LEAST_DISTANCE]
        for memory in (age, age - 1):
            if len(scene) and memory > 1:
                shorter = scene.replace(memory=memory)
                law = futures(shorter)
                scene = scene[((law.count() == 1) == (memory == age)) & _clearly_seen(shorter, law)]
        return scene[: len(missing)], missing[: len(scene)]

    wanted = f"orders that were visible {age} frames ago are too rare in {world}"
    scene = rejection_sample(n, draw, generator.device, wanted)
    ahead = _without_third(scene)
    known = []
    for memory in range(2, world.memory + 1):
        law = futures(scene.replace(memory=memory))
        apart = (law.frames[:, :, None] - ahead.frames[:, None]).flatten(3).norm(dim=3)
        known.append((law.probabilities * (apart.argmin(2) == 0)).sum(1))
    return scene, ahead, torch.stack(known, 1)


def _tiled(world: Leaves, tiles: int, batch: int, generator: torch.Generator) -> Scene:
    """At most ``batch`` scenes of a larger frame: a scene in each tile, and the depths of all disks drawn together."""
    parts, calm = [], replace(world, meeting=0.0, joining=0.0)
    for k in range(tiles**2):
        part = (world if k == tiles**2 // 2 else calm).scenes(batch, generator)
        part = part[determined(part)]
        corner = part.position.new_tensor([k % tiles, k // tiles]) * world.size
        parts.append(part.replace(position=part.position + corner))
    least = min(map(len, parts))
    fields = {
        k: torch.cat([getattr(v, k)[:least] for v in parts], 1) for k in ("position", "velocity", "radius", "grey")
    }
    depth = draw_depth(fields["radius"], world.kappa, generator)
    return parts[0].replace(**fields, depth=depth, size=tiles * world.size)


def _without_third(scene: Scene) -> Futures:
    """Of three disks: the next frame and that with disks 0 and 1 exchanged where disk 2 is not, with the odds of these two."""
    first = scene.depth[:, 0] < scene.depth[:, 1]
    front, back = (torch.where(first, scene.radius[:, k], scene.radius[:, 1 - k]).double() for k in (0, 1))
    p = (scene.kappa * (front / back).log()).sigmoid()
    exchanged = scene.replace(depth=torch.stack([first, ~first, torch.full_like(first, 2)], 1).long())
    third = next(covers(scene, torch.zeros(1), torch.full_like(scene.depth[:, :1], 2)))
    true = scene.next_frame()
    other = torch.where(third > 0, true, exchanged.next_frame())
    return Futures(torch.cat([true, other], 1), torch.stack([p, 1 - p], 1).to(true.dtype))


def _last_two_determine(scene: Scene) -> Tensor:
    """Whether the last two past frames determine all but the order, a disk 2 that has left the frame aside: (B,) bool."""
    last = scene.replace(memory=2)
    gone = (visible(last, torch.arange(-2, 1))[..., 2] == 0).all(1)
    two = last.replace(**{k: getattr(last, k)[:, :2] for k in ("position", "velocity", "radius", "grey")})
    return determined(last) | (gone & determined(two.replace(depth=last.depth[:, :2].argsort(1).argsort(1))))


def _last_touch(scene: Scene) -> Tensor:
    """How many frames ago disk 2 last touched disks 0 and 1, by their distances, (B, 2) long; M + 1 for never."""
    times = torch.arange(-1, -scene.memory - 1, -1).to(scene.position)  # newest first
    at = scene.position[:, None] + times[:, None, None] * scene.velocity[:, None]  # (B, M, 3, 2)
    apart = (at[:, :, :2] - at[:, :, 2:3]).norm(dim=3)
    reach = (scene.radius.square() + scene.radius).sqrt()  # beyond it a disk covers nothing
    near = apart < (reach[:, :2] + reach[:, 2:3])[:, None]
    never = torch.ones_like(near[:, :1])
    return 1 + torch.cat([near, never], 1).int().argmax(1)


def _closest(law: Futures) -> Tensor:
    """Least distance of two possible futures, in grey units, (B,); infinite for one future."""
    possible, frames = law.probabilities > 0, law.frames.flatten(2)
    pairs = torch.combinations(torch.arange(possible.shape[1])).tolist()
    apart = [
        (frames[:, j] - frames[:, k]).norm(dim=1).masked_fill(~(possible[:, j] & possible[:, k]), torch.inf)
        for j, k in pairs
    ]
    return torch.stack(apart).amin(0) if apart else frames.new_full((len(frames),), torch.inf)


def _clearly_seen(scene: Scene, law: Futures) -> Tensor:
    """Whether the past shows what it decides of the order by LEAST_SEEN or more: no future is left out for less, (B,) bool."""
    return futures(scene, seen=LEAST_SEEN).count() == law.count() if len(scene) else law.count() > 0
