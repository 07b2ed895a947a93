"""What a Dask worker does for a sweep: one run, by a papermill process of its own.

That process and its kernel end with the worker. Should one of them go on a little after its worker was killed, it writes
into its own attempt only, which no one looks at.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from scorevid import __version__
from scorevid.companion.claims import COLLECT_VARIABLE, FOLDER_VARIABLE, read_records
from scorevid.sweep.folder import MANIFEST, Run, begin, discard, publish, record_of

CHILD = Path(__file__).with_name("child.py")
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class NotWantedError(RuntimeError):
    """The run was cancelled, or its worker is closing."""


def readiness(folder: str, version: str) -> str | None:
    """Why this worker cannot run a sweep in the folder with that version of scorevid, or None."""
    import nbformat  # noqa: F401
    import papermill  # noqa: F401

    if not (Path(folder) / MANIFEST).is_file():
        return f"it does not see {folder}, a folder that all workers share"
    if __version__ != version:
        return f"it has scorevid {__version__}, {version} is due"
    return None


def execute(folder: str, run: Run, threads: int) -> dict:
    """Do a run with so many threads, unless it was done already; returns its record.

    A notebook that fails is a record as well. Raises NotWantedError, leaving nothing, if the run is not wanted any more.
    """
    home = Path(folder)
    if record := record_of(home, run):
        return record
    attempt, wanted = begin(home, run), _wanted()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="run-", ignore_cleanup_errors=True) as runtime:
        process = _start(attempt, threads, runtime)
        try:
            while process.poll() is None:
                if not wanted():
                    raise NotWantedError(run.id)
                time.sleep(0.1)
        except BaseException:
            _kill(process)
            discard(attempt)
            raise
    error = _error(attempt, process.returncode)
    if error is not None and not wanted():  # all of it is being ended, which may be what stopped the notebook
        discard(attempt)
        raise NotWantedError(run.id)
    return publish(
        home,
        run,
        attempt,
        {
            "run": run.id,
            "key": run.key,
            "parameters": run.parameters,
            "status": "done" if error is None else "failed",
            "error": error,
            "seconds": round(time.monotonic() - start, 2),
            "threads": threads,
            "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
            "machine": socket.gethostname(),
        },
    )


def _start(attempt: Path, threads: int, runtime: str) -> subprocess.Popen:
    """Start papermill on an attempt; its kernel has its sockets in the folder ``runtime``."""
    with (attempt / "log.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", str(CHILD), str(attempt)],
            cwd=attempt,
            env=_environment(attempt, threads) | {"JUPYTER_RUNTIME_DIR": runtime},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the sweep, which then ends its runs
        )


def _environment(attempt: Path, threads: int) -> dict[str, str]:
    return os.environ | {
        FOLDER_VARIABLE: str(attempt / "claims"),
        COLLECT_VARIABLE: "1",  # a claim that fails does not keep the run from its other claims
        **dict.fromkeys(_THREADS, str(threads)),
        "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait sleep: spinning, they slow the other runs
        "JUPYTER_PREFER_ENV_PATH": "1",  # the kernel called python3 is that of this environment
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _error(attempt: Path, status: int) -> str | None:
    """What stopped the run, or the first claim that came out otherwise than stated, or None."""
    result = attempt / "result.json"
    try:
        error = json.loads(result.read_text(encoding="utf-8"))["error"]
    except (FileNotFoundError, ValueError, KeyError):  # none, or half of one
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"papermill {how}, see log.txt"
    result.unlink()  # it is in the record
    told = [record["error"] for record in read_records(attempt / "claims") if record.get("error")]
    return error or (f"ClaimError: {told[0]}" if told else None)


def _wanted():
    """A function that tells whether the task that runs here is still wanted: neither cancelled nor its worker closing."""
    from distributed import Status, get_worker

    try:
        worker = get_worker()
    except ValueError:  # not on Dask
        return lambda: True
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)  # a task that runs is not stopped by cancelling it, only marked
        return worker.status in (Status.running, Status.paused) and (task is None or task.state != "cancelled")

    return wanted


def _kill(process: subprocess.Popen) -> None:
    """End a process and its kernel."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        for one in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    process.wait()
