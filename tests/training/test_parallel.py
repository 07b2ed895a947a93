"""Several processes train what one trains: real ones, over gloo, started by the command, on two machines, by torchrun."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import torch

from scorevid.cli import main
from scorevid.denoisers.unet import UNet
from scorevid.noise.prior import NoisePrior
from scorevid.training.parallel import Processes, make_processes
from scorevid.training.records import read_log
from scorevid.training.runs import open_run
from scorevid.training.steps import Settings, generator_for, noisy_batch
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves

SMALL = Leaves(size=16, n_disks=2, memory=1, radius=(2.0, 3.0))
SETTINGS = Settings(steps=50, batch=8, warmup=5, freeze_norm_after=25, precision="fp32", compile=False)
OPTIONS = [
    *("train", "--batch", "8", "--warmup", "5", "--freeze-norm-after", "25", "--precision", "fp32", "--no-compile"),
    *("--world.size", "16", "--world.n-disks", "2", "--world.memory", "1", "--world.radius", "2", "3"),
    *("--network.widths", "4", "8", "--threads", "1", "--log-every", "1", "--device", "cpu"),
]
BOUND = 1e-4


def losses(folder):
    return {line["step"]: line["loss"] for line in read_log(folder / "log.jsonl")}


def largest_difference(one, other):
    return max(abs(one[k] - other[k]) / one[k] for k in one)


def go_on(trainer, steps):
    """Train that many updates, a line of the log each, as if each took a second."""
    trainer.run(steps / 60, log_every=1, clock=itertools.count().__next__, progress=False)


@pytest.fixture
def alone(tmp_path):
    """The folder of a run of fifty updates by one process."""
    torch.manual_seed(0)
    Trainer(UNet(1, (4, 8)), SMALL, SETTINGS, tmp_path / "alone").run(log_every=1, progress=False)
    return tmp_path / "alone"


def by_torchrun(command):
    """What is to be started, each with the environment variables of its own."""
    return [(["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command], {})]


def on_two_machines(command):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        main = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [([*command, "--devices", "1", "--nodes", "2"], main | {"NODE_RANK": str(rank)}) for rank in range(2)]


def run_together(started, path):
    """What they say, run side by side to a good end; once one fails, or after two minutes, they are killed."""
    processes, deadline = [], time.monotonic() + 120
    try:
        with path.open("w") as said:
            for arguments, own in started:
                how = {"env": os.environ | own, "stdout": said, "stderr": said}
                processes.append(psutil.Popen([sys.executable, *arguments], **how))
        while set(ended := [process.poll() for process in processes]) <= {None, 0} and None in ended:
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.02)
        assert not any(ended), path.read_text()
    finally:
        for process in processes:
            tree = [*process.children(recursive=True), process] if process.is_running() else []
            for one in tree:  # not by its group: torchrun gives its processes sessions of their own
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
    return path.read_text()


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize("start", [by_torchrun, on_two_machines])
def test_two_processes_train_what_one_trains_and_one_goes_on(tmp_path, alone, start):
    two = tmp_path / "two"
    command = ["-m", "scorevid", *OPTIONS, "--steps", "50", "--out", str(two)]
    assert run_together(start(command), tmp_path / "said").count("from step 0, 2 processes") == 1
    assert list(losses(two)) == [line["step"] for line in read_log(two / "log.jsonl")] == list(range(1, 51))
    assert largest_difference(losses(alone), losses(two)) < BOUND
    for folder in (alone, two):
        trainer = open_run(folder, steps=70)
        assert trainer.state.frozen_at == 25 and trainer.state.images == 400
        assert trainer.state.made_on.get("processes", 1) == (2 if folder == two else 1)
        trainer.run(log_every=1, progress=False)
    assert len(losses(two)) == 70
    assert largest_difference(losses(alone), losses(two)) < BOUND
    y, c, *_ = noisy_batch(SMALL, NoisePrior(), 8, generator_for(5, 5))
    with torch.no_grad():
        torch.testing.assert_close(
            *(open_run(folder).denoiser()(y, c) for folder in (alone, two)), rtol=1e-3, atol=1e-3
        )


def test_two_processes_go_on_from_one_and_end_together_when_asked_to(tmp_path):
    """They take over before the normalisation is frozen; the signal reaches the first of them alone."""
    torch.manual_seed(0)
    one, two = tmp_path / "one", tmp_path / "two"
    trainer = Trainer(UNet(1, (4, 8)), SMALL, replace(SETTINGS, freeze_norm_after=14), one)
    go_on(trainer, 10)
    shutil.copytree(one, two)
    command = [
        sys.executable,
        "-m",
        "scorevid",
        "train",
        "--resume",
        "--devices",
        "2",
        "--steps",
        "5000",
        "--log-every",
        "1",
    ]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen([*command, "--threads", "1", "--out", str(two)], stdout=said, stderr=said)
        deadline = time.monotonic() + 120
        while len((two / "log.jsonl").read_text().splitlines()) < 60:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "said").read_text()
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0, (tmp_path / "said").read_text()
    text = (tmp_path / "said").read_text()
    assert text.count("from step 10, 2 processes") == text.count("--resume goes on from there") == 1
    stopped, again = open_run(two, compile=False), open_run(one, steps=5000)
    assert stopped.state.step == max(losses(two)) < 5000 and stopped.state.made_on["processes"] == 2
    go_on(again, 50)
    early, late = ({k: loss for k, loss in losses(one).items() if (k > 36) == is_late} for is_late in (False, True))
    assert largest_difference(early, losses(two)) < BOUND
    assert largest_difference(late, losses(two)) < 0.05  # where rounding has grown


def test_slices_make_up_the_batch():
    batch = noisy_batch(SMALL, NoisePrior(), 12, generator_for(0, 0))
    slices = [Processes(SimpleNamespace(world_size=3, global_rank=r)).shard(batch) for r in range(3)]
    assert all(len(part) == 4 for parts in slices for part in parts)
    assert all(
        torch.equal(torch.cat(parts), whole) for whole, parts in zip(batch, zip(*slices, strict=True), strict=True)
    )
    assert Processes().shard(batch) is batch


def test_a_batch_that_does_not_divide_is_refused_before_a_process_starts(tmp_path):
    trainer = Trainer(UNet(1, (4,)), SMALL, SETTINGS, tmp_path)
    processes, device = make_processes("cpu", 3)
    assert device == torch.device("cpu")
    with pytest.raises(ValueError, match="must divide by the 3 processes, got 8"):
        trainer.distribute(processes)
    assert trainer.processes.size == 1


@pytest.fixture
def nothing_set(monkeypatch):
    for name in (
        "MASTER_ADDR",
        "MASTER_PORT",
        "NODE_RANK",
        "TORCHELASTIC_RUN_ID",
        "SLURM_NTASKS",
        "RANK",
        "LOCAL_RANK",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.parametrize(
    "asked, message",
    [
        (("cpu", 0), "devices must be a positive integer"),
        (("cpu", 10**6), "devices must be a positive integer"),
        (("cpu", 1, 0), "nodes must be a positive integer"),
        (("cuda:1", 2), "take the device cpu, cuda or auto, got 'cuda:1'"),
        (("cuda", 8), "8 GPUs are asked for, and there are 1"),
        (("cpu", 1, 2), "set MASTER_ADDR, MASTER_PORT, NODE_RANK"),
    ],
)
def test_processes_that_cannot_be_are_refused(monkeypatch, asked, message):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=message):
        make_processes(*asked)


@pytest.mark.usefixtures("nothing_set")
def test_torchruns_word_on_the_number_of_processes_holds(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "4", "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="torchrun started 4 processes on 2 machines, not 8 on 2"):
        make_processes("cpu", 8, 2)


def test_one_process_needs_no_fabric_and_several_say_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    processes, device = make_processes()
    assert processes.size == 1 and processes.first and device is None
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'scorevid\[parallel\]'"):
        make_processes("cpu", 2)


def test_the_command_called_from_python_starts_no_others(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([*OPTIONS, "--steps", "5", "--devices", "2", "--out", str(tmp_path / "run")])
    assert "by the command line only" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
