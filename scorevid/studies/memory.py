r"""What a longer memory buys on moving leaves: what chapter 7 measures, and on which scenes.

One network answers for every memory m (:class:`~scorevid.denoisers.memory.ShorterMemory`), so that memories differ in nothing
but the past frames that are there. Scenes do not depend on the weights or on m. Four questions are asked of it.

* :func:`fates_of_hidden`: a disk was hidden in the last k past frames and comes out. Is it kept?
* :func:`what_comes_out`: where no frame of the memory shows the disk, something comes out whose place and grey are open. Are
  those of samples as various as those of true frames?
* :func:`order_choices`: two disks meet, and their order was visible some frames ago. Is it followed?
* :func:`films`: roll-outs of scenes in which a disk passes behind another. Does it survive?
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from scorevid.denoisers.conditioned import Network
from scorevid.denoisers.memory import ShorterMemory
from scorevid.estimates import Estimate, mean_interval, ratio_interval
from scorevid.measures import calibration, choices
from scorevid.measures.fates import CHANGED, DROPPED, FATES, KEPT, fate
from scorevid.sampling.rollout import roll_out
from scorevid.studies.many import EIGHT
from scorevid.worlds.futures import Futures
from scorevid.worlds.leaves.hidden import LEAST_PIXELS, hidden_for, own_pixels, passing_scenes, without_disk_1
from scorevid.worlds.leaves.meetings import remembered_orders
from scorevid.worlds.leaves.pasts import LONGEST
from scorevid.worlds.leaves.scenes import Scene, covers, render
from scorevid.worlds.leaves.world import Leaves

#: the world of ``leaves-32-memory``
WORLD = Leaves(memory=7, n_disks=3, fewest=2, meeting=0.6, close=0.8, inferred=0.3, hiding=0.9, staying=0.15)
MEMORIES = (1, 2, 3, 5, 7)  #: m, past frames
HIDDEN = tuple(range(7))  #: k, frames for which a disk was hidden
AGES = (2, 3, 4, 5, 6)  #: frames ago at which an order was last visible
BY = 12  #: frame of a roll-out by which a disk that passes behind another is out again
SOMETHING = 0.1  #: grey units by which a pixel must differ to show something


def remembering(f: Network, memory: int) -> Network | ShorterMemory:
    """The network with the memory m; itself where that is its own."""
    return f if f.memory == memory else ShorterMemory(f, memory)


def fates_of_hidden(f: Network, memory: int, hidden: int, n: int, n_samples: int, seed: int) -> dict:
    """What becomes of a disk that was hidden in the last ``hidden`` past frames, in samples of the next frame.

    "kept", "changed", "dropped": share of samples, each [value, low, high] with an interval over the n scenes. "missed": mean
    over scenes of ‖x̂ − x‖² / ‖x − x_∅‖² with x_∅ the next frame without the disk: 0 is exact, 1 as far off as to drop it.
    """
    scenes = _hidden(hidden, n, seed)
    samples = _samples(f, memory, scenes, n_samples, seed)
    now = torch.zeros(n, dtype=torch.long)
    fates = torch.stack([fate(x[:, 0], scenes, now) for x in samples.split(1, 1)], 1)
    every = np.full(n, float(n_samples))
    found = {
        name: list(ratio_interval((fates == k).sum(1).double().numpy(), every, 1000, seed))
        for k, name in zip((KEPT, CHANGED, DROPPED), FATES, strict=True)
    }
    x = scenes.next_frame()
    made = (x - without_disk_1(scenes).next_frame()).square().sum((1, 2, 3))
    missed = (samples - x).square().sum((2, 3)).mean(1) / made
    return found | {"missed": list(mean_interval(missed.double().numpy()))}


def what_comes_out(f: Network, memory: int, n: int, n_samples: int, seed: int) -> dict:
    """Where and with which grey a disk comes out that no frame of the memory shows, in samples and in true frames.

    Disk 1 is hidden for as many frames as the memory has, two at least, or more. Disk 0 is larger than any disk of
    the world that hides none, so that something does come out. "something": share of samples
    with :data:`~scorevid.worlds.leaves.hidden.LEAST_PIXELS` pixels or more that differ by :data:`SOMETHING` from the frame
    without disk 1, [value, low, high]. "angle" (degrees, 0 to 180) and "contrast" (grey units), of "samples" and of "truth":
    direction in which it comes out, from the centre of disk 0 and against its motion, and mean grey difference from what
    would be there; lists.
    """
    some = [_hidden(k, 4 * n, seed) for k in range(max(memory, 2), LONGEST + 1)]
    scenes = Scene.cat([s[s.radius[:, 0] > WORLD.radius[1]][: n // len(some) + 1] for s in some])[:n]
    samples = _samples(f, memory, scenes, n_samples, seed)
    without = without_disk_1(scenes).next_frame()
    found = {"something": None}
    for name, x in (("samples", samples), ("truth", scenes.next_frame())):
        difference = (x - without).where((x - without).abs() >= SOMETHING, 0.0)
        seen = (difference != 0).sum((2, 3)) >= LEAST_PIXELS
        angle, contrast = _place_and_contrast(difference, scenes)
        found[name] = {"angle": _rounded(angle[seen]), "contrast": _rounded(contrast[seen])}
        if name == "samples":
            every = np.full(len(scenes), float(n_samples))
            found["something"] = list(ratio_interval(seen.sum(1).double().numpy(), every, 1000, seed))
    return found


def order_choices(f: Network, memory: int, age: int, n: int, n_samples: int, seed: int) -> dict:
    """How often samples follow an order that was last visible ``age`` frames ago, and how often they should.

    "error": the excess frequency error, "right" and "exact": shares of the true order among samples that chose, and under the
    exact law for this memory, "blends": share of samples that chose none; [value, low, high] with intervals over the n scenes
    but for "exact". "counts" and "p": choices of the true and the other order in each scene, and p of the true one.
    """
    scenes, ahead, known = _orders(age, n, seed)
    samples = _samples(f, memory, scenes, n_samples, seed)
    choice = choices.choose(samples, ahead)
    counts = choices.tally(choice, 2)
    p = known[:, memory - 2].double().clamp(1e-9, 1 - 1e-9).numpy()
    chose = counts.sum(1).astype(float)
    blends = (choice == choices.BLEND).sum(1).double().numpy()
    return {
        "error": list(calibration.excess_frequency_error(counts, np.stack([p, 1 - p], 1))),
        "right": list(ratio_interval(counts[:, 0].astype(float), chose, 1000, seed)),
        "exact": float(np.average(p, weights=chose)),
        "blends": list(ratio_interval(blends, np.full(n, float(n_samples)), 1000, seed)),
        "counts": counts.tolist(),
        "p": [round(float(w), 6) for w in p],
    }


def pooled_error(rows: list[dict]) -> Estimate:
    """The excess frequency error of several rows together. Rows of one age have the same scenes, which count once each."""
    found = defaultdict(list)
    for row in rows:
        for scene, (counts, p) in enumerate(zip(row["counts"], row["p"], strict=True)):
            if (n := sum(counts)) > 1:
                f = counts[0] / n
                found[row["case"], scene].append((f - p) ** 2 - f * (1 - f) / (n - 1))
    value = _root_mean(torch.tensor([np.mean(squares) for squares in found.values()], dtype=torch.float64))
    return replace(value, n=len(found), kind="t")


def films(f: Network, memory: int, frames: int, n: int, seed: int, progress: bool = False) -> dict:
    """Two roll-outs of each of n scenes in which disk 1 passes behind disk 0, frame by frame.

    "survival" (disk 1) and "survival_front" (disk 0): share kept (:func:`~scorevid.measures.fates.fate`) of those with pixels
    of their own, [value, low, high] in each frame, None where these are fewer than ten. "drift": root mean square of the
    difference from the nearer film of the law, and "flicker": of its change from frame to frame, both away from edges.
    "energy": the energy score of the film up to frame :data:`BY`, against the exact law of films, and "floor": that of draws
    from this law, both per scene in grey units, [value, low, high]. "kept": how many of the two roll-outs keep disk 1 in frame
    :data:`BY`, scene by scene.
    """
    scenes = _passing(n, seed)
    generator = torch.Generator().manual_seed(seed)
    c = scenes.past()[:, -memory:]
    drawn = [
        roll_out(remembering(f, memory), c, frames, EIGHT, generator=generator, batch_limit=32, progress=progress)
        for _ in range(2)
    ]
    times = torch.arange(frames)
    truths, p = _law_of_films(scenes, times)
    found = {"survival": [], "survival_front": [], "drift": [], "flicker": []}
    film = torch.stack(drawn, 1)  # (n, 2, frames, H, W)
    nearest = (film[:, :, None] - truths[:, None]).flatten(3).norm(dim=3).argmin(2)  # which of the two it shows
    truth = truths.gather(1, nearest[:, :, None, None, None].expand_as(film))
    plain = _away_from_edges(scenes, times)[:, None]
    error = (film - truth).masked_fill(~plain, 0)
    for t in range(frames):
        for name, which in (("survival", scenes), ("survival_front", _exchanged(scenes))):
            found[name].append(_survival(film[:, :, t], which, t, seed))
        share = plain[:, :, t].float().mean((1, 2, 3)).double()
        change = error[:, :, t] - error[:, :, t - 1] if t else error[:, :, t]
        both = plain[:, :, t] & plain[:, :, max(t - 1, 0)]
        for name, e in (("drift", error[:, :, t]), ("flicker", change.masked_fill(~both, 0))):
            found[name].append(list(_root_mean(e.square().mean((1, 2, 3)).double() / share)))
    late = torch.full((n,), BY)
    kept = torch.stack([fate(x[:, BY], scenes, late) == KEPT for x in drawn], 1)
    found["energy"], found["floor"] = map(list, _film_scores(film[:, :, : BY + 1], truths[:, :, : BY + 1], p))
    return found | {"kept": kept.sum(1).tolist()}


@lru_cache(maxsize=8)
def _hidden(hidden: int, n: int, seed: int) -> Scene:
    return hidden_for(WORLD, hidden, n, torch.Generator().manual_seed(seed + hidden))


@lru_cache(maxsize=8)
def _orders(age: int, n: int, seed: int) -> tuple[Scene, Futures, Tensor]:
    return remembered_orders(WORLD, age, n, torch.Generator().manual_seed(seed + age))


@lru_cache(maxsize=1)
def _passing(n: int, seed: int) -> Scene:
    return passing_scenes(WORLD, n, torch.Generator().manual_seed(seed), by=BY)


def _samples(f: Network, memory: int, scenes: Scene, n_samples: int, seed: int) -> Tensor:
    """Samples of the next frame, (B, S, H, W)."""
    c, generator = scenes.past()[:, -memory:], torch.Generator().manual_seed(seed)
    return EIGHT(remembering(f, memory), c, n_samples=n_samples, generator=generator, batch_limit=32).x


def _place_and_contrast(difference: Tensor, scenes: Scene) -> tuple[Tensor, Tensor]:
    """Direction of what differs (B, S, H, W) against the motion of disk 0, degrees, and its mean difference: (B, S) each."""
    pixel = torch.arange(scenes.size).to(difference)
    weight = difference.abs() / difference.abs().sum((2, 3), keepdim=True).clamp_min(1e-9)
    x, y = (weight.sum(2) * pixel).sum(2), (weight.sum(3) * pixel).sum(2)
    away = torch.stack([x, y], 2) - scenes.position[:, None, 0]
    motion = -scenes.velocity[:, None, 0]
    cosine = (away * motion).sum(2) / (away.norm(dim=2) * motion.norm(dim=2)).clamp_min(1e-9)
    return torch.rad2deg(cosine.clamp(-1, 1).acos()), (weight * difference).sum((2, 3))


def _rounded(values: Tensor) -> list[float]:
    return [round(float(v), 3) for v in values.flatten()]


def _exchanged(scenes: Scene) -> Scene:
    """The same scenes with disks 0 and 1 exchanged in name."""
    names = ("position", "velocity", "radius", "grey", "depth")
    return scenes.replace(**{name: getattr(scenes, name).flip(1) for name in names})


def _law_of_films(scenes: Scene, times: Tensor) -> tuple[Tensor, Tensor]:
    """The films with disk 0 and with disk 1 in front, (n, 2, frames, H, W), and their probabilities given the past, (n, 2)."""
    seen = scenes.past()
    orders = [scenes.replace(depth=torch.tensor(depth).expand(len(scenes), 2)) for depth in ([0, 1], [1, 0])]
    same = torch.stack([(s.past() - seen).abs().amax((1, 2, 3)) <= 1e-4 for s in orders], 1)
    log_p = (scenes.kappa * scenes.radius.double().log()).masked_fill(~same, -torch.inf)
    return torch.stack([render(s, times) for s in orders], 1), log_p.softmax(1)


def _film_scores(film: Tensor, truths: Tensor, p: Tensor) -> tuple[Estimate, Estimate]:
    """Energy score of two films of each scene, (n, 2, frames, H, W), against the law, and that of draws from it."""
    far = (film[:, :, None] - truths[:, None]).flatten(3).norm(dim=3).double()  # (n, 2 films, 2 of the law)
    own, two = ((a[:, 0] - a[:, 1]).flatten(1).norm(dim=1).double() for a in (film, truths))
    score = (far.mean(1) * p).sum(1) - own / 2
    return mean_interval(score.numpy()), mean_interval((p[:, 0] * p[:, 1] * two).numpy())


def _away_from_edges(scenes: Scene, times: Tensor) -> Tensor:
    """Pixels that each disk covers fully or not at all, and that at most one of them covers: (n, frames, H, W) bool."""
    order = torch.tensor([0, 1]).expand(len(scenes), 2)
    first, second = covers(scenes, times, order)
    return ((first < 0.01) | (first > 0.99)) & ((second < 0.01) | (second > 0.99)) & (first * second < 0.01)


def _survival(frames: Tensor, scenes: Scene, time: int, seed: int) -> list[float] | None:
    """Share of disks 1 that frames (n, 2, H, W) at a time keep, of those with pixels of their own then."""
    times = torch.full((len(scenes),), time)
    there = own_pixels(scenes, times).sum((1, 2)) >= LEAST_PIXELS
    if there.sum() < 10:
        return None
    some = [fate(x[there, 0], scenes[there], times[there]) == KEPT for x in frames.split(1, 1)]
    return list(ratio_interval(sum(some).double().numpy(), np.full(int(there.sum()), 2.0), 1000, seed))


def _root_mean(squares: Tensor) -> Estimate:
    return Estimate(*np.sqrt(np.clip(list(mean_interval(squares.numpy())), 0, None)).tolist())
