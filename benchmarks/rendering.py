"""Scenes rendered a second: moving leaves, 32 × 32, 3 disks, triplets of frames. The goal is 20,000 on two cores."""

import argparse
import time

import torch

from scorevid.worlds.leaves import Leaves

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--batch", type=int, default=1024)
arguments.add_argument("--seconds", type=float, default=5.0)
arguments = arguments.parse_args()

world, generator = Leaves(), torch.Generator().manual_seed(0)
world.draw(arguments.batch, generator)
start, drawn = time.perf_counter(), 0
while time.perf_counter() - start < arguments.seconds:
    world.draw(arguments.batch, generator)
    drawn += arguments.batch
rate = drawn / (time.perf_counter() - start)
print(f"{rate:,.0f} triplets a second, {rate / 20_000:.2f} of the goal, {torch.get_num_threads()} threads")
