"""Images a second of the trainer's step against the plain loop, and as a share of what the machine can do.

Same network, same data, same batch. The plain loop is eager, in fp32, with the default memory format and Adam. Between it
and the trainer stand the same loop with one thing after another changed, to tell what each is worth. What the machine can
do is the speed of the fastest of some large matrix products in the same precision, which take their turns with the steps:
the share is the time that the multiply-adds of the convolutions of a step, forward and back, would take at that speed, over
the time that the step takes with all else that belongs to it: drawing scenes, normalisation, optimiser, averaging. The
ceiling is the rate of a step of these multiply-adds alone at that speed. That the fast step computes what the plain one
does is checked on the losses of some updates.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from scorevid.denoisers.unet import UNet
from scorevid.noise.prior import NoisePrior
from scorevid.training.optimisers import make_optimiser
from scorevid.training.records import read_log
from scorevid.training.steps import Settings, generator_for, noisy_batch
from scorevid.training.trainer import Trainer
from scorevid.worlds.leaves.world import Leaves
from side_by_side import Result, median_range, options, rates, ratio, take_turns

PLAIN, OURS, SETTLED = "plain loop", "trainer, before normalisation settles", "trainer, settled"


def plain_loop(world, widths, batch: int, channels_last: bool = False, bf16: bool = False):
    """The step of a loop as one writes it first, a function without arguments."""
    network, noise, step = UNet(world.memory, widths), NoisePrior(), iter(range(10**9))
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)

    def run() -> None:
        y, c, x, sigma = noisy_batch(world, noise, batch, generator_for(0, next(step)))
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network.squared_error(y, c, x, sigma)
        loss.backward()
        optimiser.step()

    return run


def make_trainer(world, given, folder: Path, settled: bool) -> Trainer:
    """A trainer that runs on and on, before or after its normalisation settles."""
    torch.manual_seed(0)
    settings = Settings(steps=10**9, batch=given.batch, freeze_norm_after=1 if settled else None, compile=given.compile)
    trainer = Trainer(UNet(world.memory, given.widths), world, settings, folder / str(settled))
    for _ in range(3):  # compiles
        trainer.update()
    return trainer


def losses(world, given, folder: Path, precision: str, compiled: bool) -> list[float]:
    """Of some updates by Adam at a low rate, before the normalisation settles."""
    torch.manual_seed(0)
    how = {"freeze_norm_after": None, "compile": compiled, "precision": precision, "optimiser": "adam", "lr": 2e-4}
    settings = Settings(steps=given.updates, batch=given.batch, warmup=given.updates // 4, **how)
    trainer = Trainer(UNet(world.memory, given.widths), world, settings, folder / f"{precision} {compiled}")
    trainer.run(log_every=1, progress=False)
    return [line["loss"] for line in read_log(trainer.log)]


def multiply_adds(world, widths, batch: int) -> tuple[float, float]:
    """Of a step's convolutions, forward and back, and of Muon's products of matrices."""
    network = UNet(world.memory, widths)
    y, c, x, sigma = noisy_batch(world, NoisePrior(), batch, generator_for(0, 0))
    with FlopCounterMode(display=False) as convolutions:
        network.squared_error(y, c, x, sigma).backward()
    with FlopCounterMode(display=False) as products:
        for optimiser in make_optimiser(network, "muon", 1e-3, 1e-3):
            optimiser.step()
    return convolutions.get_total_flops() / 2, products.get_total_flops() / 2


def matrix_products(sizes: tuple[int, ...]) -> dict[tuple[str, int, str], Callable[[], object]]:
    """Square matrix products to be timed, by precision, side and library."""
    cases: dict[tuple[str, int, str], Callable[[], object]] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for n in sizes:
            a, b = torch.randn(2, n, n).to(dtype)
            cases[name, n, ""] = lambda a=a, b=b: a @ b
        if name == "fp32" and torch.backends.mkldnn.is_available():  # where @ calls another library, oneDNN as well
            a, b = torch.randn(2, sizes[-1], sizes[-1])
            a = a.to_mkldnn()
            cases[name, sizes[-1], "oneDNN"] = lambda a=a, b=b: torch._C._nn.mkldnn_linear(a, b, None)
    return cases


def peaks(times: dict[tuple[str, int, str], list[float]]) -> dict[str, list[float]]:
    """Multiply-adds a second of the fastest matrix product, by precision and round."""
    found: dict[str, list[list[float]]] = {}
    for (name, n, _), each in times.items():
        found.setdefault(name, []).append([n**3 / t for t in each])
    return {name: [max(k) for k in zip(*kinds, strict=True)] for name, kinds in found.items()}


@contextmanager
def timed(spent: dict[str, float], owner: object, method: str, part: str):
    """Add the seconds that calls of a method take to those spent on a part."""
    own = vars(owner).get(method)
    inner = getattr(owner, method)

    def outer(*arguments, **named):
        start = time.perf_counter()
        try:
            return inner(*arguments, **named)
        finally:
            spent[part] = spent.get(part, 0.0) + time.perf_counter() - start

    setattr(owner, method, outer)
    yield
    delattr(owner, method) if own is None else setattr(owner, method, own)


def parts(trainer: Trainer, steps: int) -> dict[str, float]:
    """Seconds of a step by part."""
    spent: dict[str, float] = {}
    kernels, gains = trainer.optimisers
    with (
        timed(spent, trainer, "_batch", "draw scenes and noise"),
        timed(spent, trainer.loss, "loss", "forward"),
        timed(spent, torch.Tensor, "backward", "backward"),
        timed(spent, kernels, "step", "Muon on the kernels"),
        timed(spent, gains, "step", "Adam on the gains"),
    ):
        start = time.perf_counter()
        for _ in range(steps):
            trainer.update()
        whole = time.perf_counter() - start
    rest = whole - sum(spent.values())
    return {part: s / steps for part, s in (spent | {"averaging and the rest": rest}).items()}


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        widths=((32, 64, 128), (4, 8), "channels at each scale"),
        compile=(True, False, "whether the trainer compiles"),
        batch=(48, 2, "images in a step"),
        rounds=(7, 1, "turns of each case"),
        seconds=(1.5, 0.0, "of each case in a turn"),
        steps=(60, 2, "steps over which the parts are timed"),
        updates=(50, 4, "updates over which losses are compared"),
        products=((1024, 2048, 4096), (64,), "sides of the matrix products"),
    )
    result, world = Result("training", given), Leaves()
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        ours, settled = (make_trainer(world, given, Path(folder), s) for s in (False, True))
        result.note(f"Compiling and the first steps of both trainers took {time.perf_counter() - start:.0f} s.")
        cases = {
            PLAIN: plain_loop(world, given.widths, given.batch),
            "and channels last": plain_loop(world, given.widths, given.batch, channels_last=True),
        }
        if settled.bf16:
            cases["and bf16"] = plain_loop(world, given.widths, given.batch, channels_last=True, bf16=True)
        cases |= {OURS: ours.update, SETTLED: settled.update}
        products = matrix_products(given.products)
        found = take_turns(cases | products, given.rounds, given.seconds)
        times, peak = {name: found[name] for name in cases}, peaks({key: found[key] for key in products})
        result.table(
            "Training: images a second, in turns",
            ["", "images a second", "× plain loop"],
            [[name, rates(t, given.batch), ratio(times[PLAIN], t)] for name, t in times.items()],
        )
        convolutions, of_muon = multiply_adds(world, given.widths, given.batch)
        precision = "bf16" if settled.bf16 else "fp32"
        shares = {}
        for name, t in times.items():
            kind = precision if name in (OURS, SETTLED, "and bf16") else "fp32"
            shares[name] = [kind, ratio([convolutions / p for p in peak[kind]], t)]
        result.table(
            "Training: share of the machine's peak that the convolutions of a step use",
            ["", "precision", "share of its peak"],
            [[name, *share] for name, share in shares.items()],
        )
        alone = [convolutions / p for p in peak[precision]]
        result.table(
            "Training: the ceiling, convolutions alone at the peak",
            ["", "images a second", "× plain loop"],
            [[f"in {precision}", rates(alone, given.batch), ratio(times[PLAIN], alone)]],
        )
        result.table(
            "Training: arithmetic of a step, and peak",
            ["", "billion multiply-adds"],
            [
                ["convolutions of a step, forward and back", convolutions / 1e9],
                ["Muon's products of matrices", of_muon / 1e9],
                *(
                    [f"in a second of the largest {k} matrix product", median_range([v / 1e9 for v in p])]
                    for k, p in peak.items()
                ),
            ],
        )
        spent = parts(settled, given.steps)
        result.table(
            "Training: where a step of the settled trainer spends its time",
            ["part", "ms", "%"],
            [[part, 1e3 * s, 100 * s / sum(spent.values())] for part, s in spent.items()],
        )
        plain, apart = losses(world, given, Path(folder), "fp32", False), {}
        for name in dict.fromkeys(("fp32", precision)):
            other = losses(world, given, Path(folder) / name, name, given.compile)
            apart[name] = [abs(a - b) / a for a, b in zip(plain, other, strict=True)]
        result.table(
            f"Training: relative difference in loss from eager fp32, over {given.updates} updates by Adam",
            ["", "first", "median", "largest"],
            [
                [f"{k}, compiled", *(f"{v:.1e}" for v in (d[0], sorted(d)[len(d) // 2], max(d)))]
                for k, d in apart.items()
            ],
        )
    for name, most in (("fp32", 1e-3), ("bf16", 0.05)):
        if name in apart:
            told = f"relative difference in loss from eager fp32, {name}, compiled"
            result.target(told, median_range([max(apart[name])]), most, at_least=False)
    for name in (SETTLED, OURS):
        result.target(f"{name}, × plain loop", ratio(times[PLAIN], times[name]), 4.0)
        result.target(f"{name}, share of the peak in {precision}", shares[name][1], 0.35)
    result.finish()


if __name__ == "__main__":
    main()
