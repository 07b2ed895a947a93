r"""What channels of a network are for: those that bear the choice between two futures are taken out, and σ is moved.

In scenes of two disks that meet, the answer of a network to strong noise lies at u between the two futures
(:func:`~scorevid.measures.choices.projection`), and u is its probability of the first one.

* :func:`ablation_row`: on scenes for selection each channel by itself is set to its mean. The named channels are the
  :data:`CHANNELS` of one block that change u most, in the block in which they stand out most. On other scenes all of them
  are set to their means, and as many random ones of the block. "ratio" is the root mean square change of u by the first
  over that by the second. "elsewhere" is the same ratio for the change of the answer away from the choice.
* :func:`steering_rows`: if φ says what σ is, the network should act as at another level when the difference of mean φ between
  the two levels is added to all pixels of a block. An optimal denoiser that is told σ₂ in the place of σ₁ changes its answer
  by Δo. The share of it in the change Δf of the network is ⟨Δf, Δo⟩/‖Δo‖², summed over scenes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from scorevid.denoisers.exact import Oracle
from scorevid.denoisers.protocol import denoise
from scorevid.estimates import Estimate, correlation_interval, ratio_interval
from scorevid.measures.choices import projection
from scorevid.measures.representations.activations import block_names
from scorevid.measures.representations.interventions import ablated, steered
from scorevid.studies.representations.inside import Seen, averages, common, noisy
from scorevid.studies.representations.targets import open_pixels, targets_of_meetings

CHOOSING_AT = 3.0  #: noise level at which the choice rests on the past, grey units
CHANNELS = 4  #: that are named
DRAWS = 20  #: of random channels
MARGIN = 2  #: pixels about those in which futures differ; what lies further away is elsewhere
FROM, TO = 0.3, 1.0  #: noise levels of steering
AMOUNTS = (0.5, 1.0, 2.0)  #: of the difference that is added


@torch.no_grad()
def ablation_row(network: nn.Module, chosen_on: Seen, judged_on: Seen, seed: int) -> dict:
    """The named channels of a network, and what becomes of its choices without them, as plain data."""
    means = _means(network, chosen_on, seed)
    change = _Change(network, chosen_on, seed, means)
    single = {
        block: torch.stack([change({block: [k]})[0].mean() for k in range(len(means[block]))])
        for block in block_names(network)
    }
    named = {block: effect.topk(min(CHANNELS, len(effect))).indices.tolist() for block, effect in single.items()}

    def standing_out(block: str) -> float:
        return float(single[block][named[block]].mean() / single[block].mean().clamp_min(1e-20))

    block = max(single, key=standing_out)
    change = _Change(network, judged_on, seed + 1, means)
    of_named = change({block: named[block]})
    draw = np.random.default_rng(seed)
    drawn = [draw.choice(len(means[block]), len(named[block]), replace=False).tolist() for _ in range(DRAWS)]
    by_chance = [torch.stack(v).mean(0) for v in zip(*(change({block: channels}) for channels in drawn), strict=True)]
    phi = averages(network, judged_on, CHOOSING_AT, seed + 1, open_pixels(judged_on.law, MARGIN))[common(block)]
    odds = targets_of_meetings(judged_on.scene)["log odds"]
    ratios = [_root(ratio_interval(a.numpy(), b.numpy())) for a, b in zip(of_named, by_chance, strict=True)]
    return {
        "kind": "ablation",
        "block": common(block),
        "channels": named[block],
        "ratio": ratios[0],
        "elsewhere": ratios[1],
        "change": float(of_named[0].mean().sqrt()),
        "odds": [list(correlation_interval(phi[:, k].numpy(), odds.numpy())) for k in named[block]],
    }


@torch.no_grad()
def steering_rows(network: nn.Module, chosen_on: Seen, judged_on: Seen, seed: int, draws: int = 5) -> Iterator[dict]:
    """Of each block and amount: "share" of the optimal denoiser's change, "by_chance" for directions drawn at random."""
    y = noisy(judged_on, FROM, seed)
    oracle = Oracle(judged_on.law)
    optimal = oracle(y, judged_on.c, TO) - oracle(y, judged_on.c, FROM)
    plain = denoise(network, y, judged_on.c, FROM)
    low, high = (averages(network, chosen_on, sigma, seed) for sigma in (FROM, TO))
    generator = torch.Generator().manual_seed(seed)

    def share(block: str, direction: Tensor, amount: float) -> tuple[np.ndarray, np.ndarray]:
        with steered(network, block, direction, amount):
            change = denoise(network, y, judged_on.c, FROM) - plain
        return tuple((change * v).sum((1, 2, 3)).double().numpy() for v in (optimal, change))

    below = optimal.square().sum((1, 2, 3)).double().numpy()
    for block in block_names(network):
        direction = (high[common(block)] - low[common(block)]).mean(0)
        for amount in AMOUNTS:
            along, size = share(block, direction, amount)
            chance = []
            for _ in range(draws):
                other = torch.randn(direction.shape, generator=generator)
                chance.append(share(block, other * direction.norm() / other.norm(), amount)[0])
            yield {
                "kind": "steering",
                "block": common(block),
                "amount": amount,
                "share": _ratio(along, below),
                "cosine": float(along.sum() / np.sqrt(size.sum() * below.sum())) if size.sum() > 0 else 0.0,
                "by_chance": _ratio(np.mean(chance, 0), below),
            }


class _Change:
    """Squared changes of a network's answers by an ablation: of u, (B,), and a pixel elsewhere, (B,)."""

    def __init__(self, network: nn.Module, seen: Seen, seed: int, means: dict[str, Tensor]):
        self.network, self.seen, self.means = network, seen, means
        self.y = noisy(seen, CHOOSING_AT, seed)
        self.plain = denoise(network, self.y, seen.c, CHOOSING_AT)
        self.elsewhere = 1 - open_pixels(seen.law, MARGIN)

    def __call__(self, channels: dict[str, list[int]]) -> tuple[Tensor, Tensor]:
        with ablated(self.network, channels, self.means):
            answer = denoise(self.network, self.y, self.seen.c, CHOOSING_AT)
        u = projection(answer, self.seen.law) - projection(self.plain, self.seen.law)
        away = ((answer - self.plain).square() * self.elsewhere).sum((1, 2, 3)) / self.elsewhere.sum((1, 2, 3))
        return u[:, 0].double().square(), away.double()


def _means(network: nn.Module, seen: Seen, seed: int) -> dict[str, Tensor]:
    found = averages(network, seen, CHOOSING_AT, seed)
    return {block: found[common(block)].mean(0) for block in block_names(network)}


def _root(ratio: Estimate) -> list[float]:
    return [float(v) ** 0.5 for v in ratio]


def _ratio(a: np.ndarray, b: np.ndarray) -> list[float]:
    return list(ratio_interval(a, b))
