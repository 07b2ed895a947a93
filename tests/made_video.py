"""Video files, made up: one way of encoding for each kind of container."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

#: name of the file -> codec, pixel format and options
KINDS = {
    "h264.mp4": ("libx264", "yuv420p", {"g": "6"}),
    "h264.m4v": ("libx264", "yuv420p", {"bf": "0"}),
    "mpeg4.mov": ("mpeg4", "yuv420p", {"movflags": "faststart"}),
    "h264.mkv": ("libx264", "yuv420p", {"g": "6"}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"cpu-used": "8", "deadline": "realtime"}),
    "h264.ts": ("libx264", "yuv420p", {"g": "6"}),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {}),
    "grey.gif": ("gif", "gray", {}),
}


def drift(frames=20, tall=48, wide=64):
    """Waves that move by two pixels a frame, (T, H, W) uint8."""
    t, i, j = np.meshgrid(np.arange(frames), np.arange(tall), np.arange(wide), indexing="ij")
    return (127 + 100 * np.sin((j + 2 * t) / 9) * np.cos((i - 2 * t) / 7)).astype(np.uint8)


def write_video(path: Path, frames: np.ndarray, codec="ffv1", pixels="gray", options=()) -> Path:
    """Frames (T, H, W) uint8 in a file, whose kind of container follows from the name."""
    av = pytest.importorskip("av")
    options = dict(options)
    box = {name: options.pop(name) for name in ("movflags",) if name in options}
    with av.open(f"file:{path}", "w", options=box) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        for k, grey in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(grey, format="gray").reformat(format=pixels)
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
