r"""How methods of video prediction do on complex motion: what chapter 8 measures, and on which scenes.

A method answers with S frames for each scene. A sampled method draws S samples, a method of one step denoises S frames that
are noise alone, and a method that sees the past only gives the same answer S times. So all of them are judged alike.

* :func:`open_statistics`: one of finitely many next frames follows (:data:`OPEN`). Are the answers possible frames, each as
  often as it should be?
* :func:`decided_statistics`: the past determines what follows (:data:`DECIDED`), in the next frame or in a part of it. How far
  off are the answers there?
* :func:`film_statistics`: each answer becomes the newest past frame. How long do films stay right and sharp?
* :func:`cost`: what does an answer cost?

Scenes do not depend on the method. PSNR and SSIM are those of the mean of the answers, as squared error asks for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from scorevid import checks
from scorevid.denoisers.baselines import CLASSICAL
from scorevid.denoisers.protocol import AnyDenoiser
from scorevid.denoisers.weights import load_denoiser
from scorevid.estimates import Estimate, mean_interval, ratio_interval, wilson
from scorevid.measures import calibration, choices, proper_scores
from scorevid.measures.sample_quality import gradient_energy, sharpness
from scorevid.studies.many import EIGHT
from scorevid.studies.methods import METHODS
from scorevid.worlds.futures import Futures
from scorevid.worlds.motion.world import KINDS

SOLVER = EIGHT  #: of all sampled methods
SIGMA = 5.0  #: noise level of the one step, grey units: y tells nothing
OPEN, DECIDED = ("turns", "digits"), ("bending", "camera")  #: worlds by what the past leaves open
MEMORY = 3  #: past frames
AT_ONCE = 25  #: scenes whose choices are counted at once, for the memory they take

Kind = Literal["sampled", "one step", "trained", "classical"]


@dataclass(frozen=True)
class Method:
    """A way to answer: the denoiser f, called as its kind asks for. card: of its weights, None where there are none."""

    label: str
    kind: Kind
    f: AnyDenoiser
    card: dict | None = None

    def answers(self, c: Tensor, n_samples: int, generator: torch.Generator) -> Tensor:
        """(B, S, H, W) for past frames c (B, M, H, W)."""
        if self.kind == "sampled":
            return SOLVER(self.f, c, n_samples=n_samples, generator=generator, batch_limit=64).x
        with torch.no_grad():
            if self.kind == "one step":
                z = torch.randn(n_samples, len(c), 1, *c.shape[2:], generator=generator)
                return torch.cat([_in_pieces(self.f, 0.5 + SIGMA * each, c) for each in z], 1)
            return _in_pieces(self.f, None, c).expand(-1, n_samples, -1, -1)

    @property
    def evaluations(self) -> int:
        """Of the network or the method, for one answer."""
        once = torch.zeros(1, MEMORY, 32, 32)
        if self.kind != "sampled":
            return 1
        return int(SOLVER(self.f, once, generator=torch.Generator().manual_seed(0)).evaluations.max())


def methods(folder: str = "motion") -> dict[str, Method]:
    """All methods by name: networks of :mod:`scorevid.studies.methods`, ours in one step, and classical ones."""
    found = {}
    for name, variant in METHODS.items():
        f = load_denoiser(f"{folder}/{name}")
        sampled = name in ("score", "edm", "flow", "mcvd")
        found[name] = Method(variant.label, "sampled" if sampled else "trained", f, f.card)
        if name == "score":
            found["score, one step"] = Method("score, one step", "one step", f, f.card)
    return found | {name: Method(name, "classical", f) for name, f in CLASSICAL.items()}


def open_statistics(method: Method, world: str, n: int, n_samples: int, seed: int) -> dict:
    """How a method answers where the next frame is one of finitely many.

    "error": excess frequency error. "chi_square": per degree of freedom. "slope": of the log odds. "blends": share of answers
    that are no future. "unanimous": share of scenes in which all answers blend, or all are the same future. "energy",
    "crps": proper scores, the latter a mean over pixels; "energy_law", "crps_law": the least, which the true law has.
    "sharpness": relative to the true futures. "psnr" (dB), "ssim": of the mean. Each [value, low, high] with an interval over
    the n scenes, None where there is none. "energies": of each scene.
    """
    c, ahead = open_scenes(world, n, seed)
    x = method.answers(c, n_samples, _generator(seed, 1))
    pieces = [slice(k, k + AT_ONCE) for k in range(0, n, AT_ONCE)]
    choice = torch.cat([choices.choose(x[piece], ahead[piece]) for piece in pieces])
    counts, p = choices.tally(choice, ahead.probabilities.shape[1]), ahead.probabilities.double().numpy()
    blends = (choice == choices.BLEND).sum(1).double().numpy()
    alike = (choice == choice[:, :1]).all(1)
    energy = proper_scores.energy_scores(x, ahead, generator=_generator(seed, 2))
    crps = proper_scores.pixel_crps_scores(x, ahead)
    return {
        "error": _or_none(calibration.excess_frequency_error, counts, p),
        "chi_square": _or_none(calibration.chi_square, counts, p, seed=seed),
        "slope": _or_none(calibration.tempering_slope, counts, p, seed=seed),
        "blends": list(ratio_interval(blends, np.full(n, float(n_samples)), 1000, seed)),
        "unanimous": list(wilson(int(alike.sum()), n)),
        "energy": list(mean_interval(energy.samples)),
        "energy_law": list(mean_interval(energy.floor)),
        "crps": list(mean_interval(crps.samples)),
        "crps_law": list(mean_interval(crps.floor)),
        "sharpness": list(mean_interval(sharpness(x, ahead).mean(1))),
        **_of_the_mean(x, ahead.draw(_generator(seed, 3))),
        "energies": [round(float(e), 5) for e in energy.samples],
    }


def decided_statistics(method: Method, world: str, n: int, n_samples: int, seed: int) -> dict:
    """How a method answers where the past determines the next frame, or a part of it.

    "error": mean squared error of answers there, grey² a pixel. "mean_error": of the mean of the answers. "sharpness":
    gradient energy there over that of the truth. "psnr" (dB), "ssim": of the mean, over the whole frame. Each [value, low,
    high] with an interval over the n scenes. "errors": "error" of each scene.
    """
    c, x, where = decided_scenes(world, n, seed)
    answers = method.answers(c, n_samples, _generator(seed, 1))
    share = where / where.sum((2, 3), keepdim=True)
    errors = ((answers - x).square() * share).sum((2, 3)).mean(1).double().numpy()
    of_mean = ((answers.mean(1, keepdim=True) - x).square() * share).sum((1, 2, 3)).double().numpy()
    energies = [gradient_energy(frames, where[:, 0]).mean(1).double().numpy() for frames in (answers, x)]
    return {
        "error": list(mean_interval(errors)),
        "mean_error": list(mean_interval(of_mean)),
        "sharpness": list(ratio_interval(*energies, 1000, seed)),
        **_of_the_mean(answers, x),
        "errors": [float(f"{e:.4g}") for e in errors],
    }


def film_statistics(method: Method, world: str, n: int, frames: int, seed: int) -> dict:
    """Roll-outs of ``frames`` frames beside one true film of each scene, frame by frame.

    "psnr" (dB) and "sharpness", the gradient energy over that of the true frames: lists of [value, low, high], intervals over
    the n scenes. Where the future is open, a right film may be another one than the true film.
    """
    made = KINDS[world](memory=MEMORY)
    unseen = {"test": True} if world == "digits" else {}  # images that training cannot have seen
    video = made.video(n, frames, _generator(seed, 0), **unseen)
    c, truth = video[:, :MEMORY], video[:, MEMORY:]
    generator, film = _generator(seed, 1), []
    for _ in range(frames):
        x = method.answers(c, 1, generator)
        c = torch.cat([c[:, 1:], x], 1)
        film.append(x)
    film, everywhere = torch.cat(film, 1), torch.ones_like(truth[:, 0], dtype=torch.bool)
    energies = [gradient_energy(v, everywhere).double().numpy() for v in (film, truth)]
    psnr = _psnr(film, truth)
    return {
        "psnr": [list(mean_interval(psnr[:, k])) for k in range(frames)],
        "sharpness": [list(ratio_interval(*(e[:, k] for e in energies), 1000, seed)) for k in range(frames)],
    }


def cost(method: Method, n: int = 16, repeats: int = 3) -> dict:
    """ "parameters", "evaluations" and "milliseconds" of processor time of an answer, of n scenes at once on one thread.

    "minutes" and "updates" of training, and what the network has cost besides; None where nothing is trained.
    """
    c, _, _ = decided_scenes("camera", n, 0)
    method.answers(c, 1, _generator(0, 1))
    took = []
    for _ in range(repeats):
        start = time.process_time()
        method.answers(c, 1, _generator(0, 1))
        took.append(time.process_time() - start)
    trained = (method.card or {}).get("training", {})
    return {
        "parameters": (method.card or {}).get("parameters"),
        "evaluations": method.evaluations,
        "milliseconds": round(1000 * min(took) / n, 2),
        "minutes": round(60 * trained["hours"], 1) if trained else None,
        "updates": trained.get("steps"),
    }


@lru_cache(maxsize=4)
def open_scenes(world: str, n: int, seed: int) -> tuple[Tensor, Futures]:
    """Past c (n, M, H, W) of scenes whose next frame is open, and its law. Raises ValueError for a world that has none."""
    checks.one_of("world", world, OPEN)
    return KINDS[world](memory=MEMORY).undecided(n, _generator(seed, 0))


@lru_cache(maxsize=4)
def decided_scenes(world: str, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Past c (n, M, H, W), next frame x (n, 1, H, W), and where the past determines it, (n, 1, H, W) bool."""
    checks.one_of("world", world, DECIDED)
    c, ahead, *where = KINDS[world](memory=MEMORY).decided(n, _generator(seed, 0))
    return c, ahead.frames, where[0] if where else torch.ones_like(ahead.frames, dtype=torch.bool)


