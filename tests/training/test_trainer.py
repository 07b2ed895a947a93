"""Training: data that can be replayed, a loop that can be killed, averaged weights that evaluate well."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch

from scorevid.cli import main
from scorevid.denoisers.normalisation import ScaleNorm, estimate_statistics
from scorevid.denoisers.unet import UNet
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.training.records import read_log
from scorevid.training.runs import describe, go_on_from, open_run, publish, start_from
from scorevid.training.steps import Settings, generator_for, learning_rate, noisy_batch
from scorevid.training.trainer import Trainer
from scorevid.worlds.gaussian import Gaussian
from scorevid.worlds.leaves.world import Leaves

SMALL = Leaves(size=16, n_disks=2, memory=1, radius=(2.0, 3.0))


def trainer(folder, steps=40, network=None, **settings):
    torch.manual_seed(0)
    settings = {"batch": 8, "warmup": 5, "compile": False, "optimiser": "muon", **settings}
    return Trainer(UNet(1, (4, 8), **(network or {})), SMALL, Settings(steps=steps, **settings), folder)


def train(run, updates, **how):
    """So many updates, as if each took a second of the time that the run was given."""
    run.run(minutes=updates / 60, clock=itertools.count().__next__, progress=False, **how)
    return run


def losses(folder):
    return [(line["step"], line["loss"]) for line in read_log(folder / "log.jsonl")]


def test_batches_depend_on_seed_and_step_only():
    def batch(seed, step):
        return noisy_batch(SMALL, NoisePrior(), 4, generator_for(seed, step))[0]

    assert torch.equal(batch(1, 2), batch(1, 2))
    assert not torch.equal(batch(1, 2), batch(2, 1))
    assert not torch.equal(batch(1, 2), batch(1, 3))


def test_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate(k, 100, 10) for k in range(100)]
    assert rates[:3] == [0.1, 0.2, 0.3] and rates[9] == 1
    assert all(a >= b for a, b in itertools.pairwise(rates[10:])) and rates[-1] < 0.001


def test_the_rise_takes_a_tenth_of_a_short_run_at_most():
    assert [learning_rate(k, 30, 500) for k in range(3)] == [1 / 3, 2 / 3, 1]
    assert learning_rate(0, 1, 500) == 1
    assert learning_rate(99, None, 500) == 0.2


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_the_loss_falls(tmp_path, optimiser):
    run = trainer(tmp_path, steps=200, optimiser=optimiser, batch=16)
    assert run.run(log_every=20, progress=False)
    log = losses(tmp_path)
    assert log[-1][1] < 0.35 * log[0][1]


@pytest.mark.parametrize("freeze", [12, 15, 100, None])
def test_a_stopped_run_resumes_to_the_same_losses(tmp_path, freeze):
    trainer(tmp_path / "whole", freeze_norm_after=freeze).run(log_every=10, progress=False)
    train(trainer(tmp_path / "parts", freeze_norm_after=freeze), 17, log_every=10)
    with (tmp_path / "parts" / "log.jsonl").open("a") as file:  # a line of a crashed future, and half a line
        file.write(json.dumps({"step": 20, "loss": 1.0}) + '\n{"step": 3')
    second = open_run(tmp_path / "parts")
    assert second.state.step == 17
    second.run(log_every=10, progress=False)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def published(folder):
    """The weights, to the last byte; what they score takes other scenes than these small ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scorevid.training.runs.score_card", lambda *_: {})
        return publish(folder, "mine", folder / "weights").read_bytes()


@pytest.fixture(scope="module")
def unbroken_weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    trainer(folder, freeze_norm_after=20).run(progress=False)
    weights = published(folder)
    torch.set_num_threads(threads)
    return weights


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("stop", [9, 20, 31])
def test_a_stopped_run_publishes_the_same_weights_to_the_last_byte(tmp_path, stop, unbroken_weights):
    """Would catch a resumed run whose averaged weights begin anew; before, as, and after normalisation is frozen."""
    train(trainer(tmp_path, freeze_norm_after=20), stop)
    open_run(tmp_path).run(progress=False)
    assert published(tmp_path) == unbroken_weights


