"""The full Jacobian of one 32 × 32 prediction, 1024 × 3072 for a memory of 2, against PyTorch's own ways.

``jacrev`` at its defaults goes through all rows at once. A loop over output pixels, a backward pass each, is what one
writes first; of it a few rows are timed, and told for all.
"""

from pathlib import Path

import torch

from scorevid import load_denoiser
from scorevid.measures import linear_weights as linear
from side_by_side import Result, median_range, options, ratio, take_turns

OURS, CHUNKED, WHOLE, LOOP = (
    "linear.jacobian",
    "jacrev, 64 rows at a time",
    "jacrev, all rows at once",
    "a loop over rows",
)


def loop(f, y, c, rows: int):
    """The first rows, by one backward pass each."""
    y, c = y.clone().requires_grad_(), c.clone().requires_grad_()
    x_hat = f(y, c).flatten()
    return [torch.autograd.grad(x_hat[k], (y, c), retain_graph=True) for k in range(rows)]


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        weights=("leaves-32", "leaves-32", "published weights"),
        size=(32, 8, "height and width of the frame"),
        rounds=(3, 1, "turns of each case"),
        rows=(64, 4, "rows of the loop that are timed"),
    )
    result, f = Result("jacobian", given), load_denoiser(given.weights)
    generator, n = torch.Generator().manual_seed(0), given.size**2
    y, c = (torch.rand(1, frames, given.size, given.size, generator=generator) for frames in (1, f.memory))
    times = take_turns(
        {
            OURS: lambda: linear.jacobian(f, y, c),
            CHUNKED: lambda: torch.func.jacrev(f, (0, 1), chunk_size=64)(y, c),
            WHOLE: lambda: torch.func.jacrev(f, (0, 1))(y, c),
            LOOP: lambda: loop(f, y, c, given.rows),
        },
        given.rounds,
    )
    times[LOOP] = [t * n / given.rows for t in times[LOOP]]
    rows = [[name, median_range(each), ratio(each, times[OURS])] for name, each in times.items()]
    result.table(f"The Jacobian of one prediction, {n:,} rows", ["", "seconds", "× linear.jacobian"], rows)
    on_y, on_c = linear.jacobian(f, y, c)
    reference = torch.func.jacrev(f, (0, 1), chunk_size=64)(y, c)
    worst = max(
        (on_y - reference[0].reshape(n, n)).abs().max().item(),
        (on_c - reference[1].reshape(n, f.memory, n)).abs().max().item(),
    )
    result.table("Jacobian: agreement with jacrev", ["quantity", "value"], [["largest difference of a weight", worst]])
    result.target("seconds of the full Jacobian", median_range(times[OURS]), 5.0, at_least=False)
    result.finish()


if __name__ == "__main__":
    main()
