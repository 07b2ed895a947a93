"""A folder in the official layout of DAVIS, made up."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_davis(folder: Path, train: dict[str, int], val: dict[str, int], size: tuple[int, int] = (48, 88)) -> Path:
    """train, val: sequences and how many frames of each; flat ones, from dark to light. size: their height and width."""
    lists = folder / "ImageSets" / "2017"
    lists.mkdir(parents=True)
    for subset, sequences in (("train", train), ("val", val)):
        (lists / f"{subset}.txt").write_text("".join(f"{name}\n" for name in sequences))
        for name, frames in sequences.items():
            (images := folder / "JPEGImages" / "480p" / name).mkdir(parents=True)
            for k, grey in enumerate(np.linspace(20, 200, frames)):
                Image.new("RGB", size[::-1], (int(grey),) * 3).save(images / f"{k:05d}.jpg")
    return folder
