r"""Natural video: patches of unseen shots, how things move in them, and what networks make of them.

Each patch of 32 × 32 pixels has two past frames c and a next frame x. *Targets* are of the optical flow between the
last past frame and the next, found in whole frames. Let u(p) be the motion, in pixels a frame, of what is seen in x at
the pixel p. The plane through it over a patch, by least squares,

.. math:: u(p) \approx \bar u + A\, (p - \bar p) ,

has the divergence :math:`A_{xx} + A_{yy}`, which is what a zoom gives, and the curl :math:`A_{yx} - A_{xy}`.

*Representations* are φ of each block (:func:`~scorevid.measures.representations.activations.channel_averages`) of one
noisy next frame y = x + σ z and its past, and "all" blocks together. The regression network ignores y. "M = 2, past
alone" is the same network with grey and strong noise (σ = ``ALONE``) for y, so that it sees nothing of the next frame.
Beside them stand baselines, of the same frames:

pixels
    the past frames and y, each pixel the mean of four;
pixel statistics
    mean and deviation of each of the three frames, and log of the root mean square change between past frames and
    to y;
flow statistics
    of the optical flow between the two *past* frames, found in whole frames, of which networks see patches alone: mean
    and deviation of each component, divergence, curl, and log of the median speed and of its 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.normalisation import estimate_statistics
from scorevid.denoisers.weights import load_card
from scorevid.measures.representations.activations import block_names, channel_averages
from scorevid.noise.prior import NoisePrior
from scorevid.training.steps import generator_for, noisy_batch
from scorevid.worlds.clips.flow import optical_flow
from scorevid.worlds.clips.occlusions import estimate_occlusions
from scorevid.worlds.clips.patches import Patches, cut_from_whole_frames, few_frames, held_out
from scorevid.worlds.clips.world import Clips, every_shot, footage

TARGETS = {  #: what is decoded of a patch
    "horizontal": "mean motion to the right, pixels a frame",
    "vertical": "mean motion downwards, pixels a frame",
    "speed": "log of the mean speed in pixels a frame and 0.1 more",
    "divergence": "of the motion, per frame",
    "covered": "share of the patch where something covers what was seen before",
    "uncovered": "share of the patch where something is seen that was covered before",
}
OURS, PAST_ALONE = "M = 2", "M = 2, past alone"
BASELINES = ("pixels", "pixel statistics", "flow statistics")
FASTEST, WIDEST = 8.0, 0.1  # pixels a frame, per frame: beyond, mean motion is cut, and divergence and curl
SLOWEST = 0.1  # pixels a frame, added to speeds before their logarithm is taken
LEAST_CHANGE = 1e-3  # grey units, added likewise to changes
ALONE = 3.0  # grey units, the largest noise level of training
ALL = "all"  # blocks together
Features = dict[tuple[str, str], np.ndarray]  # by representation and block, "" for baselines: (N, k) of N patches


def unseen_shots(source: str | tuple[str, ...], networks: Mapping[str, object]) -> Clips:
    """The world of those shots of a source that none of the networks was trained on, by their cards.

    source: as of :class:`~scorevid.worlds.clips.world.Clips`. Training data are known by the names of their files; of
    these, shots that a card names for testing are left, and those that the bank has for it. Networks without a card
    were not trained. The world has patches of 32 pixels and two past frames. Raises ValueError where no shot is left,
    and as :func:`~scorevid.worlds.clips.world.every_shot` does.
    """
    source = (source,) if isinstance(source, str) else tuple(source)
    left = list(footage(source))
    for card in (f.card for f in networks.values() if hasattr(f, "card")):
        trained = card["world"]["source"]
        names = {Path(one).name for one in ((trained,) if isinstance(trained, str) else trained)}
        if same := tuple(one for one in source if Path(one).name in names):
            kept = card["world"]["test"]
            seen = {name for name, clip in footage(same).items() if clip.split == "train" and name not in kept}
            left = [name for name in left if name not in seen]
    if not left:
        raise ValueError(f"source must have shots that networks were not trained on, got {source!r}")
    return every_shot(source, left, memory=2)


def spread_patches(world: Clips, n_frames: int, n_patches: int, seed: int = 0) -> Patches:
    """So many patches of each shot at most, from so many of its frames, drawn by the seed; no two share a pixel."""
    checks.integer("n_patches", n_patches)
    found = few_frames(held_out(world), n_frames, seed)
    generator, keep = torch.Generator().manual_seed(seed), torch.zeros(len(found.clip), dtype=torch.bool)
    for name in dict.fromkeys(found.clip):
        own = torch.tensor([clip == name for clip in found.clip]).nonzero()[:, 0]
        keep[own[torch.randperm(len(own), generator=generator)[:n_patches]]] = True
    return found.select(keep)


def motion_of(world: Clips, patches: Patches) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Targets (N,) each, by the names of ``TARGETS``, and the baseline "flow statistics" (N, 8), of N patches of the
    world.

    The former are of flow to the next frame, the latter of flow between the two past frames. Raises ValueError for a
    world with fewer past frames, and as :func:`~scorevid.worlds.clips.patches.cut_from_whole_frames` does.
    """
    checks.integer("the memory of the world", world.memory, 2)
    found = cut_from_whole_frames(world, patches, _flows)
    ahead, (covered, uncovered), past = found[:, :2], found[:, 2:4].mean((2, 3)).T, found[:, 4:]
    mean, (divergence, _) = ahead.mean((2, 3)).clamp(-FASTEST, FASTEST), _slopes(ahead)
    targets = (*mean.T, _log(ahead.norm(dim=1).mean((1, 2))), divergence, covered, uncovered)
    return {name: v.double().numpy() for name, v in zip(TARGETS, targets, strict=True)}, flow_statistics(past)


