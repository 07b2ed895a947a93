"""Moving pictures for notebooks and pages: a small GIF with a still picture in its place where motion is not wanted."""

from __future__ import annotations

import base64
import hashlib
import html
import io

import numpy as np
from PIL import Image

from scorevid.companion.frames import as_frames

PIXELS = 3  # of the page for one of a frame


class Animation:
    """Frames that a notebook plays in an endless loop, with a box to pause it, without scripts.

    frames: (T, R, C, H, W) grey levels, clipped to [0, 1]; R rows of C images, T times. alt: what a reader who does not
    see it is told. caption: a line below it. milliseconds: a frame; the last one stays five times as long. still: which
    times the still picture shows, one row of the page each, when the reader has paused it or asked for less motion.

    Raises ValueError for frames of another shape or that are not finite, and times out of range.
    """

    def __init__(
        self, frames, alt: str, caption: str = "", *, milliseconds: int = 300, still: tuple[int, ...] = (0, -1)
    ):
        frames = as_frames(frames, 5)
        if milliseconds < 20:
            raise ValueError(f"a frame takes 20 milliseconds or more, got {milliseconds}")
        if not still or not all(-len(frames) <= t < len(frames) for t in still):
            raise ValueError(f"times of the still picture must be of the {len(frames)} frames, got {still}")
        self.alt, self.caption, self.milliseconds = alt, caption, milliseconds
        self.pictures = [_tiled(frame) for frame in frames]
        self.still = Image.fromarray(np.concatenate([np.asarray(self.pictures[t]) for t in still]))

    def gif(self) -> bytes:
        """The animation as a GIF file."""
        buffer = io.BytesIO()
        times = [self.milliseconds] * (len(self.pictures) - 1) + [5 * self.milliseconds]
        first, *others = self.pictures
        first.save(buffer, "GIF", save_all=True, append_images=others, duration=times, loop=0)
        return buffer.getvalue()

    def png(self) -> bytes:
        """The still picture as a PNG file, enlarged as on the page."""
        buffer = io.BytesIO()
        size = (self.still.width * PIXELS, self.still.height * PIXELS)
        self.still.resize(size, Image.Resampling.NEAREST).save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        gif, png = (base64.b64encode(data).decode() for data in (self.gif(), self.png()))
        look = f"width: {self.pictures[0].width * PIXELS}px; max-width: 100%; image-rendering: pixelated"
        alt, caption = html.escape(self.alt, quote=True), html.escape(self.caption)
        name = f"pause-{hashlib.sha256(gif.encode()).hexdigest()[:8]}"
        return (
            f'<div class="animation">{STYLE}<input type="checkbox" id="{name}"><label for="{name}">Pause</label>'
            f'<img class="moving" src="data:image/gif;base64,{gif}" alt="{alt}" style="{look}">'
            f'<img class="still" src="data:image/png;base64,{png}" alt="{alt}" style="{look}">'
            + (f"<p>{caption}</p>" if caption else "")
            + "</div>"
        )


# the box hides the moving picture and shows the still one; so does a reader's wish for less motion, and paper
STYLE = (
    "<style>.animation label { margin-left: 0.3em } .animation img { display: block } .animation .still { display: none }"
    " .animation :checked ~ .moving { display: none } .animation :checked ~ .still { display: block }"
    " @media print, (prefers-reduced-motion: reduce) { .animation :is(.moving, input, label) { display: none }"
    " .animation .still { display: block } }</style>"
)


def _tiled(images: np.ndarray, gap: int = 1) -> Image.Image:
    """(R, C, H, W) as one picture, a white line between images."""
    rows, columns, height, width = images.shape
    sheet = np.ones((rows, height + gap, columns, width + gap))
    sheet[:, :height, :, :width] = images.clip(0, 1).transpose(0, 2, 1, 3)
    sheet = sheet.reshape(rows * (height + gap), columns * (width + gap))
    return Image.fromarray((255 * sheet).round().astype(np.uint8))
