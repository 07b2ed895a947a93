"""``scorevid sweep``: nothing is lost, nothing is done twice, whatever fails or is killed.

Kernels start slowly, so a test goes through several stages, and all but the first use one cluster of one worker.
"""

import csv
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from scorevid.cli import main
from scorevid.sweep.folder import Run, begin, discard, open_sweep, publish, record_of

CLAIMS = """
import os, pathlib
from scorevid.companion import claims
with open(pathlib.Path(marks) / "begun", "a") as file:
    file.write(f"{beta} {os.environ['OMP_NUM_THREADS']} {pathlib.Path.cwd().name}\\n")
bound = 100 if (pathlib.Path(marks) / "mended").exists() else 1
claims.check("tiny.second", (beta, beta - 0.1, beta + 0.1), n=7, bound=f"< {bound}")  # a failure does not stop the run
claims.check("tiny.first", (beta, beta - 0.1, beta + 0.1), n=7, bound="<= 100")
"""
STOPS = """
import os, pathlib
with open(pathlib.Path(marks) / "begun", "a") as file:
    file.write(f"{beta} ")
pathlib.Path("kept.txt").write_text(str(beta))
if not (pathlib.Path(marks) / "mended").exists():
    if beta == 2:
        raise ArithmeticError("two is too much")
    if beta == 3:
        os._exit(1)
"""
WAITS = """
import os, pathlib, time
pathlib.Path("kept.txt").write_text(centre)
mark = pathlib.Path(marks) / f"{beta}.{os.getpid()}"
mark.write_text("began")
end = time.monotonic() + 240
while not (pathlib.Path(marks) / "go").exists():
    assert time.monotonic() < end, "nobody said go"
    time.sleep(0.02)
mark.write_text("ended")
"""


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def notebook(tmp_path, marks):
    """Writes a notebook of that code after its parameters."""

    def write(code):
        parameters = f'beta: float = 1.0  # of nothing\ncentre: str = "grey"\nmarks: str = {str(marks)!r}'
        cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        cells.append(nbformat.v4.new_code_cell(code))
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = tmp_path / "tiny.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        return path

    return write


@pytest.fixture(scope="module")
def scheduler():
    """Address of a cluster of one worker, that gives a run up once it has died with a worker."""
    import dask
    from distributed import LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0, "logging.distributed": "critical"}),
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            memory_limit=0,
            host="127.0.0.1",
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        ) as cluster,
    ):
        yield cluster.scheduler_address


