"""``scorevid sweep``: nothing is lost, nothing is done twice, whatever fails or is killed.

Kernels start slowly, so tests share a sweep in which runs fare in many ways, on a cluster of one worker.
"""

import csv
import functools
import io
import json
import os
import signal
import sys
import threading
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import nbformat
import psutil
import pytest

from scorevid.cli import main
from scorevid.sweep.folder import Run, begin, discard, open_sweep, publish, record_of

FARES = """
import os, pathlib, sys
marks = pathlib.Path(marks)
with open(marks / "begun", "a") as file:
    file.write(f"{beta} ")
pathlib.Path("kept.txt").write_text(str(beta))
print(os.environ["OMP_NUM_THREADS"], pathlib.Path.cwd().name, sys.flags.utf8_mode)
mended = (marks / "mended").exists()
if beta == 3 and not mended:
    raise ArithmeticError("three is too much")
if beta == 4 and not mended:
    os._exit(1)
if beta == 5 and not mended:  # whatever runs the notebook dies of it, every time
    os.kill(os.getppid(), 9)
if beta < 3:
    from scorevid.companion import claims
    claims.check("tiny.second", (beta, beta - 0.1, beta + 0.1), n=7, bound=f"< {100 if mended else 1}")
    claims.check("tiny.first", (beta, beta - 0.1, beta + 0.1), n=7, bound="<= 100")  # the other did not stop it
"""
WAITS = """
import os, pathlib, time
pathlib.Path("kept.txt").write_text(centre)
mark = pathlib.Path(marks) / f"{beta}.{os.getpid()}"
mark.write_text(str(os.getppid()))
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


def write_notebook(folder, marks, code):
    """A notebook of that code after its parameters."""
    parameters = f'beta: float = 1.0  # of nothing\ncentre: str = "grey"\nmarks: str = {str(marks)!r}'
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells.append(nbformat.v4.new_code_cell(code))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def notebook(tmp_path, marks):
    return functools.partial(write_notebook, tmp_path, marks)


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


def test_interrupted_or_with_a_killed_worker_nothing_is_lost_and_nothing_done_twice(tmp_path, notebook, marks, capfd):
    """Catches a kernel that outlives Ctrl-C or its worker, a run that is lost or counted twice, and half a run."""
    path, out = notebook(WAITS), tmp_path / "out"
    command = (path, "--set", "beta=1,2", "--set", "centre=grey", "--out", out, "--workers", 1)

    def begun():
        return [mark for mark in marks.glob("*.0.*") if mark.read_text() not in ("", "ended")]

    def interrupt():
        (mark,) = await_(begun)  # which run is first is not said
        kernel = psutil.Process(int(mark.name.rsplit(".", 1)[1]))
        os.kill(os.getpid(), signal.SIGINT)
        await_end(kernel)

    with meanwhile(interrupt, marks):
        assert sweep(*command) == 130
    assert "the same command goes on" in capfd.readouterr().err
    assert [row["status"] for row in table(out / "runs.csv")] == ["missing", "missing"]
    begun()[0].unlink()

    def kill():
        (mark,) = await_(begun)
        kernel, worker = (psutil.Process(int(text)) for text in (mark.name.rsplit(".", 1)[1], mark.read_text()))
        worker.kill()
        await_end(kernel, seconds=20)
        await_(lambda: len(begun()) == 2)
        (marks / "go").touch()

    with meanwhile(kill, marks):
        assert sweep(*command) == 0
    rows = table(out / "runs.csv")
    assert [(row["beta"], row["centre"], row["status"], row["error"]) for row in rows] == [
        ("1.0", "grey", "done", ""),
        ("2.0", "grey", "done", ""),
    ]
    assert len(list((out / "runs").iterdir())) == 2 and not list((out / "attempts").iterdir())
    assert len(begun()) == 1  # the killed one's, which never went on
    for row in rows:
        folder = out / "runs" / row["run"]
        assert (folder / "files" / "kept.txt").read_text() == "grey" and (folder / "log.txt").is_file()
        executed = nbformat.read(folder / "notebook.ipynb", 4)
        assert f"beta = {row['beta']}" in executed.cells[1].source


class Stage(NamedTuple):
    """What came of a sweep: how it ended, what it printed, its tables, the runs' logs, and which runs had begun so far."""

    status: int
    printed: str
    complaints: str
    rows: list
    claims: list
    logs: dict
    begun: list


