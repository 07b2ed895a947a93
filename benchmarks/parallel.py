"""One training run on two processes against one: how far apart their losses are, and images a second.

The curve: fifty updates of a small network in fp32, the statistics of its normalisation settled half-way, by one process, by
two over gloo, and, for a scale, by one with the images of each batch in reverse order, which is the same mathematics with
other rounding. "Rounded to bf16" is Muon as PyTorch has it, which makes a last digit large. The speed: one process with as
many threads as there are processes, against those with one thread each, the same images an update, in turns.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from scorevid.training.records import read_log
from side_by_side import Result, median_range, options, ratio

# the command, with what of it is changed told by the name of the program: the processes that it starts run it again
PROGRAM = """
import sys
from pathlib import Path
from scorevid.training import optimisers
from scorevid.training import trainer as training
from scorevid.cli import main
name, draw = Path(sys.argv[0]).stem, training.noisy_batch
if "rounded" in name:
    from torch.optim._muon import _zeropower_via_newtonschulz as rounded
    how = (3.4445, -4.775, 2.0315), 5, 1e-7
    optimisers.orthogonal = lambda found: [rounded(x, *how).float() for x in found]
if "reverse" in name:
    training.noisy_batch = lambda *given: tuple(part.flip(0) for part in draw(*given))
main()
"""
CURVES = {  # by optimiser, and the program that has it
    "Adam": ("adam", "plain"),
    "Muon": ("muon", "plain"),
    "Muon rounded to bf16": ("muon", "rounded"),
}
SMALL = ["--world.size", "16", "--world.memory", "1", "--network.widths", "4", "8", "--batch", "8", "--warmup", "5"]


def train(folder: Path, name: str, out: str, *arguments: object) -> list[dict]:
    """The log of ``scorevid train`` on the CPU, by the program of that name."""
    program = folder / f"{name}.py"
    program.write_text(PROGRAM)
    command = [sys.executable, program, "train", "--device", "cpu", "--out", folder / out, *arguments]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{json.dumps(done.args)} failed:\n{done.stderr}")
    return read_log(folder / out / "log.jsonl")


def difference(one: list[dict], other: list[dict]) -> float:
    """The largest relative difference in loss."""
    return max(abs(a["loss"] - b["loss"]) / a["loss"] for a, b in zip(one, other, strict=True))


def images_a_second(log: list[dict]) -> float:
    """From the first line of the log on, by when the step is compiled and normalisation settled."""
    return (log[-1]["images"] - log[0]["images"]) / (log[-1]["seconds"] - log[0]["seconds"])


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        processes=(2, 2, "processes that share a batch"),
        curves=(tuple(CURVES), ("Muon",), "optimisers of the curves"),
        updates=(50, 6, "updates of the curve"),
        widths=((32, 64, 128), (4, 8), "channels at each scale, where speed is measured"),
        batch=(48, 4, "images in an update, where speed is measured"),
        steps=(200, 8, "updates of a turn, the first quarter of which is not measured"),
        rounds=(5, 1, "turns of each case"),
        compile=(True, False, "whether the trainer compiles, where speed is measured"),
    )
    result, several = Result("parallel", given, packages=("lightning-fabric",)), ("--devices", given.processes)
    with tempfile.TemporaryDirectory() as name:
        folder, rows, held = Path(name), [], {}
        exact = [*SMALL, "--threads", 1, "--log-every", 1, "--precision", "fp32", "--no-compile"]
        exact += ["--steps", given.updates, "--freeze-norm-after", given.updates // 2]
        for label in given.curves:
            optimiser, program = CURVES[label]
            curve = [*exact, "--optimiser", optimiser]
            one = train(folder, program, f"{label} one", *curve)
            shared = difference(one, train(folder, program, f"{label} shared", *curve, *several))
            turned = difference(one, train(folder, f"{program}-reverse", f"{label} reverse", *curve))
            rows.append([label, f"{shared:.1e}", f"{turned:.1e}"])
            if program == "plain":
                held[label] = shared
        result.table(
            f"Several processes: largest relative difference in loss from one, over {given.updates} updates",
            ["optimiser", f"{given.processes} processes", "one process, batch reversed"],
            rows,
        )

        threads = given.processes
        quarter = given.steps // 4
        speed = ["--network.widths", *given.widths, "--batch", given.batch, "--freeze-norm-after", quarter // 2]
        speed += ["--steps", given.steps, "--log-every", quarter, "--compile" if given.compile else "--no-compile"]
        cases = {
            f"1 process, {threads} threads": ["--threads", threads],
            f"{given.processes} processes, 1 thread each": ["--threads", 1, *several],
        }
        found: dict[str, list[float]] = {case: [] for case in cases}
        for turn in range(given.rounds):
            for case in list(cases)[:: -1 if turn % 2 else 1]:
                found[case].append(images_a_second(train(folder, "plain", f"{case} {turn}", *speed, *cases[case])))
    first = next(iter(found.values()))
    result.table(
        f"Several processes: images a second with {given.batch} images an update, in turns",
        ["", "images a second", "× one process"],
        [[case, median_range(rates), ratio(rates, first)] for case, rates in found.items()],
    )
    for label, value in held.items():
        result.target(
            f"relative difference in loss from one process, {label}", median_range([value]), 1e-4, at_least=False
        )
    result.finish()


if __name__ == "__main__":
    main()