class Killed(BaseException):
    """What ends a run without any word."""


def test_a_run_that_is_killed_again_and_again_reaches_its_end(tmp_path):
    """Would catch a first checkpoint, of a new or of a resumed run, that comes later than a run lives."""
    run, lives = trainer(tmp_path, steps=30), 0
    while True:
        update, left = run.update, iter(range(12))

        def update_or_die(update=update, left=left):
            if next(left, None) is None:
                raise Killed
            update()

        run.update = update_or_die
        try:
            run.run(clock=itertools.count().__next__, progress=False)  # a second each update
            break
        except Killed:
            lives += 1
            assert open_run(tmp_path).state.step == 5 * lives
            run = open_run(tmp_path)
    assert run.state.step == 30 and lives == 4


def test_checkpoints_come_ever_less_often_until_they_come_regularly(tmp_path, monkeypatch):
    saved, save = [], Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: (saved.append(self.state.step), save(self)))
    trainer(tmp_path, steps=90).run(clock=itertools.count().__next__, save_every=20.0, progress=False)
    assert saved == [5, 15, 35, 55, 75, 90]


class Broken(Leaves):
    """A world that cannot draw."""

    def draw(self, batch, generator):
        raise ValueError("there is no video")


@pytest.mark.parametrize(
    "world, network, message",
    [
        (Broken(size=16, memory=1), (4, 8), "there is no video"),
        (replace(SMALL, size=17), (4, 8), "multiples of 2"),
        (replace(SMALL, size=10**6), (4,), "first batch cannot be made: .*(memory|overflow)"),
    ],
)
def test_nothing_is_written_before_a_batch_could_be_drawn(tmp_path, world, network, message):
    """Would catch a failed start that keeps the corrected one from starting."""
    torch.manual_seed(0)
    run = Trainer(UNet(1, network), world, Settings(steps=5, batch=1000, compile=False), tmp_path / "run")
    with pytest.raises(ValueError, match=message):
        run.run(progress=False)
    assert not (tmp_path / "run").exists()


def test_two_trainers_in_one_folder_do_not_mix(tmp_path):
    """Would catch a second one that writes along, or that takes up a run where the first has gone on since."""
    first, second = trainer(tmp_path), trainer(tmp_path)
    update = first.update

    def update_and_look():
        update()
        with pytest.raises(ValueError, match=rf"process {os.getpid()} on .* is training in"):
            second.run(progress=False)

    first.update = update_and_look
    train(first, 2)
    with pytest.raises(FileExistsError, match="written by another process meanwhile"):
        second.run(progress=False)


def test_a_full_disk_is_said_with_the_file_and_the_last_checkpoint_stays(tmp_path, monkeypatch):
    run = train(trainer(tmp_path), 10)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*: No space left on device; what was there before is kept"):
        run.run(progress=False)
    monkeypatch.undo()
    assert open_run(tmp_path).state.step == 10 and not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"steps": 0}, {"batch": 0}, {"batch": 10**30}, {"warmup": -1}, {"freeze_norm_after": 0}, {"seed": -1}),
        *({"seed": 2**64}, {"lr": float("nan")}, {"lr": 0.0}, {"lr_muon": float("inf")}, {"frozen_lr_factor": -1.0}),
        *({"ema_decay": 1.0}, {"ema_decay": -0.1}, {"optimiser": "sgd"}, {"precision": "fp64"}),
    ],
)
def test_settings_that_cannot_be_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"^{name} must .*, got {value!r}$"):
        Settings(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"log_every": 0}, {"save_every": -1.0}, {"save_every": float("nan")}, {"minutes": 1e300}]
)
def test_how_to_run_cannot_be_just_anything(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must"):
        trainer(tmp_path / "run").run(**wrong)
    assert not (tmp_path / "run").exists()


def test_a_short_run_does_without_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda loss: lambda *batch: pytest.fail("it was compiled"))
    assert not train(trainer(tmp_path, compile=True), 3).loss.compiles