@pytest.fixture(scope="module")
def fares(tmp_path_factory, scheduler):
    """A sweep in which everything happens that may happen to a run, and the same command once what was wrong is mended."""
    folder = tmp_path_factory.mktemp("fares")
    (marks := folder / "marks").mkdir()
    path, out, stages = write_notebook(folder, marks, FARES), folder / "out", []
    for options in ([], ["--retry-failed"]):
        with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as complaints:
            status = sweep(path, "--set", "beta=2,3,4,.5,5", "--out", out, "--scheduler", scheduler, *options)
        tables = table(out / "runs.csv"), table(out / "claims.csv")
        logs = {log.parent.name: log.read_text() for log in out.glob("runs/*/log.txt")}
        begun = sorted((marks / "begun").read_text().split())
        stages.append(Stage(status, printed.getvalue(), complaints.getvalue(), *tables, logs, begun))
        (marks / "mended").touch()
    return out, *stages


def test_whatever_a_run_dies_of_is_told_and_stops_no_other(fares):
    _, first, _ = fares
    assert first.status == 1 and "5 runs" in first.printed and "1 done, 3 failed, 1 missing" in first.printed
    assert "Traceback" not in first.complaints and "--retry-failed" in first.complaints
    assert "distributed" not in first.complaints.replace("distributed.dask.org", "")  # in the reason of what is lost
    assert first.begun == ["0.5", "2.0", "3.0", "4.0", "5.0"]
    assert [(row["beta"], row["status"]) for row in first.rows] == [
        ("2.0", "failed"), ("3.0", "failed"), ("4.0", "failed"), ("0.5", "done"), ("5.0", "lost"),
    ]  # fmt: skip
    claim, raised, died, done, lost = first.rows
    for row, why in (
        (claim, "ClaimError: the claim tiny.second fails"),
        (raised, "ArithmeticError: three is too much"),
        (died, "DeadKernelError: Kernel died"),
        (lost, "KilledWorker"),
    ):
        assert row["error"].startswith(why)
        assert f"{row['run']} {row['status']}, beta = {row['beta']}: {row['error']}\n" in first.complaints
    assert all(row["error"] in first.logs[row["run"]] for row in (raised, died))
    assert done["error"] == "" and done["run"] not in first.complaints and float(done["seconds"]) > 0


