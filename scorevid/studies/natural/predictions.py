r"""Natural video: what the methods of chapter 8 answer when the past is all that they see, shot by shot.

The networks of that chapter were trained on its four worlds, and here they meet camera footage for the first time. Beside them
stand two networks of chapter 5, which were trained on such footage, and the classical methods, which are not trained.

A method answers with S frames for each past, as in :mod:`scorevid.studies.motion`. Frames are whole ones, cut at the right and
below to a multiple of ``STEP`` pixels, which all networks take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from scorevid import checks
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.measures.sample_quality import gradient_energy
from scorevid.studies.motion import MEMORY, Method, likeness
from scorevid.studies.natural.errors import REGRESSION, denoise, predict
from scorevid.worlds.clips.world import Clips

STEP = 8  #: pixels
NATURAL = "score, natural video"  #: the network with two past frames: its samples, and as "…, one step" its mean
NATURAL_REGRESSION = "regression, natural video"


def spread_frames(world: Clips, n_frames: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    """(shot, c (n, M, H, W), x (n, 1, H, W)) of each shot of the world: frames spread evenly over it, greys in [0, 1].

    n_frames: so many at most. The past of each has the world's memory. Raises ValueError for frames smaller than ``STEP``.
    """
    checks.integer("n_frames", n_frames)
    for name, clip in world.clips().items():
        last = len(clip.frames) - 1
        times = np.unique(np.linspace(world.memory, last, min(n_frames, last - world.memory + 1)).astype(int))
        frames = np.stack([clip.frames[list(range(t - world.memory, t + 1))] for t in times])
        height, width = (size - size % STEP for size in frames.shape[2:])
        if not height or not width:
            raise ValueError(f"frames must have {STEP} × {STEP} pixels or more, got {frames.shape[2:]} of {name}")
        whole = torch.from_numpy(frames[..., :height, :width]).float().div_(255)
        yield name, whole[:, :-1], whole[:, -1:]


def measure(
    world: Clips,
    methods: Mapping[str, Method],
    networks: Mapping[str, AnyDenoiser],
    n_frames: int,
    n_samples: int,
    seed: int = 0,
    progress: bool = True,
) -> list[dict]:
    """How each method answers on each shot, as plain data, one record a shot and method: shot, method, frames, and

    "psnr" (dB) and "ssim" of the mean of the answers, "sharpness", the gradient energy of the answers over that of the true
    frames, and "error" of the answers themselves, grey units² a pixel, averaged over the frames. world: with a memory of
    :data:`~scorevid.studies.motion.MEMORY`. methods: of :func:`~scorevid.studies.motion.methods`. networks: "M = 2" and
    "regression" of :func:`~scorevid.studies.natural.errors.load_networks`.
    """
    checks.integer("the memory of the world", world.memory, MEMORY, MEMORY)
    records = []
    shots = spread_frames(world, n_frames)
    for k, (shot, c, x) in enumerate(tqdm(shots, total=len(world.clips()), disable=not progress, unit="shot")):
        for name, answers in _answers(methods, networks, c, n_samples, seed + k):
            everywhere = torch.ones_like(x[:, 0], dtype=torch.bool)
            energy, true = (gradient_energy(v, everywhere).sum().item() for v in (answers, x.expand_as(answers)))
            psnr, ssim = likeness(answers, x)
            records.append(
                {
                    "shot": shot,
                    "method": name,
                    "frames": len(x),
                    "psnr": round(float(psnr.mean()), 4),
                    "ssim": round(float(ssim.mean()), 5),
                    "sharpness": round(energy / true, 5),
                    "error": float(f"{(answers - x).square().mean().item():.5g}"),
                }
            )
    return records


def _answers(methods, networks, c: Tensor, n: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    for name, method in methods.items():
        yield name, method.answers(c, n, torch.Generator().manual_seed(seed))
    mean, samples = predict(networks["M = 2"], c, n, generator=torch.Generator().manual_seed(seed))
    yield NATURAL, samples
    yield f"{NATURAL}, one step", mean
    yield NATURAL_REGRESSION, denoise(networks[REGRESSION], torch.zeros_like(mean), c)
