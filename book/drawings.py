"""Draws the two figures of the theory page and the small pictures of the front page: ``make picture``, some seconds.

:func:`score_field` and :func:`choice_paths` show the closed-form denoiser of two futures; no network takes part.
:func:`thumbnails` makes small copies of figures from the outputs that are stored in the chapters.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from scorevid.companion import figures
from scorevid.denoisers.exact import Oracle
from scorevid.noise.prior import NoisePrior
from scorevid.sampling.solvers import solve
from scorevid.worlds.futures import Futures

BOOK = Path(__file__).parent
FOLDER = BOOK / "_static"
WIDTH = 640  # pixels of a thumbnail
P_A = 0.7  # probability of future A
COLOURS = {"A": figures.COLOURS[0], "B": figures.COLOURS[1]}


def score_field() -> Figure:
    """The residual σ² ∇ log p_σ in a plane that contains two futures, at three noise levels.

    A frame of two pixels is that plane: one pixel runs along x_A − x_B, the other across. D = 1.
    """
    frames = torch.tensor([[0.5, 0.0], [-0.5, 0.0]], dtype=torch.float64).reshape(1, 2, 1, 2)  # A and B
    futures = Futures(frames, torch.tensor([[P_A, 1 - P_A]], dtype=torch.float64))
    oracle, mean = Oracle(futures), futures.mean().flatten().tolist()
    figure, axes = plt.subplots(1, 3, figsize=(7.6, 2.9))
    for ax, sigma, name, half in zip(axes, (2.0, 0.5, 0.125), ("2D", "D / 2", "D / 8"), (4.0, 1.2, 1.2), strict=True):
        y = plane(half, 161)
        squares = (y - frames).square().sum((2, 3))  # distances to A and B
        density = (futures.probabilities * torch.exp(-squares / (2 * sigma**2))).sum(1).reshape(161, 161).numpy()
        ax.imshow(density / density.max(), cmap="Greys", vmax=2.2, origin="lower", extent=[-half, half] * 2)
        share = oracle.responsibilities(y, y[:, :0], sigma)[:, 0].reshape(161, 161).numpy()
        at = np.linspace(-half, half, 161)
        ax.contour(at, at, share, levels=[0.5], colors="0.35", linestyles="--", linewidths=1)
        y = plane(half * 0.92, 12)
        residual = oracle(y, y[:, :0], sigma) - y
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 4, "width": 0.006, "color": "0.15"}
        ax.quiver(*y.reshape(-1, 2).T.numpy(), *residual.reshape(-1, 2).T.numpy(), **arrows)
        ax.plot(*mean, "x", color="black", ms=6)
        for (future, colour), x, marker in zip(COLOURS.items(), (0.5, -0.5), "os", strict=True):
            ax.plot(x, 0, marker, color=colour, ms=7, mec="white", mew=0.8)
            ax.annotate(f"$x_{future}$", (x, 0), (0, 7), textcoords="offset points", ha="center", color=colour)
        ax.set(title=f"σ = {name}", xlim=(-half, half), ylim=(-half, half), aspect="equal")
        ax.set_xlabel("along $x_A - x_B$, in D")
    axes[0].set_ylabel("across, in D")
    return figure


def plane(half: float, count: int) -> torch.Tensor:
    """A square grid of frames of two pixels each, from −half to half, (count², 1, 1, 2)."""
    at = torch.linspace(-half, half, count, dtype=torch.float64)
    across, along = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([along, across], -1).reshape(-1, 1, 1, 2)


def choice_paths(n_samples: int = 28) -> Figure:
    """Samples on their way through the noise levels, without new noise (β = 1) and with it (β = ½).

    Frames of 32 × 32 pixels, of which twenty differ between the futures, at contrast 0.5.
    """
    frames = torch.full((1, 2, 32, 32), 0.5)
    frames[0, 0, 14:18, 13:18], frames[0, 1, 14:18, 13:18] = 0.75, 0.25
    futures = Futures(frames, torch.tensor([[P_A, 1 - P_A]]))
    difference = frames[:, :1] - frames[:, 1:]
    distance = difference.norm().item()

    def position(x: torch.Tensor) -> np.ndarray:
        """Between the futures: 0 is B, 1 is A."""
        return (((x - frames[:, 1:]) * difference).sum((-3, -2, -1)) / distance**2).numpy()

    figure, axes = plt.subplots(2, 2, figsize=(7.6, 3.8), sharex=True, sharey="row")
    for column, beta, title in zip(axes.T, (1.0, 0.5), ("β = 1: no new noise", "β = ½: new noise"), strict=True):
        steps = []  # of all samples: level, position of the noisy frame, position of the estimate
        drawn = solve(
            Oracle(futures, prior=NoisePrior(0.005, 20.0)),
            torch.zeros(1, 0, 32, 32),
            n_samples=n_samples,
            steps=60,
            sigma_0=4 * distance,
            beta=beta,
            generator=torch.Generator().manual_seed(1),
            callback=lambda t, y, d, sigma, active, steps=steps: steps.append(
                (sigma.numpy() / distance, position(y), position(y + d))
            ),
        )
        levels, noisy, estimate = (np.array(quantity) for quantity in zip(*steps, strict=True))
        for k, end in enumerate(position(drawn.x[0][:, None])):
            style = {"color": COLOURS["A" if end > 0.5 else "B"], "lw": 0.8, "alpha": 0.75}
            column[0].plot(levels[:, k], noisy[:, k], **style)
            column[1].plot(levels[:, k], estimate[:, k], **style)
        for ax in column:
            ax.axvline(0.5, color="0.35", ls="--", lw=1)
        column[0].set(title=title, ylim=(-2, 3))
        column[1].set(xlabel="noise level σ, in D", xscale="log", xlim=(4, 0.05), ylim=(-0.03, 1.03))
        column[1].set_xticks([4, 2, 1, 0.5, 0.25, 0.125, 0.0625], ["4", "2", "1", "1/2", "1/4", "1/8", "1/16"])
        column[1].minorticks_off()
    axes[0, 0].set_ylabel("position of y\n(0 is B, 1 is A)")
    axes[1, 0].set_ylabel("position of the estimate,\nwhich is $r_A$")
    return figure


def write(figure: Figure, path: Path) -> None:
    """Store a figure as PNG, in a palette to keep the file small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150)
    plt.close(figure)
    Image.open(buffer).convert("RGBA").quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def stored_figures(folder: Path = BOOK.parent / "notebooks") -> dict[str, bytes]:
    """The pictures of the chapters' figures by name, PNG, as they are stored in the notebooks."""
    found = {}
    for path in sorted(folder.rglob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
            pictures = [o["data"]["image/png"] for o in cell.get("outputs", ()) if "image/png" in o.get("data", ())]
            if name and pictures:
                found[name] = base64.b64decode(pictures[0])
    return found


def front_page_figures() -> list[str]:
    """Names of the figures that the gallery of the front page shows."""
    return re.findall(r"^:img-top: _static/gallery/(\S+)\.png$", (BOOK / "index.md").read_text(encoding="utf-8"), re.M)


def thumbnails(folder: Path = FOLDER / "gallery") -> None:
    """Write small copies of the gallery's figures; each carries the sha256 of what it was made from."""
    folder.mkdir(exist_ok=True)
    stored = stored_figures()
    for name in front_page_figures():
        picture = Image.open(io.BytesIO(stored[name])).convert("RGBA")
        picture.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        about = PngImagePlugin.PngInfo()
        about.add_text("Source", hashlib.sha256(stored[name]).hexdigest())
        picture.quantize(256, Image.Quantize.FASTOCTREE).save(folder / f"{name}.png", pnginfo=about, optimize=True)


if __name__ == "__main__":
    figures.use_style()
    for draw in (score_field, choice_paths):
        write(draw(), FOLDER / f"{draw.__name__}.png")
    thumbnails()