def test_a_run_has_a_folder_of_its_own_and_the_environment_of_a_chapter(fares):
    out, first, _ = fares
    folder = out / "runs" / first.rows[3]["run"]
    assert (folder / "files" / "kept.txt").read_text() == "0.5"
    executed = nbformat.read(folder / "notebook.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "1 files 1\n"  # threads, where it works, UTF-8


def test_claims_are_in_a_table_whether_they_hold_or_not(fares):
    _, first, _ = fares
    failed, done = first.rows[0]["run"], first.rows[3]["run"]
    assert [(row["run"], row["claim"], row["verdict"]) for row in first.claims] == [
        (failed, "tiny.first", "holds"), (failed, "tiny.second", "fails"),
        (done, "tiny.first", "holds"), (done, "tiny.second", "holds"),
    ]  # fmt: skip
    assert first.claims[1] == {
        "run": failed, "beta": "2.0", "claim": "tiny.second", "value": "2.0", "low": "1.9", "high": "2.1",
        "n": "7", "bound": "< 1", "verdict": "fails", "why": "",
    }  # fmt: skip


def test_the_same_command_does_what_is_missing_and_if_asked_what_failed(fares):
    _, first, then = fares
    assert then.status == 0 and "1 done before" in then.printed and "5 done, 0 failed, 0 missing" in then.printed
    assert "failed" not in then.complaints
    assert then.begun == ["0.5", *(beta for beta in ("2.0", "3.0", "4.0", "5.0") for _ in range(2))]
    assert [(row["status"], row["error"]) for row in then.rows] == [("done", "")] * 5 and then.rows[3] == first.rows[3]
    assert [row["verdict"] for row in then.claims] == ["holds"] * 4


def test_what_failed_stays_failed_and_is_not_run_again_unasked(tmp_path, notebook, capsys):
    path, out = notebook("pass"), tmp_path / "out"
    (run,) = open_sweep(out, path, {"beta": [1.0]})
    record = {"key": run.key, "status": "failed", "seconds": 1, "error": "ValueError: no"}
    publish(out, run, begin(out, run), record)
    assert sweep(path, "--set", "beta=1", "--out", out) == 1
    assert "1 done before" in (printed := capsys.readouterr()).out and "--retry-failed" in printed.err
    assert [row["error"] for row in table(out / "runs.csv")] == ["ValueError: no"]


@pytest.mark.parametrize("content", ['{"key": "a', "[]", '{"key": "a"}', "\x00"])
def test_half_a_file_is_named_with_what_to_do(tmp_path, notebook, capsys, content):
    """Catches a message of JSON's that does not say in which file."""
    path, out = notebook("pass"), tmp_path / "out"
    (run,) = open_sweep(out, path, {"beta": [1.0]})
    publish(out, run, begin(out, run), {"key": run.key, "status": "done", "seconds": 1, "error": None})
    for damaged, advice in (
        (out / "runs" / run.id / "record.json", "without its folder the run is done again"),
        (out / "sweep.json", "another --out begins a new sweep"),
    ):
        damaged.write_text(content)
        assert sweep(path, "--set", "beta=1", "--out", out) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert str(damaged) in line and advice in line


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
        ([path, "--out", broken, "--set", "beta=1"], "holds other things than a sweep"),
        ([path, "--out", other, "--set", "beta=1"], "holds other things than a sweep"),
        ([path, "--out", out, "--set", "beta=1", "--workers", "-1"], "workers must be an integer of 0 or more"),
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
    record = {"key": "key", "status": "done", "seconds": 1, "error": None}
    discard(third)
    (third / "claims").mkdir(parents=True)  # by a process that went on
    with pytest.raises(FileNotFoundError, match="cleared away"):
        publish(tmp_path, run, third, record | {"by": "third"})
    assert record_of(tmp_path, run) is None
    for attempt, name in ((second, "second"), (first, "first")):
        assert publish(tmp_path, run, attempt, record | {"by": name})["by"] == "second"
    assert record_of(tmp_path, run)["by"] == "second" and not first.exists()


def test_two_sweeps_do_not_work_in_one_folder(tmp_path, notebook, capsys):
    import filelock

    path, out = notebook("pass"), tmp_path / "out"
    open_sweep(out, path, {"beta": [1.0]})
    with filelock.FileLock(out / ".lock"):
        assert sweep(path, "--set", "beta=1", "--out", out) == 1
    assert "another process is sweeping in" in capsys.readouterr().err


def test_a_missing_package_is_named_with_how_to_get_it(tmp_path, notebook, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "papermill", None)
    assert sweep(notebook("pass"), "--set", "beta=1", "--out", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("scorevid: papermill is needed") and line.endswith("pip install 'scorevid[sweep]'")


def test_the_package_imports_nothing_of_it():
    import subprocess

    code = "import sys, scorevid.cli; print(sorted({'dask', 'distributed', 'papermill', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.stdout == "[]\n", done.stderr
