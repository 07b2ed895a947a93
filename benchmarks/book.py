"""Time of each chapter, of making the book, and of importing the package in a fresh process.

Chapters tell how long they took when they were executed for the book, in ``_build/chapters``; where there is none, in the
outputs that are stored. Importing is timed in fresh processes that take turns: nothing, torch, the package, and what the
README uses of it. With ``--build yes`` the book is made, which takes some minutes: cold, from nothing but the environment;
warm, its pages from the chapters as they were executed, as one does after a change of prose; and where nothing has changed.
"""

import math
import subprocess
import sys
import time
from pathlib import Path

import nbformat

from scorevid.companion.notebooks import stored_seconds
from side_by_side import Result, median_range, options, ratio, take_turns

ROOT = Path(__file__).parent.parent


def chapters() -> list[list]:
    """Name, seconds, and where they are from, of each chapter."""
    rows = []
    for path in sorted([*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "supplement").glob("*.ipynb")]):
        built = ROOT / "_build" / "chapters" / path.name
        how = nbformat.read(built, 4).metadata.get("scorevid") if built.is_file() else None
        if how:
            where = f"the last build, {how['at_once']} at once, on {how['threads'] or 'all'} threads each"
            rows.append([path.stem, float(how["seconds"]), where])
        else:
            seconds = stored_seconds(path)
            rows.append([path.stem, seconds if math.isfinite(seconds) else None, "stored outputs"])
    return rows


def fresh(statement: str) -> None:
    """Run a statement in a new process."""
    subprocess.run([sys.executable, "-c", statement], check=True)


def making() -> list[list]:
    """Seconds of making the book from an emptied ``_build``, and again in two ways."""
    subprocess.run(["rm", "-rf", str(ROOT / "_build")], check=True)
    rows = []
    for what, target in (
        ("cold: make book, nothing built before", "book"),
        ("warm: make pages, chapters as executed before", "pages"),
        ("nothing has changed since, as make test and make pdf ask", "_build/html/index.html"),
    ):
        start = time.perf_counter()
        subprocess.run(["make", target], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        rows.append([what, time.perf_counter() - start])
    return rows


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        rounds=(7, 1, "turns of the fresh processes"),
        build=(False, False, "whether to make the book twice; empties _build"),
    )
    result = Result("book", given)
    rows = chapters()
    result.table("Time of each chapter", ["chapter", "seconds", "from"], rows)
    if given.build:
        result.table("Time of making the book", ["what", "seconds"], making())
    else:
        result.note("Making the book was not timed; python benchmarks/book.py --build yes does.")
    used = "from scorevid import Leaves, load_denoiser, solve"  # names load when they are used, and torch with them
    cases = {name: name for name in ("import torch", "import scorevid", used)} | {"python alone": "pass"}
    times = take_turns({name: lambda s=s: fresh(s) for name, s in cases.items()}, given.rounds)
    whole, torch_alone = times[used], times["import torch"]
    beside = [a - b for a, b in zip(whole, torch_alone, strict=True)]
    result.table(
        "Time of a fresh process, in turns",
        ["", "seconds", "share of the slowest"],
        [[name, median_range(each), ratio(each, whole)] for name, each in times.items()]
        + [["that of scorevid, beside torch", median_range(beside), ratio(beside, whole)]],
    )
    result.target("seconds of import scorevid", median_range(times["import scorevid"]), 2.0, at_least=False)
    result.target(f"seconds of {used}, torch's among them", median_range(whole), 2.0, at_least=False)
    result.finish()


if __name__ == "__main__":
    main()
