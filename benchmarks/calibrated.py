"""Time to a calibrated network: slope and blends of our weights at each publication, and of their peers, by training time.

Nothing is trained here. The calibration is that of stored sweeps, the time that of the cards: a network of a run's history
took the share of its hours that its images are of all. A row is calibrated if its slope lies in [0.9, 1.1] and blends are
2 % at most, whatever the intervals. The time to calibration is that of the first publication from which on all are calibrated:
a single slope is in the range by chance now and then.

A second table is of trials: ways to train, from random weights and for equal processor time, judged on scenes for validation.
"""

from __future__ import annotations

from pathlib import Path

from scorevid import load_denoiser, studies
from scorevid.denoisers.weights import FOLDER
from scorevid.estimates import Estimate, exactly
from scorevid.studies import trials
from side_by_side import Result, options

PEERS = {"blind": "small blind twin", "edm": "EDM, small", "flow": "flow matching, small"}
EVALUATIONS, SOLVER = 14, "multistep, β = 1"


def estimates(found: dict, *names: str) -> list[Estimate | None]:
    """Stored figures with their intervals, None where there are none."""
    return [found[name] and Estimate(*found[name], None, "bootstrap") for name in names]


def calibrated(slope: Estimate | None, blends: Estimate) -> str:
    """Whether both are in their ranges, as the tables say it."""
    return "yes" if slope and 0.9 <= slope.value <= 1.1 and blends.value <= 0.02 else "no"


def row(name: str, minutes: float, images: int, found: dict) -> list:
    """One line of the table."""
    both = estimates(found, "slope", "blends")
    return [name, minutes, images, *both, calibrated(*both)]


def lasting(publications: list[tuple[float, bool]]) -> float | None:
    """Minutes of the first publication from which on all are calibrated, in the order of training; None if the last is not."""
    found = None
    for minutes, calibrated in publications:
        found = (minutes if found is None else found) if calibrated else None
    return found


def trial_row(row: dict) -> list:
    """One line of the table of trials."""
    sigmas = trials.SIGMAS["leaves"]
    excess = [Estimate(*row[f"excess {n}"][sigmas.index(s)]) for n in trials.DISKS for s in (5.0, 1.0)]
    slope, error, blends = estimates(row, "slope", "error", "blends")
    cost = [row["label"], row["minutes"], row["updates"], row["parameters"]]
    return [*cost, *excess, slope, error, blends, calibrated(slope, blends)]


def main() -> None:
    given = options(__doc__, Path(__file__).parent / "results")
    result = Result("calibrated", given)
    history, solvers = studies.load_results("training"), studies.load_results("solvers")
    weights = history["parameters"]["weights"]
    card = load_denoiser(weights).card["training"]
    rows = [
        row(weights, 60 * card["hours"] * r["images"] / card["images"], r["images"], r)
        for r in history["results"]
        if r["run"] == max(r["run"] for r in history["results"])
    ]
    for name, label in PEERS.items():
        card = load_denoiser(name, FOLDER / "peers").card["training"]
        cases = [r for r in solvers["results"] if (r["network"], r["solver"]) == (name, SOLVER)]
        found = next(r for r in cases if r["evaluations"] == EVALUATIONS)
        rows.append(row(label, 60 * card["hours"], card["images"], found))
    columns = ["network", "core minutes", "training images", "logit slope", "share of blends", "calibrated"]
    result.table("Training time and calibration on undecided meetings of two disks", columns, rows)
    columns = ["network", "core minutes", "updates", "parameters"]
    columns += [f"excess with {n} disks, σ = {s}" for n in trials.DISKS for s in (5, 1)]
    columns += ["logit slope", "excess frequency error", "share of blends", "calibrated"]
    tried = [trial_row(row) for row in studies.load_results("trials_leaves")["results"]]
    result.table("Ways to train for equal time, judged on scenes for validation", columns, tried)
    minutes = lasting([(r[1], r[-1] == "yes") for r in rows if r[0] == weights])
    if minutes is not None:
        result.target("core minutes to a calibrated network", exactly(minutes, 1), 30, False)
    else:
        result.note(
            "The last publication of our weights is not calibrated by its value, so there is no time to calibration."
        )
    result.note(
        "Weights of a run were published a few times only. The learning rate had not yet fallen to zero before the last."
    )
    result.note(
        "The slopes of the first table are of a thousand samples and vary by chance, so a publication may miss the range "
        "by its value while its interval reaches into it, or the other way round."
    )
    result.finish()


if __name__ == "__main__":
    main()
