"""The next frames of a video, predicted and shown: the past, the truth, samples, their disagreement, the one-step mean.

:func:`predict_video` is what ``scorevid predict`` does. Its :class:`Prediction` writes itself as a moving picture (.gif, .mp4)
or as a sheet of all frames (.png). What is predicted, and what the one-step mean is, says
:mod:`scorevid.sampling.whole_frames`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from scorevid import checks
from scorevid.denoisers.conditioned import Regression
from scorevid.denoisers.weights import FOLDER, load_denoiser
from scorevid.files import replace_file
from scorevid.sampling.solvers import Ladder, Multistep
from scorevid.sampling.whole_frames import continue_frames, padding
from scorevid.worlds.clips.video_files import excerpt

ENDINGS = (".gif", ".mp4", ".png")
LEAST_HEIGHT = 192  # pixels of the picture for a frame, which is enlarged a whole number of times
GAP, LINE, TEXT = 8, 18, 13  # pixels between frames, for a line of text, and of its letters
GROUND, LETTERS = "white", "#555555"
MILLISECONDS, HELD = 300, 5  # a frame of a moving picture, and how many times as long the last one stays
MARGIN = 140  # pixels for the names of a sheet's rows
BRIGHTEST = 0.995  # share of the deviations that the scale of colours spans; larger ones are as light as its end


@dataclass(frozen=True, eq=False)
class Prediction:
    """Grey frames as arrays: past (M, H, W), truth (K, H, W), mean (T, H, W), samples (S, T, H, W), and numbers.

    truth: as many of the T next frames as the video has. disagreement: (T, H, W) standard deviation over samples, grey units,
    None for one sample. at: the number in the video of the first next frame. about: what made it, kept in the file.
    """

    past: np.ndarray
    truth: np.ndarray
    mean: np.ndarray
    samples: np.ndarray
    disagreement: np.ndarray | None
    at: int
    about: str

    def errors(self) -> dict[str, float]:
        """Root mean square error over the true next frames, grey units, by what was guessed. Empty where there are none."""
        if not len(self.truth):
            return {}
        known = len(self.truth)
        guesses = {"mean": self.mean[:known], "samples": self.samples[:, :known], "last frame": self.past[-1:]}
        return {name: float(np.sqrt(np.square(guess - self.truth).mean())) for name, guess in guesses.items()}

    def rows(self) -> dict[str, list[np.ndarray | None]]:
        """What is shown, by name: for each past and each next frame a picture (H, W) or (H, W, 3) in [0, 1], or None."""
        known, ahead = len(self.truth), len(self.mean)
        rows = {"truth": [*self.truth, *[None] * (ahead - known)], "one-step mean": [*self.mean]}
        if self.disagreement is not None:
            scale = max(float(np.quantile(self.disagreement, BRIGHTEST)), 1e-6)
            rows[f"deviation, 0 to {scale:.2f}"] = [_heat(deviation / scale) for deviation in self.disagreement]
        rows |= {f"sample {k}": [*sample] for k, sample in enumerate(self.samples, 1)}
        return {name: [*self.past, *frames] for name, frames in rows.items()}

    def write(self, path: Path | str) -> None:
        """Write it as the ending says. Raises ValueError for an unknown ending, OSError where the file cannot be written."""
        path = check_ending(path)
        replace_file(path, {".gif": self._gif, ".mp4": self._mp4, ".png": self._png}[path.suffix.lower()]())

    def moving(self) -> Iterator[Image.Image]:
        """The frames of the moving picture: truth, mean and disagreement above, samples below."""
        rows, wide = self.rows(), 3 if len(self.samples) < 4 else 4
        above = len(rows) - len(self.samples)
        places = [(0, k) if k < above else (1 + (k - above) // wide, (k - above) % wide) for k in range(len(rows))]
        tall, broad = self._cell()
        broad = max(broad, 10 * TEXT)
        down = 1 + max(row for row, _ in places)
        for t in range(len(self.past) + len(self.mean)):
            page = Page(wide * (broad + GAP) + GAP, LINE + down * (tall + LINE + GAP))
            ahead = t - len(self.past) + 1
            what = "past" if ahead < 1 else f"{ahead} of {len(self.mean)} predicted"
            page.text(GAP, 0, f"frame {self.at + ahead - 1}: {what}")
            for (row, column), (name, frames) in zip(places, rows.items(), strict=True):
                x, y = GAP + column * (broad + GAP), LINE + row * (tall + LINE + GAP)
                page.text(x, y, name if frames[t] is not None else "no truth: the video has ended")
                page.picture(x, y + LINE, frames[t], self._scale())
            yield page.image

    def sheet(self) -> Image.Image:
        """All frames on one page: a row each for truth, mean, disagreement and samples, and a column a frame."""
        rows, (tall, broad) = self.rows(), self._cell()
        broad = max(broad, 6 * TEXT)
        page = Page(MARGIN + (len(self.past) + len(self.mean)) * (broad + GAP), LINE + len(rows) * (tall + GAP))
        for t in range(len(self.past) + len(self.mean)):
            number = self.at - len(self.past) + t
            page.text(MARGIN + t * (broad + GAP), 0, f"{number}, past" if t < len(self.past) else str(number))
        for row, (name, frames) in enumerate(rows.items()):
            page.text(GAP, LINE + row * (tall + GAP), name)
            for t, frame in enumerate(frames):
                if not row or t >= len(self.past):  # the past once
                    page.picture(MARGIN + t * (broad + GAP), LINE + row * (tall + GAP), frame, self._scale())
        return page.image

    def _scale(self) -> int:
        return max(1, round(LEAST_HEIGHT / self.mean.shape[1]))

    def _cell(self) -> tuple[int, int]:
        """Height and width of an enlarged frame."""
        return self.mean.shape[1] * self._scale(), self.mean.shape[2] * self._scale()

    def _gif(self) -> bytes:
        colours = _palette()
        first, *others = (page.quantize(palette=colours, dither=Image.Dither.NONE) for page in self.moving())
        times, buffer = [MILLISECONDS] * len(others) + [HELD * MILLISECONDS], io.BytesIO()
        first.save(
            buffer, "GIF", save_all=True, append_images=others, duration=times, loop=0, comment=self.about.encode()
        )
        return buffer.getvalue()

    def _png(self) -> bytes:
        buffer, notes = io.BytesIO(), PngImagePlugin.PngInfo()
        notes.add_itxt("Description", self.about)
        self.sheet().save(buffer, "PNG", pnginfo=notes)
        return buffer.getvalue()

    def _mp4(self) -> bytes:
        av, buffer = checks.installed("av", "video"), io.BytesIO()
        pages = [np.asarray(page) for page in self.moving()]
        tall, broad = (n // 2 * 2 for n in pages[0].shape[:2])  # what the codec takes; the ground is cut by a pixel
        unit = Fraction(MILLISECONDS, 1000)
        with av.open(buffer, "w", format="mp4") as container:
            container.metadata["comment"] = self.about
            stream = container.add_stream("libx264", rate=1 / unit, options={"crf": "16"})
            stream.height, stream.width, stream.pix_fmt = tall, broad, "yuv420p"
            for k, page in enumerate([*pages, *pages[-1:] * (HELD - 1)]):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(page[:tall, :broad]), format="rgb24")
                frame.pts, frame.time_base = k, unit
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return buffer.getvalue()


class Page:
    """An opaque picture that frames and words are put on."""

    def __init__(self, width: int, height: int):
        self.image = Image.new("RGB", (width, height), GROUND)
        self._draw, self._font = ImageDraw.Draw(self.image), ImageFont.load_default(TEXT)

    def text(self, x: int, y: int, words: str) -> None:
        """Words with their upper left corner there."""
        self._draw.text((x, y), words, fill=LETTERS, font=self._font)

    def picture(self, x: int, y: int, frame: np.ndarray | None, scale: int) -> None:
        """A frame (H, W) or (H, W, 3), clipped to [0, 1] and enlarged, with its upper left corner there; nothing for None."""
        if frame is not None:
            pixels = np.asarray((255 * frame.clip(0, 1)).round(), dtype=np.uint8)
            self.image.paste(Image.fromarray(pixels.repeat(scale, 0).repeat(scale, 1)), (x, y))


def check_ending(path: Path | str) -> Path:
    """The path of a picture to be written. Raises ValueError for an ending not in ``ENDINGS``, and for no such folder."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(f"out must end in {', '.join(ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"out must be in a folder that exists, got {str(path)!r}")
    return path


def predict_video(
    path: Path | str,
    weights: str = "natural-32-m2",
    frames: int = 8,
    n_samples: int = 4,
    *,
    at: int | None = None,
    height: int | None = 96,
    steps: int = 12,
    seed: int = 0,
    device: torch.device | str = "cpu",
    folder: Path | str = FOLDER,
    say: Callable[[str], None] = lambda _: None,
    progress: bool = False,
) -> Prediction:
    """So many next frames of a video file.

    weights, folder: as of :func:`~scorevid.denoisers.weights.load_denoiser`. at, height: as of
    :func:`~scorevid.worlds.clips.video_files.excerpt`; the natural weights were trained on frames of 96 rows. steps: of the
    sampler that chapter 3 recommends, from the greatest noise level of the training; two evaluations more for each frame. say:
    is told what is done. progress: show bars.

    Warns of weights that were trained on another world than natural video. Raises ValueError for weights without a memory or
    without samples, and as the functions do that are named here.
    """
    for name, value, least in (
        ("frames", frames, 1),
        ("samples", n_samples, 1),
        ("seed", seed, 0),
        ("steps", steps, 1),
    ):
        checks.integer(name, value, least)
    f = load_denoiser(weights, folder, device)
    world, memory = f.card["world"]["name"], f.memory
    if not memory:
        raise ValueError(f"{weights} has a memory of 0 and predicts nothing from the past: take weights with a memory")
    if isinstance(f, Regression):
        raise ValueError(f"{weights} predicts the mean alone and has no samples: take a denoiser's weights")
    if world != "Clips":
        warnings.warn(
            f"{weights} was trained on {world}, not on natural video: what it predicts means little", stacklevel=2
        )
    cut = excerpt(path, memory, frames, at, height, progress=progress)
    tall, wide = cut.frames.shape[1:]
    smaller = f", shrunk to {tall} × {wide}" if (tall, wide) != cut.size else ""
    say(f"{path}: the past is frames {cut.at - memory} to {cut.at - 1}, {cut.size[0]} × {cut.size[1]}{smaller}, grey")
    rows, columns = padding(f, tall, wide)
    if rows or columns:
        say(f"padded to {tall + rows} × {wide + columns} by mirroring at the lower and right border, cut off again")
    say(f"{weights}: samples: {n_samples}, next frames: {frames}, evaluations for each frame of a sample: {steps + 2}")
    sampler = Multistep(Ladder(sigma_0=f.card["noise"]["sigma_max"], steps=steps))
    greys = torch.from_numpy(cut.frames).to(device).float().div(255)
    generator = torch.Generator(device).manual_seed(seed)
    made = continue_frames(
        f, greys[None, :memory], frames, sampler, n_samples=n_samples, generator=generator, progress=progress
    )
    disagreement = made.disagreement()[0].cpu().numpy() if n_samples > 1 else None
    past, truth = (v.cpu().numpy() for v in (greys[:memory], greys[memory:]))
    about = f"scorevid predict, {weights}, sha256 {f.card['sha256']}, frame {cut.at}, seed {seed}, {steps} steps"
    mean, samples = made.mean[0].cpu().numpy(), made.samples[0].cpu().numpy()
    return Prediction(past, truth, mean, samples, disagreement, cut.at, about)


def _heat(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as colours (H, W, 3), from black through red to light yellow."""
    from matplotlib import colormaps  # takes half a second, which other commands need not wait

    return colormaps["inferno"](values)[..., :3]


def _palette() -> Image.Image:
    """Half of a GIF's colours for greys, half for disagreement."""
    line = np.linspace(0, 1, 128)
    colours = np.concatenate([line[:, None].repeat(3, 1), _heat(line)])
    palette = Image.new("P", (1, 1))
    palette.putpalette((255 * colours).round().astype(np.uint8).tobytes())
    return palette
