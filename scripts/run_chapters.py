"""Run chapters side by side, each in a fresh kernel and an empty folder, and keep executed copies for the book to show.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/run_chapters.py notebooks/*.ipynb --out _build/chapters

A copy tells in its metadata how it was run: seconds, when it ended, how many processors there were, how many threads each
chapter had, and how many chapters ran at once. The first chapter that fails keeps those that have not begun from beginning;
the exit status is 1 and the traceback of the cell is shown.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import nbformat
import tyro

from scorevid.companion.notebooks import environment, how_it_ran, list_fonts, run_notebook, stored_seconds
from scorevid.machine import processors


def main(
    notebooks: tyro.conf.Positional[list[Path]],
    /,
    out: Path | None = None,
    at_once: int | None = None,
    timeout: int = 900,
) -> None:
    """notebooks: the chapters. out: folder for the executed copies; without it each chapter keeps its own outputs. at_once:
    how many run side by side; as many as there are processors. timeout: seconds that a cell may take."""
    missing = [path for path in notebooks if not path.is_file()]
    if missing or len({path.name for path in notebooks}) < len(notebooks):
        raise ValueError(f"notebooks must be files of different names, got {notebooks}, of which {missing} are none")
    at_once = processors() if at_once is None else at_once
    if at_once < 1 or timeout < 1:
        raise ValueError(f"at_once and timeout must be at least 1, got {at_once} and {timeout}")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    failed, stopped = Event(), Event()
    with TemporaryDirectory(prefix="k-", ignore_cleanup_errors=True) as scratch:
        variables = environment(scratch)
        list_fonts(variables)

        def job(path: Path) -> float | None:
            if failed.is_set():
                return None
            try:
                folder = Path(scratch, path.stem)
                folder.mkdir()
                notebook, begin = nbformat.read(path, 4), time.monotonic()
                run_notebook(notebook, folder, variables, timeout=timeout, wanted=lambda: not stopped.is_set())
                seconds = time.monotonic() - begin
                to = path if out is None else out / path.name
                if to.resolve() != path.resolve():
                    notebook.metadata["scorevid"] = how_it_ran(seconds, at_once)
                nbformat.write(notebook, to)
                return seconds
            except Exception:
                failed.set()  # here, as the next chapter would begin before the main thread heard of it
                raise

        pool = ThreadPoolExecutor(at_once)  # of threads, as the work is done by kernels, which are processes
        # the longest first, so that none is left to the end
        jobs = {pool.submit(job, path): path for path in sorted(notebooks, key=stored_seconds, reverse=True)}
        try:
            for done in as_completed(jobs):
                if problem := done.exception():
                    print(f"{jobs[done]} failed: {type(problem).__name__}\n{problem}", file=sys.stderr, flush=True)
                elif done.result() is not None:
                    print(f"{jobs[done]} ran in {done.result():.0f} s", flush=True)
        except KeyboardInterrupt:
            stopped.set()
        pool.shutdown(cancel_futures=True)
    sys.exit(130 if stopped.is_set() else failed.is_set())


if __name__ == "__main__":
    tyro.cli(main)
