r"""Training a blind denoiser by squared error.

.. math:: \min_\theta\; \mathbb{E}\, \big\| x - f_\theta(x + \sigma z,\, c) \big\|^2, \qquad
          (c, x) \sim \text{world},\; \sigma \sim \text{noise prior},\; z \sim \mathcal N(0, I).

One network for all σ, which it is not told. The data are drawn anew for each step from a generator seeded with
(seed, step), so that a run stopped anywhere and resumed sees what an unbroken one sees.

σ spans two decades within a batch, so with batch normalisation the deviation of a channel that sees y hangs on the few
noisiest frames and jitters from step to step by a good part of itself. After ``settle`` updates, or half of the run if
that comes first, the statistics are therefore estimated once more and kept, and what is trained from there on is the
function that evaluation runs. (How much it helps is open: a small network trained for minutes does as well without, as
chapter 2 shows.) A kernel before a normalisation that follows it may grow without consequence; before one that does
not, it may not, so from there on learning rates are lower.

Several processes may share each batch of a run (:meth:`Trainer.share`); what is trained stays the same.
"""

from __future__ import annotations

import math
import time
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from scorevid.denoisers.conditioned import Preconditioned, Regression, build_network
from scorevid.denoisers.normalisation import Scaling, estimate_statistics
from scorevid.denoisers.unet import UNet
from scorevid.interrupts import stop_signals
from scorevid.machine import computes_in_bf16, machine
from scorevid.noise.prior import NoisePrior, PastNoise
from scorevid.training.batches import Batch, generator_for, noisy_batch
from scorevid.training.checkpoints import load_checkpoint, save_checkpoint
from scorevid.training.compiling import lost_gradients
from scorevid.training.logs import append_to_log, trim_log
from scorevid.training.optimisers import learning_rate, make_optimiser
from scorevid.training.parallel import Processes, average