def flow_statistics(flow: Tensor) -> np.ndarray:
    """Means and deviations of both components, divergence, curl, log of the median speed and of its 95 %: (N, 8).

    flow: (N, 2, H, W) as (x, y), in pixels a frame.
    """
    mean, deviation = flow.mean((2, 3)), flow.std((2, 3))
    speed = flow.norm(dim=1).flatten(1)
    quantiles = torch.quantile(speed, torch.tensor([0.5, 0.95]).to(speed), dim=1)
    columns = (*mean.T.clamp(-FASTEST, FASTEST), *deviation.T.clamp_max(FASTEST), *_slopes(flow), *_log(quantiles))
    return torch.stack(columns, 1).double().numpy()


def pixel_statistics(c: Tensor, y: Tensor) -> np.ndarray:
    """Mean and deviation of each frame, log root mean square changes from each frame to the next: (N, 2 (M + 1) + M).

    c: (N, M, H, W) past frames, y: (N, 1, H, W), grey units.
    """
    frames = torch.cat([c, y], 1)
    change = frames.diff(dim=1).square().mean((2, 3)).sqrt()
    columns = (frames.mean((2, 3)), frames.std((2, 3)), (change + LEAST_CHANGE).log())
    return torch.cat(columns, 1).double().numpy()


def represent(networks: Mapping[str, Network], patches: Patches, sigma: float, seed: int = 0) -> Features:
    """φ of each block of networks, and of "all" of them, and baselines of pixels, of N patches: see the module.

    networks: by name, ``OURS`` among them, with a memory of two frames; what they are part of, "backbone", is left out
    of the names of blocks. sigma: of the noise on the next frames, grey units. Raises ValueError as
    :func:`~scorevid.measures.representations.activations.channel_averages` does, and for networks without ``OURS``.
    """
    checks.one_of(OURS, OURS, networks)
    generator = torch.Generator().manual_seed(seed)
    y = patches.x + sigma * torch.randn(patches.x.shape, generator=generator)
    noise = 0.5 + ALONE * torch.randn(y.shape, generator=generator)
    seen = [(name, f, y, sigma) for name, f in networks.items()] + [(PAST_ALONE, networks[OURS], noise, ALONE)]
    found: Features = {}
    for name, f, shown, level in seen:
        averages = channel_averages(f, patches.c, shown, level, generator=None, blocks=block_names(f))
        blocks = {block.removeprefix("backbone."): v.double().numpy() for block, v in averages.items()}
        found |= {(name, block): v for block, v in blocks.items()}
        found[name, ALL] = np.concatenate(list(blocks.values()), 1)
    found["pixels", ""] = avg_pool2d(torch.cat([patches.c, y], 1), 2).flatten(1).double().numpy()
    found["pixel statistics", ""] = pixel_statistics(patches.c, y)
    return found


def untrained_like(name: str, seed: int = 0, world: Clips | None = None, batches: int = 10, batch: int = 48) -> Network:
    """A published network as it was before any training, with the statistics of its normalisation estimated.

    name: of the weights whose architecture and noise it has. seed: of its kernels and of the batches. world: of the
    batches; the embedded bank if not given. Raises ValueError as :func:`~scorevid.denoisers.weights.load_card` does.
    """
    checks.integer("seed", seed, 0)
    card = load_card(name)
    world = Clips(memory=card["network"]["memory"]) if world is None else world
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = build_network(card["network"])
    streams = (generator_for(2**31 + seed, k) for k in range(batches))
    drawn = (noisy_batch(world, NoisePrior(**card["noise"]), batch, stream) for stream in streams)
    return estimate_statistics(network, drawn).requires_grad_(False)


def _flows(c: Tensor, x: Tensor) -> Tensor:
    """Motion to x, what it covers and uncovers, and motion between the two last past frames, (B, 6, H, W)."""
    found = estimate_occlusions(c[:, -1:], x)
    masks = torch.stack([found.occluding, found.disoccluded], 1).to(x)
    return torch.cat([-found.flow, masks, -optical_flow(c[:, -1:], c[:, -2:-1])], 1)


def _slopes(flow: Tensor) -> tuple[Tensor, Tensor]:
    """Divergence and curl of the plane through a flow (N, 2, H, W), (N,) each, per frame, cut at ``WIDEST``."""
    rows, columns = (torch.arange(n).to(flow) - (n - 1) / 2 for n in flow.shape[2:])
    along_x = (flow * columns).sum((2, 3)) / (len(rows) * columns.square().sum())  # (N, 2) of both components
    along_y = (flow * rows[:, None]).sum((2, 3)) / (len(columns) * rows.square().sum())
    found = along_x[:, 0] + along_y[:, 1], along_x[:, 1] - along_y[:, 0]
    return tuple(v.clamp(-WIDEST, WIDEST) for v in found)


def _log(speed: Tensor) -> Tensor:
    return (speed + SLOWEST).log()