def paired_ratio(ours: list[float], theirs: list[float], seed: int = 0) -> Estimate:
    """Ratio of two methods' mean errors on the same scenes, with its bootstrap interval over them."""
    return ratio_interval(np.array(ours), np.array(theirs), 2000, seed)


def _generator(seed: int, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 * seed + stream)


def _in_pieces(f: AnyDenoiser, y: Tensor | None, c: Tensor, at_once: int = 64) -> Tensor:
    return torch.cat(
        [f(None if y is None else y[k : k + at_once], c[k : k + at_once]) for k in range(0, len(c), at_once)]
    )


def _or_none(measure: Callable[..., Estimate], *given, **also) -> list[float] | None:
    """The estimate; None where choices allow none, as those of a method that never chooses."""
    with suppress(ValueError):
        return list(measure(*given, **also))
    return None


def _psnr(x: Tensor, truth: Tensor) -> np.ndarray:
    """In dB of frames (B, S, H, W), with greys cut to [0, 1], (B, S). A frame that is exact counts as 60 dB."""
    square = (x.clamp(0, 1) - truth).square().mean((2, 3)).clamp_min(1e-6)
    return -10 * square.log10().double().numpy()


def likeness(x: Tensor, truth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """PSNR (dB) and SSIM of the mean of answers x (B, S, H, W) to the true frames (B, 1, H, W), (B,) each.

    Greys are cut to [0, 1], and a frame that is exact counts as 60 dB. SSIM is scikit-image's, of the extra ``baselines``.
    """
    similarity = checks.installed("skimage.metrics", "baselines").structural_similarity
    mean = x.mean(1, keepdim=True).clamp(0, 1)
    pairs = zip(mean[:, 0].double().numpy(), truth[:, 0].double().numpy(), strict=True)
    return _psnr(mean, truth)[:, 0], np.array([similarity(a, b, data_range=1.0) for a, b in pairs])


def _of_the_mean(x: Tensor, truth: Tensor) -> dict:
    return {name: list(mean_interval(v)) for name, v in zip(("psnr", "ssim"), likeness(x, truth), strict=True)}