@dataclass(frozen=True)
class Settings:
    """How to train. What is not in the paper's summary is our choice."""

    steps: int | None = None  # updates of the whole run, over which the rate falls; None: as many as fit the minutes
    batch: int = 48  # images in an update, of all processes together
    lr: float = 2e-3  # peak learning rate of Adam; after the warm-up it falls to zero as a cosine
    warmup: int = 500  # updates over which the learning rate rises, a tenth of the run at most
    settle: int | None = 2000  # updates, half of the run at most, after which normalisation keeps its statistics
    settled_rate: float = 0.4  # factor on the learning rates from there on
    optimiser: Literal["adam", "muon"] = "muon"  # muon: for the kernels, with Adam for the gains
    lr_muon: float = 0.02  # peak learning rate of Muon
    averaging: float = 0.999  # decay of the running average of the weights, which is what gets published
    noise: NoisePrior = field(default_factory=NoisePrior)
    past: PastNoise = field(default_factory=PastNoise)
    seed: int = 0  # of the initial weights and of the data
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the machine computes in it
    compile: bool = True  # use torch.compile

    def __post_init__(self):
        for name in ("batch", "warmup", "settle"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not (self.lr > 0 and self.lr_muon > 0 and self.settled_rate > 0 and 0 <= self.averaging < 1):
            raise ValueError("learning rates must be positive and averaging in [0, 1)")


Trainable = UNet | Preconditioned | Regression  # has memory, config and squared_error(y, c, x, sigma)


class Trainer:
    """A run of training: network, averaged network, optimiser, log; steps, saves, resumes.

    world: has ``memory``, ``size`` and ``draw(batch, generator) -> (c, x)``. out: folder of ``checkpoint.pt`` and
    ``log.jsonl``; an existing checkpoint is continued when ``resume`` is set and refused otherwise.
    """

    def __init__(self, network: Trainable, world, settings: Settings, out: Path | str, *, device="cpu", resume=False):
        if network.memory != world.memory:
            raise ValueError(f"the network has a memory of {network.memory}, the world one of {world.memory}")
        self.world, self.settings, self.device = world, settings, torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).train()
        self.average = [p.detach().clone() for p in network.parameters()]
        self.optimisers = make_optimiser(network, settings.optimiser, settings.lr, settings.lr_muon)
        self.step, self.steps, self.seconds = 0, settings.steps, 0.0
        self.images, self.settled, self.settled_at = 0, False, 0
        self.changes: list[dict] = []  # settings that were other ones before a step, as the card tells
        self.made_on, self.interrupted = machine(self.device), False
        self.running = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss and count since the last log line
        self.recent: deque[float] = deque(maxlen=10)  # losses of the last log lines of this run
        self.checkpoint, self.log = Path(out) / "checkpoint.pt", Path(out) / "log.jsonl"
        if self.checkpoint.exists() and not resume:
            raise FileExistsError(f"{self.checkpoint} exists: resume it, or choose another folder")
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self.bf16 = settings.precision == "bf16" or (settings.precision == "auto" and computes_in_bf16(self.device))
        self._loss = self._eager_loss
        if settings.compile:
            self._loss = torch.compile(self._eager_loss)
        self._compared: set[bool] = set()  # whether settled, of the compiled steps that were held against eager ones
        self.processes, self._joint_loss = Processes(), self._own_loss
        if self.checkpoint.exists():
            self._restore()
            self._settle(self.settled)

    def share(self, processes: Processes) -> None:
        """Go on as one of several processes, which have made this trainer alike, in the same folder; they start here.

        All of them then call :meth:`run`. Raises ValueError where the batch does not divide by their number.
        """
        processes.check(self.settings.batch)
        processes.start()
        self.processes = processes
        if processes.size > 1:
            for module in self.network.modules():
                if isinstance(module, Scaling):
                    module.average = average
        self._joint_loss = processes.joined(self._own_loss, self.network)

    def run(
        self, minutes: float | None = None, *, log_every=50, save_every=60.0, progress=True, clock=time.monotonic
    ) -> bool:
        """Train until the planned steps are done or the minutes are over; True when all steps are done.

        clock: what tells the seconds; ``time.process_time`` counts those of the processor instead of the wall.

        SIGINT and SIGTERM end the run after the current step, and ``interrupted`` tells of it; a checkpoint is left. One is
        also written every ``save_every`` seconds, so that a killed run loses no more than that. Raises FloatingPointError
        once the loss is no longer finite, or four times what it was; the checkpoint is then one from before.
        """
        if self.steps is None and minutes is None:
            raise ValueError("say how long to train: steps, minutes, or both")
        if minutes is not None and not minutes > 0:
            raise ValueError(f"minutes must be positive, got {minutes}")
        (fresh,) = self.processes.any(not self.checkpoint.exists())
        if self.processes.first:
            trim_log(self.log, self.step)
        self.recent.clear()
        if fresh:
            self.save()
        self.made_on = machine(self.device)
        if self.processes.size > 1:
            self.made_on["processes"] = self.processes.size
        start, first = clock(), self.step
        saved, before = start, self.seconds
        silent = not (progress and self.processes.first)
        bar = tqdm(total=self.steps, initial=self.step, disable=silent, unit="step", smoothing=0.05)
        with stop_signals() as stopped:
            while self.steps is None or self.step < self.steps:
                self._update()
                now = clock()
                self.seconds = before + now - start
                if self.step % log_every == 0 or self.step == self.steps:
                    self._write_log(bar)
                if self.steps is None and self.step - first == PLAN_AFTER:
                    began = now
                elif self.steps is None and self.step - first == 3 * PLAN_AFTER:
                    left = minutes * 60 - (now - start)
                    steps = self.step + max(1, int(left * 2 * PLAN_AFTER / (now - began)))
                    self.steps = self.processes.of_first(steps)
                    bar.total = self.steps
                bar.update()
                over = minutes is not None and now - start >= 60 * minutes
                over, due = self.processes.any(bool(stopped) or over, now - saved >= save_every)
                if over:
                    break
                if due:
                    self._gather()
                    if not self._has_risen(2.0):
                        self.save()
                        saved = now
        bar.close()
        self.save()
        (self.interrupted,) = self.processes.any(bool(stopped))
        return self.steps is not None and self.step >= self.steps

    def denoiser(self) -> Trainable:
        """The averaged network in evaluation mode.

        While the normalisation follows the batch, its running variances belong to the raw weights; with the averaged
        ones they are wrong, up to several times the error at small σ, and are estimated anew. Once it has settled they
        are part of what was trained, and stay.
        """
        network = build_network(self.network.config).to(self.device)
        network.load_state_dict(self.network.state_dict())
        for p, averaged in zip(network.parameters(), self.average, strict=True):
            p.data.copy_(averaged)
        if self.settled:
            return network.eval()
        return estimate_statistics(network, self._fresh_batches())

    def _fresh_batches(self, batches: int = 40) -> Iterator[Batch]:
        streams = (generator_for(2**31 + self.step, k, self.device) for k in range(batches))
        return (self._batch(stream) for stream in streams)

    def _gather(self) -> None:
        """The loss since the last log line, of all processes."""
        self.running = self.processes.average(self.running)

    def _batch(self, generator: torch.Generator) -> Batch:
        s = self.settings
        return noisy_batch(self.world, s.noise, s.batch, generator, s.past)

    def _is_time_to_settle(self) -> bool:
        settle = self.settings.settle
        return settle is not None and self.step >= (settle if self.steps is None else min(settle, self.steps // 2))

    def _settle(self, settled: bool = True) -> None:
        self.settled = settled
        for module in self.network.modules():
            if isinstance(module, Scaling):
                module.settled = settled

    def save(self) -> None:
        """Write the checkpoint atomically. Raises FloatingPointError, and keeps the last one, if the loss is not finite."""
        self._gather()
        if not self.running.isfinite().all():
            raise FloatingPointError(f"the loss is not finite by step {self.step}; the last checkpoint is kept")
        if not self.processes.first:
            return
        save_checkpoint(
            self.checkpoint,
            {
                "step": self.step,
                "steps": self.steps,
                "seconds": self.seconds,
                "running": self.running,
                "network": self.network.state_dict(),
                "config": self.network.config,
                "average": self.average,
                "optimisers": [o.state_dict() for o in self.optimisers],
                "settings": asdict(self.settings),
                "changes": self.changes,
                "images": self.images,
                "settled": self.settled,
                "settled_at": self.settled_at,
                "made_on": self.made_on,
                "world": {"name": type(self.world).__name__, **asdict(self.world)},
            },
        )

    def _restore(self) -> None:
        kept = load_checkpoint(self.checkpoint, self.device)
        if build_network(kept["config"]).config != self.network.config:
            raise ValueError(f"{self.checkpoint} holds a network {kept['config']}, not {self.network.config}")
        before, now = kept["settings"], asdict(self.settings)
        if before["optimiser"] != now["optimiser"]:
            raise ValueError(
                f"{self.checkpoint} was made with {before['optimiser']} and cannot go on with {now['optimiser']}"
            )
        self.network.load_state_dict(kept["network"])
        for mine, theirs in zip(self.average, kept["average"], strict=True):
            mine.copy_(theirs)
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            peaks = [group["peak"] for group in optimiser.param_groups]  # those of the settings, not of the checkpoint
            optimiser.load_state_dict(state)
            for group, peak in zip(optimiser.param_groups, peaks, strict=True):
                group["peak"] = peak
        self.step, self.seconds, self.running = kept["step"], kept["seconds"], kept["running"]
        self.steps = self.settings.steps or kept["steps"]
        self.images, self.changes, self.made_on = kept["images"], kept["changes"], kept["made_on"]
        self.settled, self.settled_at = kept["settled"], kept["settled_at"]
        before["noise"] = asdict(NoisePrior(**before["noise"]))  # fields that are newer than the checkpoint
        before["past"] = asdict(PastNoise(**before.get("past", {})))
        before.setdefault("settled_rate", 1.0)
        changed = {k: before.get(k) for k in now if before.get(k) != now[k] and k not in NOT_ABOUT_THE_RESULT}
        world = asdict(self.world)
        # fields that are newer than the checkpoint had their defaults
        own = {f.name: f.default for f in fields(self.world)} | kept["world"]
        other = {k: own[k] for k in world if own[k] != world[k]}
        changed |= {"world": other} if other else {}
        if changed:
            self.changes.append({"until_step": self.step} | changed)

    def _update(self) -> None:
        s, generator = self.settings, generator_for(self.settings.seed, self.step, self.device)
        if not self.settled and self._is_time_to_settle():
            estimate_statistics(self.network, map(self.processes.slice, self._fresh_batches())).train()
            self._settle()
            for kept, p in zip(self.average, self.network.parameters(), strict=True):
                kept.copy_(p.detach())  # older weights go with other statistics
            self.settled_at = self.step
        batch = self.processes.slice(self._batch(generator))
        try:
            loss = self._joint_loss(*batch)
            loss.backward()
        except Exception as problem:
            if not self._compiles or self.processes.size > 1:  # others would wait for other averages
                raise
            warnings.warn(f"torch.compile does not work here, training goes on without it: {problem}", stacklevel=2)
            self._loss = self._eager_loss
            self.network.zero_grad()
            loss = self._joint_loss(*batch)
            loss.backward()
        rate = learning_rate(self.step, self.steps, s.warmup) * (s.settled_rate if self.settled else 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * group["peak"]
            optimiser.step()
            optimiser.zero_grad()
        averaged = self.step - self.settled_at  # updates since the average began
        decay = min(s.averaging, (1 + averaged) / (10 + averaged))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 1 - decay)
        self.running[0] += loss.detach()
        self.running[1] += 1
        self.step += 1
        self.images += s.batch

    def _has_risen(self, factor: float) -> bool:
        """Whether the loss since the last log line is above what the lines before it say, by more than a factor."""
        usual = median(self.recent) if len(self.recent) >= 5 else math.inf
        return bool(self.running[1] > 0 and self.running[0] / self.running[1] > factor * usual)

    def _eager_loss(self, y: Tensor, c: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(y.device.type, torch.bfloat16, enabled=self.bf16):
            return self.network.squared_error(y, c, x, sigma)

    def _own_loss(self, *batch: Tensor) -> Tensor:
        if self._compiles and self.settled not in self._compared:
            self._compared.add(self.settled)
            lost = lost_gradients(self._eager_loss, self._loss, self.network.named_parameters(), batch)
            (any_lost,) = self.processes.any(bool(lost))
            if any_lost:
                names = ", ".join(lost) or "other processes"
                warnings.warn(
                    f"the compiled step loses the gradients of {names}; training goes on without torch.compile",
                    stacklevel=2,
                )
                self._loss = self._eager_loss
        return self._loss(*batch)

    @property
    def _compiles(self) -> bool:
        """Whether steps are compiled ones."""
        return self._loss != self._eager_loss

    def _write_log(self, bar: tqdm) -> None:
        self._gather()
        loss = (self.running[0] / self.running[1]).item()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {self.step}; the last checkpoint is kept")
        if self._has_risen(4.0):
            raise FloatingPointError(
                f"training diverges: by step {self.step} the loss has risen from {median(self.recent):.3g} to {loss:.3g}. "
                f"{self.checkpoint} is from before: resume with lower learning rates"
            )
        self.recent.append(loss)
        self.running.zero_()
        if not self.processes.first:
            return
        rate = self.images / max(self.seconds, 1e-9)
        line = {"step": self.step, "images": self.images, "loss": loss, "seconds": round(self.seconds, 3)}
        line |= {"images_per_second": round(rate, 1), "lr": self.optimisers[0].param_groups[0]["lr"]}
        append_to_log(self.log, line)
        bar.set_postfix_str(f"loss {loss:.5f}, {rate:.0f} images/s", refresh=False)


NOT_ABOUT_THE_RESULT = {"compile"}  # a setting that may change between resumptions without a note
PLAN_AFTER = 20  # updates that warm up before the speed is measured, over twice as many, to plan the steps