def test_a_command_interrupted_in_every_way_resumes_to_the_same_losses(tmp_path):
    """Would catch a signal, or a sudden death, after which a run lost its log, its place in the data, or its optimisers."""
    command = [
        *(sys.executable, "-m", "scorevid", "train", "--steps", "120", "--batch", "8", "--warmup", "5", "--no-compile"),
        *("--world.size", "16", "--world.memory", "1", "--network.widths", "4", "8", "--threads", "1"),
        *("--log-every", "10", "--save-every", "0.05", "--device", "cpu", "--optimiser", "muon"),
    ]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    log, said, lines = broken / "log.jsonl", subprocess.DEVNULL, 0
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen([*command, "--out", str(broken), "--resume", "auto"], stdout=said, stderr=said)
        deadline = time.monotonic() + 120
        while not (log.exists() and len(log.read_text().splitlines()) >= lines + 2):
            assert process.poll() is None and time.monotonic() < deadline, "the run ended before its interruption"
            time.sleep(0.005)
        os.kill(process.pid, number)
        assert process.wait(timeout=60) == (
            -number if number == signal.SIGKILL else 0
        )  # the others end it in good order
        lines = len(log.read_text().splitlines())
        assert lines < 12, "the run was over before the signal"
    main([*command[3:], "--out", str(whole)])
    subprocess.run([*command, "--out", str(broken), "--resume", "auto"], check=True, capture_output=True)
    assert losses(broken) == losses(whole)


def test_looking_at_a_run_leaves_its_log_alone(tmp_path):
    """The run may be going on: its log is then ahead of its checkpoint."""
    run = trainer(tmp_path)
    run.save()
    ahead = '{"step": 10, "loss": 1.0}\n'
    (tmp_path / "log.jsonl").write_text(ahead)
    open_run(tmp_path).denoiser()
    assert (tmp_path / "log.jsonl").read_text() == ahead


def test_changed_settings_count_from_then_on_and_are_noted(tmp_path):
    run = trainer(tmp_path, steps=20)
    run.run(progress=False)
    changed = open_run(tmp_path, steps=40, lr_muon=0.001)
    changed.update()
    rates = {group["lr"] for o in changed.optimisers for group in o.param_groups}
    assert min(rates) == pytest.approx(0.4 * 0.001 * learning_rate(20, 40, 4))
    assert changed.state.changes == [{"until_step": 20, "steps": 20, "lr_muon": 0.02}]
    changed.save()
    assert open_run(tmp_path).state.changes == changed.state.changes


def test_another_world_of_the_same_frames_is_noted(tmp_path):
    trainer(tmp_path, steps=20).run(progress=False)
    changed = open_run(tmp_path, world=replace(SMALL, meeting=0.9, kappa=2.0))
    assert changed.state.changes == [{"until_step": 20, "world": {"meeting": SMALL.meeting, "kappa": SMALL.kappa}}]
    changed.save()
    again = open_run(tmp_path)
    assert again.world == changed.world and again.state.changes == changed.state.changes
    for other in (replace(SMALL, size=24), replace(SMALL, memory=2), Gaussian(size=16, memory=1)):
        with pytest.raises(ValueError, match="frames and a memory"):
            open_run(tmp_path, world=other)


def test_a_field_of_the_world_that_is_newer_than_the_checkpoint_had_its_default(tmp_path):
    trainer(tmp_path, steps=2).run(progress=False)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    default = Leaves().meeting
    del kept["world"]["meeting"]
    torch.save(kept, tmp_path / "checkpoint.pt")
    assert open_run(tmp_path, world=replace(SMALL, meeting=default)).state.changes == []
    other = open_run(tmp_path, world=replace(SMALL, meeting=default / 2))
    assert other.state.changes == [{"until_step": 2, "world": {"meeting": default}}]


