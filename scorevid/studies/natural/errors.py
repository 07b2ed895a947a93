r"""Natural video: how well the next frame is denoised, shot by shot, and what each past frame is worth.

Errors are squared errors a pixel, averaged over the patches of one shot (or some of their pixels) before anything else is
done with them. :mod:`scorevid.studies.natural.margins` reads them.

Where they are measured, networks and baselines are shown whole frames of a shot, and judged on patches of them. Samples are
made of patches.

**Baselines.** They predict the next frame from the past alone, p = p(c). Each is given σ, which the networks are not, and
is joined with the noisy frame by one number,

.. math:: \hat x = p + g\, (y - p) , \qquad g = \frac{v}{v + \sigma^2} , \qquad v = \mathrm E (p - x)^2 ,

the best there is: the expected error is :math:`(1 - g)^2 v + g^2 \sigma^2 = v \sigma^2 / (v + \sigma^2)`, less than that
of p and that of y. The error v is taken, with hindsight, from the very patches that are to be predicted, all those of the
shot ("own"). One number does not clean the noisy frame by what is next to a pixel in it, as a network does; so, secondly, p
is joined with what the network without a past makes of y ("denoised"),

.. math:: \hat x = p + g\, (f_0(y) - p) , \qquad g = \frac{\sum (x - p)(f_0(y) - p)}{\sum (f_0(y) - p)^2} ,

the best number for the shot, with hindsight again. Where only some pixels of a shot are looked at, the number is still that
of the whole shot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from scorevid.denoisers import baselines
from scorevid.denoisers.memory import ShorterMemory
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.denoisers.weights import FOLDER, load_denoiser
from scorevid.measures.errors import apply_batched
from scorevid.measures.sample_quality import gradient_energy
from scorevid.sampling.solvers import Ladder, Multistep
from scorevid.worlds.clips.occlusions import estimate_occlusions
from scorevid.worlds.clips.patches import Patches, cut_from_whole_frames, few_frames, held_out
from scorevid.worlds.clips.world import Clips

MEMORIES = (0, 1, 2, 3)
LONGER = (0, 1, 2, 3, 5, 7)  # of the one network that has all of these memories
FOLLOWING, CONTROL = "following", "M = 2, trained further"  # by moving past frames on, and without that
REGRESSION = "regression"
CLASSICAL = {"copy": baselines.copy, "motion compensation": baselines.motion, "phase advance": baselines.phase_advance}
BASELINES = (*CLASSICAL, REGRESSION)
GAINS = ("own", "denoised")
THIRDS = ("least motion", "middling motion", "most motion")  # of the patches of each shot
WHERE = ("all", *THIRDS, "near occlusions", "elsewhere")
NEAR = 2  # pixels from an occlusion
SAMPLER = Multistep(Ladder(sigma_0=3.0))  # the largest noise level that the networks were trained with


def load_networks(name: str = "natural-32", folder: Path | str = FOLDER) -> dict[str, AnyDenoiser]:
    """The denoisers "M = 0" … "M = 3", published as NAME-m0 …, and the network "regression", peers/NAME-regression."""
    networks = {f"M = {m}": load_denoiser(f"{name}-m{m}", folder) for m in MEMORIES}
    return networks | {REGRESSION: load_denoiser(f"{name}-regression", Path(folder) / "peers")}


def load_longer(name: str = "natural-32-memory", folder: Path | str = FOLDER) -> dict[str, AnyDenoiser]:
    """The denoisers "0 of 7" … "7 of 7": one published network, which sees so many of its past frames.

    It must have been trained to see fewer (:mod:`scorevid.denoisers.memory`).
    """
    network = load_denoiser(name, folder)
    return {of_longer(m): ShorterMemory(network, m) for m in LONGER}


def of_longer(memory: int) -> str:
    """How the network with all memories is called when it sees so many past frames."""
    return f"{memory} of {max(LONGER)}"


def join(p: Tensor, y: Tensor, sigma: float, v: float) -> Tensor:
    """p + g (y − p), g = v / (v + σ²). p, y: frames of one shape. v: mean squared error of p, grey units²."""
    return p + v / (v + sigma**2) * (y - p)


def best_mix(p: Tensor, w: Tensor, x: Tensor) -> Tensor:
    """p + g (w − p) with the one number g that brings it nearest to x. Frames of one shape."""
    step = w - p
    return p + (step * (x - p)).sum() / step.square().sum().clamp_min(1e-12) * step


def deterministic_baselines(world: Clips, patches: Patches, regression: AnyDenoiser) -> dict[str, Tensor]:
    """What each of ``BASELINES`` predicts from the past alone, (N, 1, size, size) each, cut from whole frames.

    The world's memory is to be at least 2 and that of the regression network.
    """
    predictors = CLASSICAL | {REGRESSION: partial(denoise, regression)}
    no_y = torch.zeros_like
    return _cut_by_name(world, patches, lambda c, x: {name: f(no_y(x), c) for name, f in predictors.items()})


@torch.no_grad()
def denoise(f: AnyDenoiser, y: Tensor, c: Tensor) -> Tensor:
    """f(y, c) of as many of the past frames as the network has a memory for, all of them if it does not say.

    Height and width need not be multiples of what the network's scales want: frames are mirrored at their lower and right
    border, which is cut off again. Raises ValueError for frames that are too small for that, and for too short a past.
    """
    memory = getattr(f, "memory", c.shape[1])
    if memory > c.shape[1]:
        raise ValueError(f"the network has a memory of {memory} frames, the past has {c.shape[1]}")
    (height, width), step = y.shape[-2:], 2 ** (len(getattr(f, "widths", (1,))) - 1)
    if min(height, width) < step:
        raise ValueError(f"y and c must have {step} × {step} pixels or more, got {height} × {width}")
    frames = torch.cat([c[:, c.shape[1] - memory :], y], 1)
    frames = F.pad(frames, (0, -width % step, 0, -height % step), mode="reflect")
    return apply_batched(f, frames[:, -1:], frames[:, :-1])[..., :height, :width]


def measure(
    world: Clips,
    networks: Mapping[str, AnyDenoiser],
    sigmas: Sequence[float],
    *,
    frames: int | None = None,
    seed: int = 0,
) -> list[dict]:
    """Errors of all predictors on held-out patches of each of the world's shots, as plain data, one record a shot:

    shot, frames and patches (how many of each), motion (root mean square of the change from the last frame, grey units),
    occlusions (share of pixels near one), and errors: a list of predictor, gain (one of ``GAINS`` for baselines, None for
    networks), where (one of ``WHERE``) and squared_error, at each σ, grey units². What is near occlusions is left out
    where a shot has none. See the module.

    networks: as of :func:`load_networks`. frames: all patches of so many frames of each shot at most.
    """
    generator = torch.Generator().manual_seed(seed)
    patches = held_out(world)
    if frames is not None:
        patches = few_frames(patches, frames, seed)
    predictions = deterministic_baselines(world, patches, networks[REGRESSION])
    denoisers = {name: f for name, f in networks.items() if name != REGRESSION}
    near = cut_from_whole_frames(world, patches, lambda c, x: estimate_occlusions(c[:, -1:], x).near(NEAR)[:, None])
    shots = {shot: torch.tensor([clip == shot for clip in patches.clip]) for shot in dict.fromkeys(patches.clip)}
    regions = {shot: masks(patches.motion[own], near[own]) for shot, own in shots.items()}
    errors: dict[str, dict[tuple, list[float]]] = {shot: {} for shot in shots}
    for sigma in sigmas:
        answers = _cut_by_name(world, patches, partial(_answers, denoisers, sigma, generator))
        for shot, own in shots.items():
            x = patches.x[own]
            of_networks, of_baselines = ({name: v[own] for name, v in some.items()} for some in (answers, predictions))
            for key, estimate in _estimates(x, of_networks, of_baselines, sigma):
                error = (estimate - x).square()
                for where, region in regions[shot].items():
                    if region.any():
                        errors[shot].setdefault((*key, where), []).append(error[region].mean().item())
    return [
        {
            "shot": shot,
            "frames": len(patches.place[own, 0].unique()),
            "patches": int(own.sum()),
            "motion": patches.motion[own].square().mean().sqrt().item(),
            "occlusions": near[own].float().mean().item(),
            "errors": [
                {"predictor": p, "gain": gain, "where": where, "squared_error": v}
                for (p, gain, where), v in errors[shot].items()
            ],
        }
        for shot, own in shots.items()
    ]


def masks(motion: Tensor, near: Tensor) -> dict[str, Tensor]:
    """The pixels of ``WHERE``, (N, 1, H, W) bool each. motion: (N,) of the patches. near: (N, 1, H, W) bool."""
    order = motion.argsort().argsort()
    third = (3 * order // len(motion))[:, None, None, None].expand_as(near)
    regions = (torch.ones_like(near), *(third == k for k in range(3)), near, ~near)
    return dict(zip(WHERE, regions, strict=True))


def _cut_by_name(world: Clips, patches: Patches, function: Callable) -> dict[str, Tensor]:
    """What a function of whole frames (c, x) returns by name, (B, 1, H, W) each, cut: (N, 1, size, size) each."""
    made: dict[str, Tensor] = {}

    def as_channels(c: Tensor, x: Tensor) -> Tensor:
        made.update(function(c, x))
        return torch.cat(list(made.values()), 1)

    channels = cut_from_whole_frames(world, patches, as_channels).split(1, 1)
    return dict(zip(made, channels, strict=True))


def _answers(denoisers, sigma, generator, c, x) -> dict[str, Tensor]:
    """The noisy frame, as "noisy", and what each network makes of it, (B, 1, H, W)."""
    y = x + sigma * torch.randn(x.shape, generator=generator)
    return {"noisy": y} | {name: denoise(f, y, c) for name, f in denoisers.items()}


def _estimates(x, answers, of_baselines, sigma):
    """((predictor, gain), estimate) of all predictors on patches of one shot."""
    for name, answer in answers.items():
        if name != "noisy":
            yield (name, None), answer
    for name, p in of_baselines.items():
        yield (name, "own"), join(p, answers["noisy"], sigma, (p - x).square().mean().item())
        yield (name, "denoised"), best_mix(p, answers["M = 0"], x)


@torch.no_grad()
def sharpness(f: AnyDenoiser, patches: Patches, seed: int = 0) -> list[dict]:
    """Samples of the next frame and the one-step mean beside the truth, on the most moving third of each shot's patches.

    One record a shot: shot, patches, "samples" and "mean": gradient energy over the truth's, sums over patches; and
    "sample_error", "mean_error": mean squared errors, grey units². For the true law the first would be 1, and the error of
    a sample twice that of the mean, since sample and truth are then independent draws.
    """
    records = []
    for shot in dict.fromkeys(patches.clip):
        own = patches.select(torch.tensor([clip == shot for clip in patches.clip]))
        own = own.select(own.motion.argsort(descending=True)[: (len(own.x) + 2) // 3])
        mean, samples = predict(f, own.c, 1, generator=torch.Generator().manual_seed(seed))
        everywhere = torch.ones_like(own.x[:, 0], dtype=torch.bool)
        of_samples, of_mean, of_truth = (gradient_energy(v, everywhere).sum() for v in (samples, mean, own.x))
        records.append(
            {
                "shot": shot,
                "patches": len(own.x),
                "samples": (of_samples / of_truth).item(),
                "mean": (of_mean / of_truth).item(),
                "sample_error": (samples - own.x).square().mean().item(),
                "mean_error": (mean - own.x).square().mean().item(),
            }
        )
    return records


@torch.no_grad()
def predict(f: AnyDenoiser, c: Tensor, n_samples: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One-step mean (B, 1, H, W) and samples (B, S, H, W) of the next frame given the past alone.

    c: (B, M, H, W), M at least the memory of f. The mean is what f makes of strong noise, σ = σ₀ of ``SAMPLER``, around
    what it made of noise around mid-grey: there next to nothing is to be read off y.
    """
    c = c[:, c.shape[1] - getattr(f, "memory", c.shape[1]) :]
    samples = SAMPLER(f, c, n_samples=n_samples, generator=generator, batch_limit=32).x
    mean = torch.full_like(samples[:, :1], 0.5)
    for _ in range(2):
        mean = denoise(f, mean + SAMPLER.sigma_0 * torch.randn(mean.shape, generator=generator), c)
    return mean, samples
