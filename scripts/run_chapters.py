"""Run chapters side by side, each in a fresh kernel and an empty folder, and keep executed copies for the book to show.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/run_chapters.py notebooks/*.ipynb --out _build/chapters

The notebooks themselves stay as they are. A copy tells in its metadata how it was run: seconds, when it ended, how many
processors there were, how many threads each chapter had, and how many chapters ran at once. The first chapter that fails
keeps those that have not begun from beginning; the exit status is 1 and the traceback of the cell is shown.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import nbclient
import nbformat
import tyro

from scorevid.machine import processors


def main(
    notebooks: tyro.conf.Positional[list[Path]], /, out: Path, at_once: int | None = None, timeout: int = 900
) -> None:
    """notebooks: the chapters. out: folder for the executed copies. at_once: how many run side by side; as many as there
    are processors. timeout: seconds that a cell may take."""
    if missing := [path for path in notebooks if not path.is_file()] or len({p.name for p in notebooks}) < len(
        notebooks
    ):
        raise ValueError(f"notebooks of different names are due, got {notebooks}, of which {missing} are no files")
    at_once = processors() if at_once is None else at_once
    if at_once < 1 or timeout < 1:
        raise ValueError(f"at least one chapter at once and one second a cell are due, got {at_once} and {timeout}")
    out.mkdir(parents=True, exist_ok=True)
    interrupted, failed = False, Event()
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch:

        def job(path: Path) -> float | None:
            if failed.is_set():
                return None
            try:
                return run(path, out, Path(scratch), at_once, timeout)
            except Exception:
                failed.set()  # here, as the next chapter would begin before the main thread heard of it
                raise

        # threads, as the work is done by kernels, processes of their own; and within one process no two are given one port
        pool = ThreadPoolExecutor(at_once)
        order = sorted(
            notebooks, key=stored_seconds, reverse=True
        )  # the longest first, so that none is left to the end
        jobs = {pool.submit(job, path): path for path in order}
        try:
            for done in as_completed(jobs):
                if problem := done.exception():
                    print(f"{jobs[done]} failed: {type(problem).__name__}\n{problem}", file=sys.stderr, flush=True)
                elif done.result() is not None:
                    print(f"{jobs[done]} ran in {done.result():.0f} s", flush=True)
        except KeyboardInterrupt:
            interrupted = True
            pool.shutdown(wait=False, cancel_futures=True)
    if interrupted:
        os._exit(130)  # without waiting for the chapters, whose kernels end with this process
    sys.exit(failed.is_set())


def stored_seconds(path: Path) -> float:
    """How long the chapter took when its outputs were stored, from the times that its cells tell; endless where none do."""
    stamps = [
        datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        for cell in nbformat.read(path, 4).cells
        for stamp in cell.metadata.get("execution", {}).values()
    ]
    return (max(stamps) - min(stamps) if stamps else timedelta.max).total_seconds()


def run(path: Path, out: Path, scratch: Path, at_once: int, timeout: int) -> float:
    """Run one chapter, write its executed copy, return the seconds it took. Raises whatever stops it."""
    notebook, folder, begin = nbformat.read(path, 4), scratch / path.stem, time.monotonic()
    folder.mkdir()
    nbclient.execute(notebook, cwd=str(folder), timeout=timeout)
    seconds = time.monotonic() - begin
    notebook.metadata["scorevid"] = how_it_ran(seconds, at_once)
    nbformat.validate(notebook)
    nbformat.write(notebook, out / path.name)
    return seconds


def how_it_ran(seconds: float, at_once: int) -> dict:
    """What an executed copy that is written now tells of its run."""
    return {
        "seconds": round(seconds, 2),
        "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processors": processors(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "at_once": at_once,
    }


if __name__ == "__main__":
    tyro.cli(main)