def sweep(*arguments):
    """Exit status of the command."""
    try:
        main(["sweep", *map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


def table(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def await_(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def await_end(*processes, seconds=60):
    """Wait until they run no more. One whose new parent does not collect it stays a zombie, which will do."""

    def over(process):
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    await_(lambda: all(map(over, processes)), seconds)


def meanwhile(act, marks):
    """Do something in a thread while the command runs; an error ends what waits for the mark "go", and is raised."""

    class Thread(threading.Thread):
        problem = None

        def run(self):
            try:
                act()
            except BaseException as problem:
                self.problem = problem
                (marks / "go").touch()

        def __enter__(self):
            self.start()

        def __exit__(self, *_):
            self.join()
            if self.problem:
                raise self.problem

    return Thread(daemon=True)


def test_a_killed_worker_loses_nothing_and_doubles_nothing(tmp_path, notebook, marks):
    path, out, seen = notebook(WAITS), tmp_path / "out", {}

    def kill():
        seen["first"] = first = await_(lambda: next(marks.glob("*.0.*"), None))  # which run is first is not said
        kernel = psutil.Process(int(first.name.rsplit(".", 1)[1]))
        child = kernel.parent()
        worker = child.parent()
        assert worker.parent().pid == os.getpid() and "child.py" in " ".join(child.cmdline())
        worker.kill()
        await_end(kernel, child)
        await_(lambda: len(list(marks.glob("*.0.*"))) == 2)
        (marks / "go").touch()

    with meanwhile(kill, marks):
        assert sweep(path, "--set", "beta=1,2", "--set", "centre=grey", "--out", out, "--workers", 1) == 0
    rows = table(out / "runs.csv")
    assert [(row["beta"], row["centre"], row["status"], row["error"]) for row in rows] == [
        ("1.0", "grey", "done", ""),
        ("2.0", "grey", "done", ""),
    ]
    assert len({row["run"] for row in rows}) == 2 and len(list((out / "runs").iterdir())) == 2
    assert seen["first"].read_text() == "began"  # and never went on
    assert sorted(mark.read_text() for mark in marks.glob("*.0.*")) == ["began", "ended", "ended"]
    for row in rows:
        folder = out / "runs" / row["run"]
        assert (folder / "files" / "kept.txt").read_text() == "grey" and (folder / "log.txt").is_file()
        executed = nbformat.read(folder / "notebook.ipynb", 4)
        assert f"beta = {row['beta']}" in executed.cells[1].source
    assert not list((out / "attempts").iterdir())


def test_a_failed_claim_is_told_stops_nothing_and_is_done_again_when_asked(tmp_path, notebook, marks, scheduler, capfd):
    path, out = notebook(CLAIMS), tmp_path / "out"
    command = (path, "--set", "beta=2,.5", "--out", out, "--scheduler", scheduler)
    assert sweep(*command) == 1
    told = capfd.readouterr()
    assert "1 done, 1 failed, 0 missing" in told.out
    assert "failed, beta = 2.0: ClaimError: the claim tiny.second fails" in told.err and "--retry-failed" in told.err
    assert "Traceback" not in told.err and "distributed" not in told.err
    failed, done = table(out / "runs.csv")
    assert (failed["beta"], failed["status"], done["beta"], done["status"]) == ("2.0", "failed", "0.5", "done")
    assert failed["error"].startswith("ClaimError: the claim tiny.second fails") and float(done["seconds"]) > 0
    claims = table(out / "claims.csv")
    assert [(row["run"], row["claim"], row["verdict"]) for row in claims] == [
        (failed["run"], "tiny.first", "holds"),
        (failed["run"], "tiny.second", "fails"),
        (done["run"], "tiny.first", "holds"),
        (done["run"], "tiny.second", "holds"),
    ]
    assert claims[1] == {
        "run": failed["run"], "beta": "2.0", "claim": "tiny.second", "value": "2.0", "low": "1.9", "high": "2.1",
        "n": "7", "bound": "< 1", "verdict": "fails", "why": "",
    }  # fmt: skip
    begun = [line.split() for line in (marks / "begun").read_text().splitlines()]
    assert begun == [["2.0", "1", "files"], ["0.5", "1", "files"]]

    assert sweep(*command) == 1  # a failure stays one, and nothing is run
    assert "2 runs" in (told := capfd.readouterr()).out and "2 of them done before" in told.out
    (marks / "mended").touch()
    assert sweep(*command, "--retry-failed") == 0
    assert len((marks / "begun").read_text().splitlines()) == 3
    assert [row["status"] for row in table(out / "runs.csv")] == ["done", "done"]
    assert [row["verdict"] for row in table(out / "claims.csv")] == ["holds"] * 4


def test_a_cell_that_raises_and_a_kernel_that_dies_are_told_and_stop_nothing(
    tmp_path, notebook, marks, scheduler, capfd
):
    path, out = notebook(STOPS), tmp_path / "out"
    command = (path, "--set", "beta=2,3,1", "--out", out, "--scheduler", scheduler)
    assert sweep(*command) == 1
    told = capfd.readouterr()
    assert "1 done, 2 failed, 0 missing" in told.out and "--retry-failed" in told.err
    assert sorted((marks / "begun").read_text().split()) == ["1.0", "2.0", "3.0"]
    raised, died, done = rows = table(out / "runs.csv")
    assert [(row["beta"], row["status"]) for row in rows] == [("2.0", "failed"), ("3.0", "failed"), ("1.0", "done")]
    for row, why in ((raised, "ArithmeticError: two is too much"), (died, "DeadKernelError: Kernel died")):
        assert row["error"].startswith(why)
        assert f"{row['run']} failed, beta = {row['beta']}: {row['error']}\n" in told.err
        assert why in (out / "runs" / row["run"] / "log.txt").read_text()
    assert done["error"] == "" and done["run"] not in told.err
    assert (out / "runs" / done["run"] / "files" / "kept.txt").read_text() == "1.0"

    (marks / "mended").touch()
    assert sweep(*command, "--retry-failed") == 0
    told = capfd.readouterr()
    assert "3 runs" in told.out and "1 of them done before" in told.out and "failed" not in told.err
    assert sorted((marks / "begun").read_text().split()) == ["1.0", "2.0", "2.0", "3.0", "3.0"]
    again = table(out / "runs.csv")
    assert [(row["status"], row["error"]) for row in again] == [("done", "")] * 3 and again[2] == done


def test_interrupted_or_lost_a_run_is_done_by_the_same_command(tmp_path, notebook, marks, scheduler, capfd):
    path, out = notebook(WAITS), tmp_path / "out"
    command = (path, "--set", "beta=1", "--out", out, "--scheduler", scheduler)

    def kernels():
        return [psutil.Process(int(mark.name.rsplit(".", 1)[1])) for mark in marks.glob("1.0.*")]

    def interrupt():
        (kernel,) = await_(kernels)
        os.kill(os.getpid(), signal.SIGINT)
        await_end(kernel)

    with meanwhile(interrupt, marks):
        assert sweep(*command) == 130
    assert "the same command goes on" in capfd.readouterr().err
    assert [row["status"] for row in table(out / "runs.csv")] == ["missing"]
    for mark in marks.glob("1.0.*"):
        mark.unlink()

    def kill():
        (kernel,) = await_(kernels)
        kernel.parent().parent().kill()
        await_end(kernel)

    with meanwhile(kill, marks):
        assert sweep(*command) == 1
    assert "lost, beta = 1.0: KilledWorker" in capfd.readouterr().err
    (row,) = table(out / "runs.csv")
    assert row["status"] == "lost" and row["error"].startswith("KilledWorker")

    (marks / "go").touch()
    assert sweep(*command) == 0
    assert [row["status"] for row in table(out / "runs.csv")] == ["done"]


def test_what_cannot_be_swept_is_said_in_one_line_before_anything_runs(tmp_path, notebook, capsys):
    path, out = notebook(WAITS), tmp_path / "out"
    broken, other = tmp_path / "broken.ipynb", tmp_path / "other"
    broken.write_text("no notebook")
    other.mkdir()
    (other / "letter.txt").touch()
    for arguments, message in [
        ([path, "--out", out], "say what to sweep"),
        ([path, "--out", out, "--set", "bata=1"], "unknown parameter bata, did you mean beta"),
        ([path, "--out", out, "--set", "beta=1", "--set", "beta=2"], "beta is set twice"),
        ([path, "--out", out, "--set", "beta="], "has no values"),
        ([path, "--out", out, "--set", "beta=much"], "float is expected, got 'much'"),
        ([tmp_path / "none.ipynb", "--out", out, "--set", "beta=1"], "there is no notebook"),
        ([broken, "--out", out, "--set", "beta=1"], "cannot be read as a notebook"),
        ([path, "--out", broken, "--set", "beta=1"], "is not a folder"),
        ([path, "--out", other, "--set", "beta=1"], "holds other things than a sweep"),
        ([path, "--out", out, "--set", "beta=1", "--workers", "-1"], "must not be negative"),
        (
            [path, "--out", out, "--set", "beta=1", "--workers", "2", "--scheduler", "tcp://a:1"],
            "--workers is for this",
        ),
        ([path, "--out", out, "--set", "beta=1", "--scheduler", "nonsense://a:1"], "no Dask scheduler answers"),
    ]:
        assert sweep(*arguments) == 1
        printed = capsys.readouterr().err.strip().splitlines()
        assert len(printed) == 1 and printed[0].startswith("scorevid: ") and message in printed[0]
        assert not (out / "runs").exists() or not list((out / "runs").iterdir())


def test_a_folder_goes_on_with_its_own_sweep_only(tmp_path, notebook):
    path, out = notebook("pass"), tmp_path / "out"
    runs = open_sweep(out, path, {"beta": [1.0, 2.0]})
    assert [run.parameters for run in runs] == [{"beta": 1.0}, {"beta": 2.0}]
    content = nbformat.read(path, 4)
    content.cells.append(nbformat.v4.new_markdown_cell("More words."))
    nbformat.write(content, path)
    assert open_sweep(out, path, {"beta": [2.0, 1.0]}) == runs  # the same, told in another order
    with pytest.raises(ValueError, match="another grid"):
        open_sweep(out, path, {"beta": [1.0, 3.0]})
    content.cells[1].source = "1 + 1"
    nbformat.write(content, path)
    with pytest.raises(ValueError, match="another notebook"):
        open_sweep(out, path, {"beta": [1.0, 2.0]})
    manifest = json.loads((out / "sweep.json").read_text())
    (out / "sweep.json").write_text(json.dumps(manifest | {"scorevid": "0.0.1"}))
    path.write_text((out / "notebook.ipynb").read_text())
    with pytest.raises(ValueError, match="another version"):
        open_sweep(out, path, {"beta": [1.0, 2.0]})


def test_of_two_attempts_the_first_to_end_counts_and_one_cleared_away_never_does(tmp_path):
    run = Run("0001-a", "key", {"beta": 1.0})
    (tmp_path / "runs").mkdir()
    first, second, third = (begin(tmp_path, run) for _ in range(3))
    discard(third)
    (third / "claims").mkdir(parents=True)  # by a process that went on
    with pytest.raises(FileNotFoundError, match="cleared away"):
        publish(tmp_path, run, third, {"key": "key", "by": "third"})
    assert record_of(tmp_path, run) is None
    for attempt, name in ((second, "second"), (first, "first")):
        assert publish(tmp_path, run, attempt, {"key": "key", "by": name})["by"] == "second"
    assert record_of(tmp_path, run)["by"] == "second" and not first.exists()


def test_two_sweeps_do_not_work_in_one_folder(tmp_path, notebook, capsys):
    import filelock

    path, out = notebook("pass"), tmp_path / "out"
    open_sweep(out, path, {"beta": [1.0]})
    with filelock.FileLock(out / ".lock"):
        assert sweep(path, "--set", "beta=1", "--out", out) == 1
    assert "another sweep is at work" in capsys.readouterr().err


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, notebook, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert sweep(notebook("pass"), "--set", "beta=1", "--out", tmp_path / "out") == 1
    assert capsys.readouterr().err == "scorevid: a sweep needs papermill: pip install 'scorevid[sweep]'\n"


def test_the_package_imports_nothing_of_it():
    import subprocess

    code = "import sys, scorevid.cli; print(sorted({'dask', 'distributed', 'papermill', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout == "[]\n", done.stderr
