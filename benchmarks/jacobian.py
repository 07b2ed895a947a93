"""The full Jacobian of one 32 × 32 prediction, 1024 × 3072 for a memory of 2, against jacrev. The goal is 5 s."""

import argparse
import time

import torch

from scorevid import linear, load_denoiser

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--weights", default="leaves-32")
arguments.add_argument("--repeats", type=int, default=3)
arguments = arguments.parse_args()

f = load_denoiser(arguments.weights)
generator = torch.Generator().manual_seed(0)
y, c = (torch.rand(1, frames, 32, 32, generator=generator) for frames in (1, f.memory))


def best(compute):
    """Seconds of the fastest of a few runs, and what came out."""
    seconds = []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        found = compute()
        seconds.append(time.perf_counter() - start)
    return min(seconds), found


ours, (on_y, on_c) = best(lambda: linear.jacobian(f, y, c))
chunked, reference = best(lambda: torch.func.jacrev(f, (0, 1), chunk_size=64)(y, c))
whole, _ = best(lambda: torch.func.jacrev(f, (0, 1))(y, c))
worst = max(
    (on_y - reference[0].reshape(1024, 1024)).abs().max().item(),
    (on_c - reference[1].reshape(1024, f.memory, 1024)).abs().max().item(),
)
print(f"linear.jacobian {ours:.2f} s, {ours / 5:.2f} of the goal; {torch.get_num_threads()} threads")
print(f"jacrev, 64 rows at a time, {chunked:.2f} s ({chunked / ours:.2f} × ours); all at once {whole:.2f} s")
print(f"largest difference of a weight {worst:.1e}")
