"""Time to a calibrated network: slope and blends of our weights at each publication, and of their peers, by training time.

Nothing is trained here. The calibration is that of stored sweeps, the time that of the cards: a network of a run's history
took the share of its hours that its images are of all. A row is calibrated if its slope lies in [0.9, 1.1] and blends are
2 % at most, whatever the intervals. The time to calibration is that of the first publication from which on all are calibrated:
a single slope is in the range by chance now and then.
"""

from __future__ import annotations

from pathlib import Path

from scorevid import load_denoiser, studies
from scorevid.denoisers.weights import FOLDER
from scorevid.estimates import Estimate, exactly
from side_by_side import Result, options

PEERS = {"blind": "small blind twin", "edm": "EDM, small", "flow": "flow matching, small"}
EVALUATIONS, SOLVER = 14, "multistep, β = 1"


def row(name: str, minutes: float, images: int, found: dict) -> list:
    """One line of the table."""
    slope, blends = (Estimate(*found[key], None, "bootstrap") for key in ("slope", "blends"))
    calibrated = 0.9 <= slope.value <= 1.1 and blends.value <= 0.02
    return [name, minutes, images, slope, blends, "yes" if calibrated else "no"]


def lasting(publications: list[tuple[float, bool]]) -> float | None:
    """Minutes of the first publication from which on all are calibrated, in the order of training; None if the last is not."""
    found = None
    for minutes, calibrated in publications:
        found = (minutes if found is None else found) if calibrated else None
    return found


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
        "The slopes are of a thousand samples and vary by chance, so a publication may miss the range by its value while its "
        "interval reaches into it, or the other way round."
    )
    result.finish()


if __name__ == "__main__":
    main()
