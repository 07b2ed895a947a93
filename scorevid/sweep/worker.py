"""What a Dask worker does for a sweep: one run of the notebook, in a kernel that ends with the worker.

Should a kernel go on a little after its worker was killed, it writes into its own attempt only, which no one looks at.
"""

from __future__ import annotations

import importlib
import socket
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from scorevid import __version__
from scorevid.companion.notebooks import NotWantedError, environment, run_notebook, with_parameters
from scorevid.companion.records import COLLECT_VARIABLE, FOLDER_VARIABLE, read_records
from scorevid.sweep.folder import MANIFEST, NOTEBOOK, Run, begin, discard, publish, record_of

_THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")) + ("VECLIB_MAXIMUM_THREADS",)


def readiness(folder: str, version: str) -> str | None:
    """Why this worker cannot run a sweep in the folder with that version of scorevid, or None."""
    for module in ("ipykernel", "nbclient", "papermill"):
        importlib.import_module(module)
    if not (Path(folder) / MANIFEST).is_file():
        return f"it does not see {folder}, a folder that all workers share"
    if __version__ != version:
        return f"scorevid must have version {version}, got {__version__}"
    return None


def execute(folder: str, run: Run, threads: int, scratch: str | None) -> dict:
    """Do a run with so many threads, unless it was done already; returns its record. scratch: for temporary files.

    A notebook that fails is a record as well. Raises NotWantedError, leaving nothing, if the run was cancelled or its
    worker is closing.
    """
    home = Path(folder)
    if record := record_of(home, run):
        return record
    notebook = with_parameters(home / NOTEBOOK, run.parameters)
    attempt, wanted, start = begin(home, run), _wanted(), time.monotonic()
    try:
        error = _error(notebook, attempt, threads, scratch, wanted)
        if error and not wanted():  # all of it is being ended, which may be what stopped the notebook
            raise NotWantedError(run.id)
        record = {
            "run": run.id,
            "key": run.key,
            "parameters": run.parameters,
            "status": "failed" if error else "done",
            "error": error,
            "seconds": round(time.monotonic() - start, 2),
            "threads": threads,
            "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": socket.gethostname(),
        }
        return publish(home, run, attempt, record)
    except BaseException:
        discard(attempt)
        raise


def _error(notebook, attempt: Path, threads: int, scratch: str | None, wanted: Callable[[], bool]) -> str | None:
    """Run the notebook; what stopped it, or the first claim that came out otherwise than stated, or None."""
    import nbformat
    from nbclient.exceptions import CellExecutionError

    error = None
    with (
        tempfile.TemporaryDirectory(prefix="k-", dir=scratch, ignore_cleanup_errors=True) as settings,
        (attempt / "log.txt").open("w", encoding="utf-8") as log,
    ):
        variables = environment(settings) | {
            FOLDER_VARIABLE: str(attempt / "claims"),
            COLLECT_VARIABLE: "1",  # a claim that fails does not keep the run from its other claims
            **dict.fromkeys(_THREADS, str(threads)),
        }
        try:
            run_notebook(notebook, attempt / "files", variables, log=log, wanted=wanted)
        except NotWantedError:
            raise
        except CellExecutionError as problem:
            error = f"{problem.ename}: {problem.evalue}"
            print(problem, error, sep="\n", file=log)
        except Exception as problem:  # a kernel that died, say
            error = f"{type(problem).__name__}: {problem}"
            print(error, file=log)
        nbformat.write(notebook, attempt / NOTEBOOK)
    told = [record["error"] for record in read_records(attempt / "claims") if record.get("error")]
    return error or (f"ClaimError: {told[0]}" if told else None)


def _wanted() -> Callable[[], bool]:
    """A function that tells whether the task that runs here is still wanted: neither cancelled nor its worker closing."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)  # a task that runs is not stopped by cancelling it, only marked
        return worker.status in (Status.running, Status.paused) and (task is None or task.state != "cancelled")

    return wanted
