"""``scorevid sweep``: one notebook for all combinations of parameters, by papermill, on Dask.

Dask hands out the runs, starts a killed worker anew and gives its run to another. What counts is what lies in the folder
(:mod:`scorevid.sweep.folder`); what a worker does is in :mod:`scorevid.sweep.worker`.
"""

from __future__ import annotations

import logging
import queue
import sys
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tqdm.auto import tqdm

from scorevid import __version__
from scorevid.checks import installed, integer
from scorevid.companion.notebooks import parameters_of
from scorevid.files import sole_writer
from scorevid.machine import processors, stop_signals
from scorevid.sweep.folder import Run, discard, open_sweep, record_of, write_tables
from scorevid.sweep.grid import read_grid
from scorevid.sweep.worker import execute, readiness

DEATHS = 5  # of workers, that a run may be part of before it is given up: it may be what kills them
RETRIES = 2  # of a run whose worker could not start or store it; a notebook that fails is not tried again
# Ctrl-C reaches the workers as well, which shall end when the sweep tells them to
_DEAF = "import signal; signal.signal(signal.SIGINT, lambda *_: None)"


@dataclass(frozen=True)
class Sweep:
    """Run a notebook for all combinations of parameters, side by side; the same command goes on where it was stopped.

    Each run has a kernel and a folder of its own, runs/ID in --out: the executed notebook, log.txt, what its claims measured,
    and in files/, where it works, what it wrote. A run that fails does not stop the rest. At the end runs.csv has a row a run
    and claims.csv a row a run and claim; the exit status is 1 if any failed.
    """

    notebook: Annotated[Path, tyro.conf.Positional]  # with a cell tagged parameters
    out: Path  # folder of the sweep; on a cluster one that all machines share, at the same path
    settings: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]],
        tyro.conf.arg(
            name="set",
            metavar="NAME=VALUE,VALUE",
            help="values of a parameter, as papermill -p takes them, lists in brackets; one --set for each parameter",
        ),
    ] = ()
    workers: int = 0  # runs side by side on this machine, 0 for one a processor
    threads: int = 0  # of a run, 0 for an even share of this machine's processors, or for 1 on a cluster
    scheduler: Annotated[
        str,
        tyro.conf.arg(
            metavar="tcp://HOST:PORT",
            help="a Dask cluster that is there, instead of this machine; its workers need scorevid[sweep], the same "
            "version, and --out at the same path. A run for each thread of a worker: start them with --nthreads 1",
        ),
    ] = ""
    retry_failed: bool = False  # do the runs again that failed

    def __call__(self) -> None:
        for module in ("distributed", "ipykernel", "nbclient", "papermill", "yaml"):
            installed(module, "sweep")
        integer("workers", self.workers, 0)
        integer("threads", self.threads, 0)
        if self.workers and self.scheduler:
            raise ValueError("--workers is for this machine; how many a cluster has is up to its scheduler")
        grid = read_grid(self.settings, parameters_of(self.notebook))
        folder = self.out.resolve()
        runs = open_sweep(folder, self.notebook, grid)
        with sole_writer(folder, "sweeping"):
            lost, stopped = self._sweep(folder, runs)
            discard(*(folder / "attempts").iterdir())  # what a killed worker left
            write_tables(folder, runs, lost)
            self._summarise(folder, runs, lost, stopped)

    def _sweep(self, folder: Path, runs: Sequence[Run]) -> tuple[dict[str, str], bool]:
        """Do the runs that have no record; why those were lost that got none, by id, and whether all was stopped."""
        discard(*(folder / "attempts").iterdir())
        due = []
        for run in runs:
            record = record_of(folder, run)
            if record and record["status"] == "failed" and self.retry_failed:
                discard(folder / "runs" / run.id)
                record = None
            if record is None:
                due.append(run)
        print(f"{len(runs)} runs of {self.notebook}, {len(runs) - len(due)} done before: {self.out}", flush=True)
        if not due:
            return {}, False
        cores = processors()
        workers = min(self.workers or cores, len(due))
        threads = self.threads or (1 if self.scheduler else max(1, cores // workers))
        try:
            with _client(self.scheduler, workers) as (client, scratch), stop_signals() as signals:
                return _run_all(client, folder, due, (threads, scratch), signals)
        except KeyboardInterrupt:  # a second time, or before there was anything to stop
            return {}, True

    def _summarise(self, folder: Path, runs: Sequence[Run], lost: dict[str, str], stopped: bool) -> None:
        """Say how the runs came out; exits with 130 if they were stopped and with 1 if any did not come to a good end."""
        states = [record["status"] if (record := record_of(folder, run)) else "missing" for run in runs]
        counts = ", ".join(f"{states.count(state)} {state}" for state in ("done", "failed", "missing"))
        print(f"{counts}: {self.out / 'runs.csv'}, {self.out / 'claims.csv'}")
        if stopped:
            print("stopped; the same command goes on from there", file=sys.stderr)
            raise SystemExit(130)
        if lost:
            print("the same command tries those again that are missing", file=sys.stderr)
        if "failed" in states:
            print("--retry-failed does those again that failed; why is in runs/ID/log.txt", file=sys.stderr)
        if states.count("done") < len(runs):
            raise SystemExit(1)


@contextmanager
def _client(address: str, workers: int):
    """A client of the cluster at that address, or of one made for the purpose; its folder for temporary files, or None."""
    import dask
    from distributed import Client, LocalCluster

    if address:
        try:
            client = Client(address, timeout=20)
        except (OSError, ValueError) as problem:
            raise ValueError(f"no Dask scheduler answers at {address}: {problem}") from None
        with client:
            yield client, None
        return
    quiet = {"logging.distributed": "critical", "distributed.scheduler.allowed-failures": DEATHS}
    with (
        tempfile.TemporaryDirectory(prefix="sweep-", ignore_cleanup_errors=True) as scratch,
        dask.config.set(quiet),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # of its server, which stays
            memory_limit=0,  # the memory is the kernels'
            local_directory=scratch,
            silence_logs=logging.CRITICAL,
            preload=[_DEAF],
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client, scratch


def _run_all(
    client, folder: Path, due: Sequence[Run], given: tuple[int, str | None], signals: Sequence[int]
) -> tuple[dict[str, str], bool]:
    """Do the runs; why those were lost that have no record, by id, and whether a signal stopped them."""
    try:
        answers = client.run(readiness, str(folder), __version__)
    except Exception as problem:
        raise ValueError(f"a worker is not ready: {type(problem).__name__}: {problem}") from None
    for worker, reason in answers.items():
        if reason:
            raise ValueError(f"the worker {worker} is not ready: {reason}")
    ended: queue.SimpleQueue = queue.SimpleQueue()
    # pure=False: a result that a cluster still knows from before is not taken for one that lies in the folder
    submitted = [client.submit(execute, str(folder), run, *given, pure=False, retries=RETRIES) for run in due]
    for future in submitted:
        future.add_done_callback(ended.put)
    runs = {future.key: run for future, run in zip(submitted, due, strict=True)}
    left, lost = len(due), {}
    with tqdm(total=left, unit="run", disable=None) as bar:
        while left and not signals:
            try:
                future = ended.get(timeout=0.2)
            except queue.Empty:
                continue
            left -= 1
            bar.update()
            run = runs[future.key]
            try:
                record = future.result()
                status, error = record["status"], record["error"]
            except Exception as problem:
                status, error = "lost", f"{type(problem).__name__}: {problem}".splitlines()[0]
                lost[run.id] = error
            if status != "done":
                parameters = ", ".join(f"{name} = {value!r}" for name, value in run.parameters.items())
                tqdm.write(f"{run.id} {status}, {parameters}: {error}", file=sys.stderr)
    client.cancel(submitted)  # which ends those that run
    return lost, bool(left)
