r"""Training a blind denoiser by squared error.

.. math:: \min_\theta\; \mathbb{E}\, \big\| x - f_\theta(x + \sigma z,\, c) \big\|^2, \qquad
          (c, x) \sim \text{world},\; \sigma \sim \text{noise prior},\; z \sim \mathcal N(0, I).

One network for all σ, which it is not told. The data are drawn anew for each step from a generator seeded with
(seed, step), so that a run stopped anywhere and resumed sees what an unbroken one sees.

σ spans two decades within a batch, so with batch normalisation the deviation of a channel that sees y hangs on the few
noisiest frames and jitters from step to step by a good part of itself. After ``freeze_norm_after`` updates, or half of the
run if that comes first, the statistics are therefore estimated once more and kept, and what is trained from there on is the
function that evaluation runs. (How much it helps is open: a small network trained for minutes does as well without, as
chapter 2 shows.) A kernel before a normalisation that follows it may grow without consequence; before one that does
not, it may not, so from there on learning rates are lower.

Several processes may share each batch of a run (:meth:`Trainer.distribute`); what is trained stays the same.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid import checks
from scorevid.denoisers.conditioned import Network, build_network
from scorevid.denoisers.normalisation import ScaleNorm, estimate_statistics
from scorevid.files import sole_writer
from scorevid.machine import computes_in_bf16, machine, stop_signals
from scorevid.training.ahead import Ahead
from scorevid.training.compiling import CheckedCompile
from scorevid.training.optimisers import make_optimiser
from scorevid.training.parallel import Processes, all_reduce_mean
from scorevid.training.records import Checkpoint, append_to_log, load_checkpoint, save_checkpoint, trim_log
from scorevid.training.steps import Batch, Settings, StepPlanner, TrainState, generator_for, learning_rate, noisy_batch
from scorevid.worlds.registry import describe_world

FIRST_SAVE = 5.0  # seconds of training up to the first checkpoint
SHORT = 2.0  # minutes; to compile takes a good part of them


class Trainer:
    """A run of training: network, averaged network, optimiser, log; steps, saves, resumes.

    world: has ``memory``, ``size`` and ``draw(batch, generator) -> (c, x)``; of a dataclass, checkpoints hold the parameters.
    out: folder of ``checkpoint.pt`` and ``log.jsonl``; an existing checkpoint is continued when ``resume`` is set and refused
    otherwise. ``state`` tells how far the run is.
    """

    def __init__(self, network: Network, world, settings: Settings, out: Path | str, *, device="cpu", resume=False):
        if network.memory != world.memory:
            raise ValueError(f"the network has a memory of {network.memory}, the world one of {world.memory}")
        self.checkpoint, self.log = Path(out) / "checkpoint.pt", Path(out) / "log.jsonl"
        if self.checkpoint.exists() and not resume:
            raise FileExistsError(f"{self.checkpoint} exists: resume it, or choose another folder")
        self.world, self.settings, self.device = world, settings, torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.ema = [p.detach().clone() for p in network.parameters()]
        self.optimisers = make_optimiser(network, settings.optimiser, settings.lr, settings.lr_muon)
        self.state = TrainState(settings.steps, made_on=machine(self.device))
        self.state.running_loss = self.state.running_loss.to(self.device)
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16(self.device))
        self.loss = CheckedCompile(self._squared_error, network, settings.compile)
        self.processes, self._joint_loss = Processes(), self.loss
        self.recent: deque[float] = deque(maxlen=10)  # losses of the last log lines of this run
        self._batch_of = Ahead(lambda step: self._batch(generator_for(self.settings.seed, step, self.device)))
        self.interrupted, self._stored = False, self._stamp()
        if self._stored:
            self._restore(load_checkpoint(self.checkpoint, self.device))

    def distribute(self, processes: Processes) -> None:
        """Go on as one of several processes, which have made this trainer alike, in the same folder; they start here.

        All of them then call :meth:`run`. Raises ValueError where the batch does not divide by their number.
        """
        if self.settings.batch % processes.size:
            text = f"the batch of an update must divide by the {processes.size} processes, got {self.settings.batch}"
            raise ValueError(text)
        processes.start()
        self.processes = self.loss.processes = processes
        if processes.size > 1:
            for module in self._normalisations():
                module.reduce_mean = all_reduce_mean
        self._joint_loss = processes.wrap_ddp(self.loss, self.network)

    def run(
        self, minutes: float | None = None, *, log_every=50, save_every=60.0, progress=True, clock=time.monotonic
    ) -> bool:
        """Train until the planned steps are done or the minutes are over; True when all steps are done.

        clock: what tells the seconds; ``time.process_time`` counts those of the processor instead of the wall.

        SIGINT and SIGTERM end the run after the current step, and ``interrupted`` tells of it; a checkpoint is left. One is
        also written after ``FIRST_SAVE`` seconds, then in intervals that double up to ``save_every`` seconds, so that a killed
        run loses no more than that, and one that is killed again and again gets on. Nothing is written before the first batch
        could be drawn. A run of at most ``SHORT`` minutes does without the compiler. Raises ValueError where another process
        trains in the folder, and FloatingPointError once the loss is no longer finite, or four times what it was; the
        checkpoint, if there is one, is then from before.
        """
        state = self.state
        checks.integer("log_every", log_every)
        checks.number("save_every", save_every, low=0)
        if minutes is not None:
            checks.number("minutes", minutes, high=1e7, above=0)
        elif state.planned_steps is None:
            raise ValueError("say how long to train: steps, minutes, or both")
        if minutes is not None and minutes <= SHORT:
            self.loss.stop()
        self._try_out()
        self._batch_of.start(getattr(self.world, "streams", False))
        self.recent.clear()
        state.made_on = machine(self.device)
        if self.processes.size > 1:
            state.made_on["processes"] = self.processes.size
        silent = not (progress and self.processes.first)
        with ExitStack() as held, stop_signals() as stopped:
            self.processes.by_first(lambda: self._claim(held))
            bar = tqdm(total=state.planned_steps, initial=state.step, disable=silent, unit="step", smoothing=0.05)
            held.enter_context(bar)
            before, start = state.seconds, clock()
            saved, wait, planner = start, min(FIRST_SAVE, save_every), StepPlanner(minutes, state.step, start)
            while not state.is_done:
                self.update()
                now = clock()
                state.seconds = before + now - start
                if state.step % log_every == 0 or state.is_done:
                    self._write_log(bar)
                if state.planned_steps is None and (steps := planner.plan(state.step, now)):
                    bar.total = state.planned_steps = self.processes.broadcast(steps)
                bar.update()
                over = bool(stopped) or (minutes is not None and now - start >= 60 * minutes)
                over, save = self.processes.any_of(over, now - saved >= wait)
                if over:
                    break
                if save:
                    self._reduce_loss()
                    if state.mean_loss <= 2 * self._usual_loss():
                        self.save()
                        saved, wait = now, min(2 * wait, save_every)
            self.save()
        (self.interrupted,) = self.processes.any_of(bool(stopped))
        return state.is_done

    def update(self) -> None:
        """One step: a batch, its gradients, the optimisers, the moving average."""
        s, state = self.settings, self.state
        if state.should_freeze(s.freeze_norm_after):
            estimate_statistics(self.network, map(self.processes.shard, self._fresh_batches())).train()
            self.freeze()
            for average, p in zip(self.ema, self.network.parameters(), strict=True):
                average.copy_(p.detach())  # older weights go with other statistics
            state.frozen_at = state.step
        batch = self._batch_of(state.step)
        loss = self._joint_loss(*self.processes.shard(batch))
        loss.backward()
        rate = learning_rate(state.step, state.planned_steps, s.warmup) * (s.frozen_lr_factor if state.frozen else 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * s.peak_lr(optimiser)
            optimiser.step()
            optimiser.zero_grad()
        averaged = state.step - state.frozen_at  # updates since the average began
        decay = min(s.ema_decay, (1 + averaged) / (10 + averaged))
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, list(self.network.parameters()), 1 - decay)
        state.running_loss[0] += loss.detach()
        state.running_loss[1] += 1
        state.step += 1
        state.images += s.batch

    def freeze(self, frozen: bool = True) -> None:
        """Have normalisation keep its statistics, or follow the batches again."""
        self.state.frozen = frozen
        self.loss.unchecked = True
        for module in self._normalisations():
            module.frozen = frozen

    def denoiser(self) -> Network:
        """The averaged network in evaluation mode.

        While the normalisation follows the batch, its running variances belong to the raw weights; with the averaged
        ones they are wrong, up to several times the error at small σ, and are estimated anew. Once it is frozen they
        are part of what was trained, and stay.
        """
        network = build_network(self.network.config).to(self.device)
        network.load_state_dict(self.network.state_dict())
        for p, average in zip(network.parameters(), self.ema, strict=True):
            p.data.copy_(average)
        return network.eval() if self.state.frozen else estimate_statistics(network, self._fresh_batches())

    def save(self) -> None:
        """Write the checkpoint atomically. Raises FloatingPointError, and keeps the last one, if the loss is not finite."""
        self._reduce_loss()
        weights, optimisers = self.network.state_dict(), [o.state_dict() for o in self.optimisers]
        world, config = describe_world(self.world), self.network.config
        kept = Checkpoint(self.settings, self.state, world, config, weights, self.ema, optimisers)
        self.processes.by_first(lambda: save_checkpoint(self.checkpoint, kept))
        self._stored = self._stamp()

    def _try_out(self) -> None:
        """Draw the first batch and look at one of it, so that what cannot be is refused before anything is written."""
        try:
            batch = self._batch(generator_for(self.settings.seed, self.state.step, self.device))
            with torch.no_grad():
                self.network.eval().squared_error(*(part[:1] for part in batch))
        except (RuntimeError, MemoryError, OverflowError) as problem:
            text = str(problem).splitlines()[0] if str(problem) else "there is not enough memory"
            raise ValueError(f"the first batch cannot be made: {text}") from problem
        finally:
            self.network.train()
        try:
            if self.processes.first and hasattr(self.world, "test_scenes"):
                self.world.test_scenes(1, torch.Generator(self.device).manual_seed(0))
        except ValueError as problem:
            text = "nothing is held out for testing, so that this run can be neither evaluated nor published"
            warnings.warn(f"{text}: {problem}", stacklevel=3)

    def _claim(self, held: ExitStack) -> None:
        """Have the folder to oneself for as long as ``held`` is open, with a log up to where the run stands."""
        held.enter_context(sole_writer(self.checkpoint.parent, "training"))
        if self._stamp() != self._stored:
            raise FileExistsError(f"{self.checkpoint} was written by another process meanwhile: resume it")
        trim_log(self.log, self.state.step)

    def _stamp(self) -> int | None:
        """When the checkpoint was written, in nanoseconds; None where there is none."""
        return self.checkpoint.stat().st_mtime_ns if self.checkpoint.exists() else None

    def _restore(self, kept: Checkpoint) -> None:
        if build_network(kept.config).config != self.network.config:
            raise ValueError(f"{self.checkpoint} holds a network {kept.config}, not {self.network.config}")
        before, now = asdict(kept.settings), asdict(self.settings)
        if before["optimiser"] != now["optimiser"]:
            text = f"{self.checkpoint} was made with {before['optimiser']} and cannot go on with {now['optimiser']}"
            raise ValueError(text)
        self.network.load_state_dict(kept.network)
        self.ema = kept.ema
        for optimiser, state in zip(self.optimisers, kept.optimisers, strict=True):
            optimiser.load_state_dict(state)
        self.state = kept.state
        self.state.planned_steps = self.settings.steps or kept.state.planned_steps
        changed = {k: before[k] for k in now if before[k] != now[k] and k != "compile"}  # which is not about the result
        world = describe_world(self.world)  # of which fields that are newer than the checkpoint had these values
        own = {k: getattr(type(self.world), k, None) for k in world} | getattr(self.world, "earlier", {}) | kept.world
        if other := {k: own[k] for k in world if own[k] != world[k]}:
            changed["world"] = other
        if changed:
            self.state.changes.append({"until_step": self.state.step} | changed)
        self.freeze(self.state.frozen)

    def _normalisations(self) -> list[ScaleNorm]:
        return [module for module in self.network.modules() if isinstance(module, ScaleNorm)]

    def _fresh_batches(self, batches: int = 40) -> Iterator[Batch]:
        streams = (generator_for(2**31 + self.state.step, k, self.device) for k in range(batches))
        return (self._batch(stream) for stream in streams)

    def _batch(self, generator: torch.Generator) -> Batch:
        s = self.settings
        return noisy_batch(self.world, s.noise, s.batch, generator, s.past)

    def _squared_error(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(y.device.type, torch.bfloat16, enabled=self.bf16):
            return self.network.squared_error(y, c, x, sigma)

    def _usual_loss(self) -> float:
        """What the last lines of the log say, infinite while they are few."""
        return median(self.recent) if len(self.recent) >= 5 else math.inf

    def _reduce_loss(self, factor: float = math.inf) -> None:
        """Average the loss over all processes. Raises FloatingPointError if it is not finite, or that much above the usual."""
        self.state.running_loss = self.processes.reduce_mean(self.state.running_loss)
        loss, usual = self.state.mean_loss, self._usual_loss()
        if not math.isfinite(loss) or loss > factor * usual:
            grown = f"by step {self.state.step} the loss is {loss:.3g}, and was {usual:.3g}"
            left = f"{self.checkpoint}, if it is there, is from before: go on from it with lower learning rates"
            raise FloatingPointError(f"training diverges: {grown}. {left}")

    def _write_log(self, bar: tqdm) -> None:
        state = self.state
        self._reduce_loss(4.0)
        loss, rate = state.mean_loss, state.images / max(state.seconds, 1e-9)
        self.recent.append(loss)
        state.running_loss.zero_()
        line = {"step": state.step, "images": state.images, "loss": loss, "seconds": round(state.seconds, 3)}
        line |= {"images_per_second": round(rate, 1), "lr": self.optimisers[0].param_groups[0]["lr"]}
        self.processes.by_first(lambda: append_to_log(self.log, line))
        bar.set_postfix_str(f"loss {loss:.5f}, {rate:.0f} images/s", refresh=False)