def test_noise_on_the_past_is_put_on_noted_and_kept(tmp_path):
    past = PastNoise(1.0, 0.5, 2.0)
    clean, noisy = (noisy_batch(SMALL, NoisePrior(), 64, generator_for(0, 0), law) for law in (PastNoise(), past))
    assert all(torch.equal(clean[k], noisy[k]) for k in (0, 2, 3)) and (noisy[1] - clean[1]).std() > 0.5
    trainer(tmp_path, steps=20).run(progress=False)
    changed = open_run(tmp_path, steps=25, past=past)
    assert changed.state.changes[0]["past"]["share"] == 0.0
    changed.run(progress=False)
    assert open_run(tmp_path).settings.past == past and describe(open_run(tmp_path))["past_noise"]["share"] == 1.0


def test_a_run_starts_from_weights_with_a_shorter_memory(tmp_path):
    # catches new weights that count from the start, statistics that training forgets, and an average of the random weights
    source = trainer(tmp_path / "source", steps=30)
    source.run(progress=False)
    f, world = source.denoiser(), replace(SMALL, memory=3)
    f.card = {"name": "start"}
    run = Trainer(UNet(3, (4, 8)), world, Settings(steps=10, batch=8, compile=False), tmp_path / "run")
    start_from(run, f)
    y, c = noisy_batch(world, NoisePrior(), 8, generator_for(0, 0))[:2]
    for network in (run.network.eval(), run.denoiser()):
        torch.testing.assert_close(network(y, c), f(y, c[:, 2:]))
    before = [m.variance.clone() for m in run.network.modules() if isinstance(m, ScaleNorm)]
    run.run(progress=False)
    after = [m.variance for m in run.network.modules() if isinstance(m, ScaleNorm)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert describe(run)["training"]["changes"] == [{"until_step": 0, "started_from": "start"}]
    again = open_run(tmp_path / "run")
    assert again.state.changes == run.state.changes and again.state.frozen
    with pytest.raises(ValueError, match="10 updates cannot start"):
        start_from(run, f)


def from_a_lost_run(tmp_path, **settings):
    """The network of a run of 10 updates with its card, the run being lost."""
    source = trainer(tmp_path / "lost", steps=10, freeze_norm_after=4, **settings)
    source.run(progress=False)
    f = source.denoiser()
    f.card = describe(source) | {"name": "lost"}
    return f


def test_training_goes_on_from_a_published_network(tmp_path):
    """Would catch counts that begin at zero, scenes that are drawn again, and statistics that are estimated anew."""
    f = from_a_lost_run(tmp_path)
    run = trainer(tmp_path / "run", steps=16, batch=4, freeze_norm_after=4)
    go_on_from(run, f)
    assert (run.state.step, run.state.images, run.state.seconds) == (
        10,
        80,
        pytest.approx(3600 * f.card["training"]["hours"]),
    )
    y, c = noisy_batch(SMALL, NoisePrior(), 8, generator_for(0, 0))[:2]
    for network in (run.network.eval(), run.denoiser()):
        torch.testing.assert_close(network(y, c), f(y, c))
    before = [m.variance.clone() for m in run.network.modules() if isinstance(m, ScaleNorm)]
    run.run(progress=False, log_every=1)
    assert [step for step, _ in losses(tmp_path / "run")] == list(range(11, 17))
    after = [m.variance for m in run.network.modules() if isinstance(m, ScaleNorm)]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    training = describe(open_run(tmp_path / "run"))["training"]
    assert training["images"] == 80 + 6 * 4
    assert training["changes"] == [{"until_step": 10, "went_on_from": "lost", "batch": 8}]
    with pytest.raises(ValueError, match="16 updates cannot go on"):
        go_on_from(run, f)


def test_it_goes_on_with_the_same_network_only(tmp_path):
    """Would catch weights that are put into a network of another kind, another seed, and a plan that is over already."""
    f = from_a_lost_run(tmp_path)
    with pytest.raises(ValueError, match="lost has"):
        go_on_from(trainer(tmp_path / "a", network={"lateral": False}), f)
    with pytest.raises(ValueError, match="with the seed 0"):
        go_on_from(trainer(tmp_path / "b", seed=1), f)
    with pytest.raises(ValueError, match="10 updates, and 10 are planned"):
        go_on_from(trainer(tmp_path / "c", steps=10), f)


def test_an_existing_run_is_not_overwritten(tmp_path):
    run = trainer(tmp_path)
    run.save()
    with pytest.raises(FileExistsError, match="resume"):
        trainer(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    trainer(tmp_path).save()
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a whole checkpoint"):
        open_run(tmp_path)


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(ValueError, match="no run to continue"):
        open_run(tmp_path)


def test_minutes_plan_the_steps_and_stop_the_run(tmp_path):
    run = train(trainer(tmp_path, steps=None), 100)  # a second each, a hundred seconds
    assert run.state.planned_steps == run.state.step == 100


@pytest.mark.parametrize("minutes", [0, -1.0, float("nan")])
def test_no_time_is_no_run(tmp_path, minutes):
    with pytest.raises(ValueError, match="minutes must"):
        trainer(tmp_path, steps=None).run(minutes)


def test_statistics_of_the_averaged_network_are_those_of_the_data():
    torch.manual_seed(0)
    network = UNet(1, (4, 8))
    data = [noisy_batch(SMALL, NoisePrior(), 64, generator_for(0, k)) for k in range(30)]
    estimate_statistics(network, iter(data))
    assert not network.training
    first = next(m for m in network.modules() if isinstance(m, ScaleNorm))
    convolution = network.encoder[0][0].conv
    with torch.no_grad():
        variances = torch.stack([convolution(torch.cat([c, y], 1)).var((0, 2, 3), correction=0) for y, c, *_ in data])
    torch.testing.assert_close(first.variance, variances.mean(0))


def test_training_and_evaluation_agree_on_a_mixed_batch(tmp_path):
    run = trainer(tmp_path, steps=200, batch=32)
    run.run(progress=False)
    network = run.denoiser()
    y, c, x, _ = noisy_batch(SMALL, NoisePrior(), 512, generator_for(5, 5))
    with torch.no_grad():
        evaluated = (network(y, c) - x).square().mean()
        trained = (network.train()(y, c) - x).square().mean()
    assert evaluated < 1.2 * trained


def test_frozen_normalisation_keeps_its_statistics_and_trains_what_evaluation_runs(tmp_path):
    run = trainer(tmp_path, steps=60, freeze_norm_after=30, ema_decay=0.0)
    kept = {}
    for step in range(1, 61):
        run.update()
        if step in (25, 30, 31, 60):
            kept[step] = {k: v.clone() for k, v in run.network.state_dict().items() if k.endswith("variance")}
    assert all(not torch.equal(kept[25][k], kept[30][k]) for k in kept[25])  # they follow the batches
    assert all(not torch.equal(kept[30][k], kept[31][k]) for k in kept[30])  # estimated once more
    assert all(torch.equal(kept[31][k], kept[60][k]) for k in kept[31])
    y, c, *_ = noisy_batch(SMALL, NoisePrior(), 8, generator_for(5, 5))
    with torch.no_grad():
        torch.testing.assert_close(run.denoiser()(y, c), run.network(y, c))


def test_the_averaged_network_is_as_good_right_after_freezing_as_before(tmp_path):
    run = trainer(tmp_path, steps=400, freeze_norm_after=200, batch=16, ema_decay=0.99)
    y, c, x, _ = noisy_batch(SMALL, NoisePrior(), 256, generator_for(5, 5))
    errors = {}
    for step in range(1, 261):
        run.update()
        if step in (200, 201, 220, 260):
            with torch.no_grad():
                errors[step] = (run.denoiser()(y, c) - x).square().mean().item()
    assert max(errors[201], errors[220], errors[260]) < 1.5 * errors[200]


@pytest.mark.skipif(" " in torch.__file__, reason="torch's compiler finds its libraries by a path without spaces only")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize(
    ("precision", "normalise", "frozen"),
    [("fp32", True, False), ("bf16", True, False), ("bf16", True, True), ("bf16", False, False)],
)
def test_a_compiled_step_has_the_gradients_of_the_eager_one(tmp_path, precision, normalise, frozen):
    """Of every parameter: a compiler can lose those of whole layers and leave the loss as it is."""
    gradients, batch = [], noisy_batch(SMALL, NoisePrior(), 16, generator_for(5, 5))
    for compiled in (False, True):
        run = trainer(tmp_path / str(compiled), network={"normalise": normalise}, precision=precision, compile=compiled)
        run.freeze(frozen)
        run.loss(*batch).backward()
        assert run.loss.compiles == compiled
        gradients.append({name: p.grad.float() for name, p in run.network.named_parameters()})
    for name, plain in gradients[0].items():
        assert (gradients[1][name] - plain).norm() < (0.1 if precision == "bf16" else 1e-3) * plain.norm(), name


def test_a_compiler_that_loses_gradients_is_found_out_and_left(tmp_path, monkeypatch):
    def lose(loss):
        def losing(*batch):
            value = loss(*batch)
            return value.detach() + 0 * sum(p.sum() for p in run.network.parameters())

        return losing

    monkeypatch.setattr(torch, "compile", lose)
    run = trainer(tmp_path / "compiled", steps=20, precision="fp32", compile=True)
    with pytest.warns(UserWarning, match="loses the gradients of .*goes on without torch.compile"):
        run.run(log_every=10, progress=False)
    trainer(tmp_path / "plain", steps=20, precision="fp32").run(log_every=10, progress=False)
    assert losses(tmp_path / "compiled") == losses(tmp_path / "plain")


def test_without_a_compiler_training_goes_on_and_says_so(tmp_path, monkeypatch):
    def compile_nothing(function):
        def fail(*_):
            raise RuntimeError("no C++ compiler found")

        return fail

    monkeypatch.setattr(torch, "compile", compile_nothing)
    run = trainer(tmp_path / "compiled", steps=20, compile=True)
    with pytest.warns(UserWarning, match=r"does not work here: no C\+\+ compiler found; training goes on without"):
        run.run(log_every=10, progress=False)
    trainer(tmp_path / "plain", steps=20).run(log_every=10, progress=False)
    assert losses(tmp_path / "compiled") == losses(tmp_path / "plain")


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    run = trainer(tmp_path)
    next(run.network.parameters()).data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="loss is nan"):
        run.run(log_every=10, progress=False)


def test_a_run_that_diverges_stops_and_keeps_what_was_before(tmp_path):
    run = trainer(tmp_path, steps=400)
    run.state.planned_steps = 200
    run.run(log_every=10, save_every=0, progress=False)
    again = open_run(tmp_path, steps=400)
    update = again.update

    def update_and_break():
        if again.state.step == 270:
            next(again.network.parameters()).data.mul_(30.0)
        update()

    again.update = update_and_break
    with pytest.raises(FloatingPointError, match=r"training diverges: by step 2[78]0"):
        again.run(log_every=10, save_every=0, progress=False)
    assert 260 <= open_run(tmp_path).state.step <= 270
    assert max(step for step, _ in losses(tmp_path)) <= 270


def test_rates_are_lower_once_the_normalisation_is_frozen(tmp_path):
    run = trainer(tmp_path, steps=40, freeze_norm_after=12, frozen_lr_factor=0.25)
    rates = []
    for step in range(14):
        run.update()
        rates.append(run.optimisers[0].param_groups[0]["lr"] / learning_rate(step, 40, 4))
    assert rates[0] == pytest.approx(rates[11]) == pytest.approx(0.02) and rates[13] == pytest.approx(0.005)


def test_a_world_of_another_memory_is_refused(tmp_path):
    with pytest.raises(ValueError, match="memory"):
        Trainer(UNet(2, (4, 8)), SMALL, Settings(steps=1), tmp_path)
