"""Training from a folder of many short videos: how long it waits for data, and how much memory it takes.

The videos are made for this: a texture that drifts, at 240 rows, as UCF101 and Something-Something have. They are decoded
once into a cache that is thrown away. A fresh process then trains the network of the natural weights on them, and the time is
taken that each step waits for its batch. Another one counts what is kept in memory for each video. From both follows what a
folder of 100 GB would take.
"""

import os
import tempfile
import time
import tracemalloc
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from scorevid.checks import installed
from scorevid.denoisers.unet import UNet
from scorevid.training.steps import Settings
from scorevid.training.trainer import Trainer
from scorevid.worlds.clips.folders import listed_videos
from scorevid.worlds.clips.stored import store
from scorevid.worlds.clips.world import Clips
from side_by_side import Result, answer_as_child, in_child, median_range, options, peak_memory, take_turns

TALL, WIDE = 240, 320
FOLDER = 100e9  # bytes
DRAWS = 20  # batches that are made by themselves
MEMORY, WAITING = 2000.0, 0.05  # bounds: MiB, share of the time


def make_videos(folder: Path, count: int, frames: int) -> None:
    """So many H.264 files of so many frames each, in ten classes."""
    av = installed("av", "video")
    draws = np.random.default_rng(0)
    texture = draws.integers(0, 256, (2 * TALL, 2 * WIDE), dtype=np.uint8)
    for k in range(count):
        path = folder / f"class-{k % 10}" / f"{k:06d}.mp4"
        path.parent.mkdir(exist_ok=True)
        (down, right), start = draws.integers(-2, 3, 2), draws.integers(60, 180, 2)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "30"})
            stream.height, stream.width, stream.pix_fmt = TALL, WIDE, "yuv420p"
            for t in range(frames):
                i, j = (int(start[n] + t * (down, right)[n]) % (TALL, WIDE)[n] for n in range(2))
                grey = texture[i : i + TALL : 2, j : j + WIDE : 2].repeat(2, 0).repeat(2, 1)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray").reformat(format="yuv420p")
                frame.pts, frame.time_base = t, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())


def train(folder: str, steps: int, batch: int, widths: list[int]) -> dict:
    """Seconds of each step, of its wait for the batch, and of making a batch; and the process's peak of memory in MiB."""
    warnings.simplefilter("ignore")
    world = Clips(source=folder, memory=2, pan=8)
    waits, times = [], []
    with tempfile.TemporaryDirectory() as out:
        settings = Settings(steps=steps + 1, batch=batch, compile=False)
        trainer = Trainer(UNet(2, widths), world, settings, out)
        trainer._batch_of.start(world.streams)
        take = trainer._batch_of

        def timed(step: int):
            start = time.perf_counter()
            made = take(step)
            waits.append(time.perf_counter() - start)
            return made

        trainer._batch_of = timed
        for _ in range(steps + 1):
            start = time.perf_counter()
            trainer.update()
            times.append(time.perf_counter() - start)
        take.start(False)
        draws = take_turns({"draw": lambda: take(0)}, DRAWS)["draw"]
    found = {"waits": waits[1:], "times": times[1:], "draws": draws}
    return found | {"peak": peak_memory(), "threads": torch.get_num_threads()}


def count(folder: str) -> dict:
    """The most bytes that the shots of a folder or a list take, and the number of their videos."""
    warnings.simplefilter("ignore")
    world = Clips(source=folder, memory=2)
    tracemalloc.start()
    world.shots("cpu")
    return {"most": tracemalloc.get_traced_memory()[1], "videos": len(listed_videos(folder))}


def task(name: str, *given) -> dict:
    """What a child process is asked for."""
    return {"train": train, "count": count}[name](*given)


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        files=(200, 8, "videos"),
        frames=(60, 16, "frames of each"),
        steps=(40, 2, "steps that are timed"),
        batch=(48, 4, "images in a step"),
        widths=((32, 64, 128), (4, 8), "channels of the network"),
    )
    result = Result("streaming", given, packages=("av",))
    with tempfile.TemporaryDirectory() as place:
        folder, os.environ["SCOREVID_CACHE"] = Path(place) / "videos", str(Path(place) / "cache")
        folder.mkdir()
        make_videos(folder, given.files, given.frames)
        size = sum(path.stat().st_size for path in folder.rglob("*.mp4"))
        start = time.perf_counter()
        made = store([each.path for each in listed_videos(folder)], 96)
        decoding = time.perf_counter() - start
        cached = sum(path.stat().st_size for path in Path(os.environ["SCOREVID_CACHE"]).glob("*.frames"))
        trained = in_child(__file__, "train", str(folder), given.steps, given.batch, list(given.widths))
        some = folder / "some.txt"  # what is there for any folder, however small, is not the videos'
        some.write_text("\n".join(path.relative_to(folder).as_posix() for path in [*made.videos][: given.files // 4]))
        counted, few = (in_child(__file__, "count", str(source)) for source in (folder, some))
    shown = given.files * given.frames
    result.table(
        "The folder",
        ["quantity", "value"],
        [
            ["videos", len(made.videos)],
            ["frames", shown],
            ["megabytes of video", size / 1e6],
            ["megabytes of stored frames", cached / 1e6],
            ["frames decoded, cut and stored a second", shown / decoding],
        ],
    )
    total = sum(trained["waits"]) / sum(trained["times"])
    result.table(
        f"Training from the folder, threads: {trained['threads']}",
        ["quantity", "value"],
        [
            ["milliseconds a step", median_range([1e3 * t for t in trained["times"]])],
            ["milliseconds of waiting for data a step", median_range([1e3 * t for t in trained["waits"]])],
            [
                "milliseconds that a batch takes to be made",
                median_range([1e3 * t for t in trained["draws"]]),
            ],
            ["share of the time that is waiting", total],
        ],
    )
    each = (counted["most"] - few["most"]) / (counted["videos"] - few["videos"])
    files = FOLDER / (size / given.files)
    grown = trained["peak"] + files * each / 2**20
    result.table(
        "Memory",
        ["quantity", "value"],
        [
            ["peak of the process that trains, MiB", trained["peak"]],
            ["bytes for each video", each],
            ["videos of this size in a folder of 100 GB", files],
            ["peak for such a folder, worked out, MiB", grown],
        ],
    )
    result.target("share of the time that training waits for data", median_range([total]), WAITING, at_least=False)
    result.target("memory for a folder of 100 GB, worked out, MiB", median_range([grown]), MEMORY, at_least=False)
    result.finish()


if __name__ == "__main__":
    answer_as_child(task)
    main()
