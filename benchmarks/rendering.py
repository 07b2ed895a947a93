"""Scenes rendered a second, and all futures of a scene, against loops as one writes them first.

Moving leaves, 32 × 32, 3 disks, triplets of frames. The loops go over scenes, frames, disks, and over depth orders for
the futures, each step on whole frames. Both give the same frames and probabilities, which is checked.
"""

import math
from itertools import permutations
from pathlib import Path

import torch
from torch import Tensor

from scorevid.worlds.leaves.next_frames import futures
from scorevid.worlds.leaves.scenes import Scene
from scorevid.worlds.leaves.world import Leaves
from side_by_side import Result, options, rates, ratio, take_turns

TOLERANCE = 1e-4  # grey levels under which frames count as equal, as in futures


def loop_video(scene: Scene, k: int, depth: list[int]) -> Tensor:
    """The frames of scene k with its disks in the given ranks, (M + 1, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(scene.size), torch.arange(scene.size), indexing="ij")
    frames = []
    for time in range(-scene.memory, 1):
        frame = torch.full((scene.size, scene.size), scene.ground)
        for disk in sorted(range(len(depth)), key=lambda i: -depth[i]):
            x, y = (scene.position[k, disk] + time * scene.velocity[k, disk]).tolist()
            r, grey = scene.radius[k, disk].item(), scene.grey[k, disk].item()
            cover = ((r**2 - (columns - x) ** 2 - (rows - y) ** 2) / (2 * r) + 0.5).clamp(0, 1)
            frame = (1 - cover) * frame + cover * grey
        frames.append(frame)
    return torch.stack(frames)


def loop_videos(scene: Scene) -> Tensor:
    """All frames of all scenes, (B, M + 1, H, W)."""
    return torch.stack([loop_video(scene, k, scene.depth[k].tolist()) for k in range(len(scene))])


def loop_futures(scene: Scene) -> list[list[tuple[Tensor, float]]]:
    """The different next frames of each scene that agree with its past, with their probabilities."""
    every = []
    for k in range(len(scene)):
        past = loop_video(scene, k, scene.depth[k].tolist())[:-1]
        found: list[list] = []
        for order in permutations(range(scene.radius.shape[1])):
            video = loop_video(scene, k, [order.index(i) for i in range(len(order))])
            if (video[:-1] - past).abs().max() > TOLERANCE:
                continue
            strength = [scene.radius[k, i].item() ** scene.kappa for i in order]
            weight = math.prod(s / sum(strength[i:]) for i, s in enumerate(strength))
            same = next((f for f in found if (f[0] - video[-1]).abs().max() <= TOLERANCE), None)
            if same is None:
                found.append([video[-1], weight])
            else:
                same[1] += weight
        total = sum(w for _, w in found)
        every.append([(frame, w / total) for frame, w in found])
    return every


def largest_difference(scene: Scene) -> tuple[float, float]:
    """Of frames and of probabilities, between both ways."""
    ours, theirs = futures(scene), loop_futures(scene)
    frames = (scene.video() - loop_videos(scene)).abs().max().item()
    probabilities = 0.0
    for k, found in enumerate(theirs):
        given = ours.probabilities[k][ours.probabilities[k] > 0].tolist()
        if len(given) != len(found):
            return frames, math.inf
        probabilities = max(probabilities, *(abs(a - b) for a, (_, b) in zip(given, found, strict=True)))
    return frames, probabilities


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        batch=(1024, 8, "scenes at once"),
        few=(16, 2, "scenes that the loops go through"),
        rounds=(5, 1, "turns of each case"),
        seconds=(1.0, 0.0, "of each case in a turn"),
    )
    result, world, generator = Result("rendering", given), Leaves(), torch.Generator().manual_seed(0)
    many = world.scenes(given.batch, torch.Generator().manual_seed(1))
    few = many[: given.few]
    cases = {
        "draw": (lambda: world.draw(given.batch, generator), given.batch),
        "render": (many.video, given.batch),
        "render in loops": (lambda: loop_videos(few), given.few),
        "futures": (lambda: futures(many), given.batch),
        "futures in loops": (lambda: loop_futures(few), given.few),
    }
    times = take_turns({name: case for name, (case, _) in cases.items()}, given.rounds, given.seconds)
    one = {name: [t / cases[name][1] for t in each] for name, each in times.items()}
    against = {"render": "render in loops", "futures": "futures in loops"}
    labels = {
        "draw": "random scenes drawn and rendered, triplets of frames",
        "render": "given scenes rendered, triplets of frames",
        "render in loops": "the same in loops",
        "futures": "all futures of a scene, with probabilities",
        "futures in loops": "the same in loops",
    }
    rows = [[labels[k], rates(each), ratio(one[against[k]], each) if k in against else None] for k, each in one.items()]
    result.table("Scenes a second, in turns", ["", "scenes a second", "× loops"], rows)
    frames, probabilities = largest_difference(few)
    result.table(
        "Scenes: largest difference between both ways",
        ["quantity", "value"],
        [["grey levels", frames], ["probabilities", probabilities]],
    )
    result.target("triplets of frames drawn and rendered a second", rates(one["draw"]), 20_000.0)
    result.finish()


if __name__ == "__main__":
    main()
