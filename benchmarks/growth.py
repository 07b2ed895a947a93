"""How time and memory grow with frame size, memory length, batch and number of scenes; and a plan for many GPUs.

Each cost is fitted by a power of what is varied. Time and memory are those of a step forward and back (bf16 where the
machine computes in it), and of sampling for the scenes. The plan is arithmetic: multiply-adds counted on the network that
it names, bytes that are kept for the way back, and the speed of a GPU as an option, which nothing here has measured. The
same arithmetic is held to what is measured here, at the small end, for the small network and for that of the plan; and how
fast one process here draws patches of the plan's size is measured too.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from scorevid.denoisers.unet import UNet
from scorevid.machine import computes_in_bf16
from scorevid.sampling import solve
from scorevid.training.steps import generator_for
from scorevid.worlds.clips.world import Clips
from side_by_side import (
    Result,
    answer_as_child,
    exponent,
    in_child,
    median_range,
    options,
    peak_memory,
    rates,
    take_turns,
)

BF16 = computes_in_bf16(torch.device("cpu"))
MIB = 2**20


def step(widths, size: int, memory: int, batch: int):
    """A function that goes forward and back once."""
    network = UNet(memory, widths).to(memory_format=torch.channels_last)
    generator = generator_for(0, 0)
    y, x = torch.rand(2, batch, 1, size, size, generator=generator)
    c = torch.rand(batch, memory, size, size, generator=generator)

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = network.squared_error(y, c, x)
        loss.backward()
        network.zero_grad()

    return run


def sampling(widths, size: int, memory: int, scenes: int):
    """A function that draws one sample for each scene in four steps."""
    network, c = UNet(memory, widths).eval(), torch.rand(scenes, memory, size, size)
    return lambda: solve(network, c, steps=4, generator=torch.Generator().manual_seed(0))


KINDS = {"step": step, "sampling": sampling}


def memory(kind: str, widths, cases: list) -> dict:
    """The most MiB that a fresh process has taken by the end of each case, beyond what a tiny one takes; cases by size."""
    KINDS[kind](widths, 2 ** len(widths), cases[0][1], 1)()
    before, most = peak_memory(), []
    for case in cases:
        KINDS[kind](widths, *case)()
        most.append(peak_memory() - before)
    return {"MiB": most}


def measured_memory(given, *arguments) -> dict:
    """What :func:`memory` finds in a fresh process; in this one, where it finds nothing, in a quick run."""
    return memory(*arguments) if given.quick else in_child(__file__, *arguments)


def arithmetic(widths, size: int, memory: int) -> tuple[float, float]:
    """Multiply-adds of an example forward and back, and bytes that are kept for the way back."""
    (products, one), (_, two) = (_counted(widths, size, memory, batch) for batch in (1, 2))
    return products, two - one  # without what is kept once for all, such as kernels in bf16


def _counted(widths, size: int, memory: int, batch: int) -> tuple[float, float]:
    network, kept = UNet(memory, widths).to(memory_format=torch.channels_last), {}
    y, x = torch.rand(2, batch, 1, size, size)
    c = torch.rand(batch, memory, size, size)

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    kept_for_back = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with FlopCounterMode(display=False) as counter:
        with kept_for_back, torch.autocast("cpu", torch.bfloat16, enabled=BF16):
            loss = network.squared_error(y, c, x)
        loss.backward()
    return counter.get_total_flops() / 2, float(sum(s.nbytes() for s in kept.values()))


def grow(result: Result, given) -> dict[str, dict]:
    """Measure and fit each axis; returns what was measured."""
    base = {"size": 32 if not given.quick else 8, "memory": 2}
    axes = {  # what is measured, its name, its values, the case of a value, the power that arithmetic expects
        "height and width": ("step", given.sizes, lambda v: (v, base["memory"], given.few), 2.0),
        "memory length": ("step", given.memories, lambda v: (base["size"], v, given.many), 0.0),
        "batch": ("step", given.batches, lambda v: (base["size"], base["memory"], v), 1.0),
        "number of scenes": ("sampling", given.batches, lambda v: (base["size"], base["memory"], v), 1.0),
    }
    found, rows = {}, []
    for name, (kind, values, case, expected) in axes.items():
        times = take_turns({v: KINDS[kind](given.widths, *case(v)) for v in values}, given.rounds, given.seconds)
        child = measured_memory(given, kind, given.widths, [case(v) for v in values])
        took = dict(zip(values, child["MiB"], strict=True))
        seconds = {v: median_range(t) for v, t in times.items()}
        found[name] = {"seconds": seconds, "MiB": took}
        enough = [v for v in values if took[v] > 1]
        rows.append(
            [
                name,
                " ".join(map(str, values)),
                expected,
                exponent(values, [seconds[v].value for v in values]),
                exponent(enough, [took[v] for v in enough]) if len(enough) > 2 else None,
            ]
        )
        result.table(
            f"Growth with {name}: {'a step forward and back' if kind == 'step' else 'samples, one a scene, in 4 steps'}",
            [name, "seconds", "MiB beyond the process itself"],
            [[v, seconds[v], took[v]] for v in values],
        )
    result.table(
        "Growth: fitted powers, with intervals of 95 %",
        ["of", "values", "power of the multiply-adds", "power of time", "power of memory"],
        rows,
    )
    return found


def check(result: Result, given, found: dict) -> float:
    """Hold the plan's arithmetic to what was measured, all from the speed of the small network at the second size.

    Returns by what factor memory came out larger than foretold, for the plan's network at the largest size.
    """
    measured, base = (
        found["height and width"],
        given.sizes[1],
    )  # at the first, much goes into other things than arithmetic
    names = {
        "small": (given.widths, 2, given.sizes),
        "the plan's": (given.plan_widths, given.plan_memory, given.plan_sizes),
    }
    own = {size: (given.plan_widths, size, given.plan_memory, given.few) for size in given.plan_sizes}
    times = take_turns({size: step(*case) for size, case in own.items()}, given.rounds)
    child = measured_memory(given, "step", given.plan_widths, [case[1:] for case in own.values()])
    of_plan = {
        "seconds": {size: median_range(t) for size, t in times.items()},
        "MiB": dict(zip(own, child["MiB"], strict=True)),
    }
    speed = given.few * arithmetic(given.widths, base, 2)[0] / measured["seconds"][base].value
    rows, off = [], {}
    for name, (widths, memory, sizes) in names.items():
        held = measured if name == "small" else of_plan
        for size in sizes:
            products, kept = (given.few * v for v in arithmetic(widths, size, memory))
            seconds, taken = held["seconds"][size], held["MiB"][size]
            off[name, size] = median_range([s / (products / speed) for s in seconds])
            rows.append([name, size, products / 1e9, products / speed, seconds, kept / MIB, taken])
    result.table(
        f"The plan's arithmetic held to what was measured here; speed is that of the small network at {base} × {base}",
        [
            *("network", "height and width", "billion multiply-adds", "seconds, foretold", "measured"),
            *("MiB kept, foretold", "MiB at the most"),
        ],
        rows,
    )
    for case in [("small", given.sizes[-1]), ("the plan's", given.plan_sizes[-1])]:
        told = f"measured time over foretold, {case[0]} network, frames of {case[1]} × {case[1]}"
        result.target(told, off[case], 1.5, at_least=False)
    return rows[-1][-1] / rows[-1][-2]


def drawing(given) -> list[float]:
    """Examples of the plan's size that one process draws a second, from made-up clips of somewhat larger frames."""
    with tempfile.TemporaryDirectory() as folder:
        path, random = Path(folder) / "made.npz", np.random.default_rng(0)
        side = given.plan_size + given.plan_size // 4
        shots = {f"shot {k}": random.integers(0, 256, (60, side, 2 * side), dtype=np.uint8) for k in range(4)}
        np.savez(path, **shots)
        world = Clips(size=given.plan_size, memory=given.plan_memory, source=str(path))
        draw = {"draw": lambda: world.draw(given.gpu_batch, generator_for(0, 0))}
        return rates(take_turns(draw, given.rounds, given.seconds)["draw"], given.gpu_batch)


def plan(result: Result, given, more: float) -> None:
    """Multiply-adds, memory and hours for a run on several GPUs. more: factor of memory, as :func:`check` found it."""
    network = UNet(given.plan_memory, given.plan_widths)
    parameters = sum(p.numel() for p in network.parameters())
    small = 4 * 2 ** (len(given.plan_widths) - 1)
    products, kept = (
        v * (given.plan_size / small) ** 2 for v in arithmetic(given.plan_widths, small, given.plan_memory)
    )
    total = products * given.images
    speed = given.gpus * given.gpu_peak * given.gpu_share * given.together
    state = 5 * 4 * parameters  # weights, gradient, momentum, average and one to spare, in fp32
    kept *= more * given.gpu_batch
    drawn, needed = drawing(given), speed / products
    rows = [
        ["height and width, pixels", given.plan_size],
        ["past frames", given.plan_memory],
        ["channels at each scale", " ".join(map(str, given.plan_widths))],
        ["parameters", parameters],
        ["billion multiply-adds of an example, forward and back", products / 1e9],
        ["examples, assumed", given.images],
        ["multiply-adds of the run", total],
        ["GPUs", given.gpus],
        ["multiply-adds a second of a GPU in bf16, assumed", given.gpu_peak],
        ["share of it that is used, assumed", given.gpu_share],
        ["efficiency of several together, assumed", given.together],
        ["examples a second, all together", needed],
        ["hours", total / speed / 3600],
        ["examples a second that one process here draws, with all its threads", drawn],
        ["processes like it that have to draw", median_range([needed / v for v in drawn])],
        ["examples at once on a GPU", given.gpu_batch],
        ["GiB on a GPU, weights and their state", state / 2**30],
        [f"factor on what is kept, measured at {given.plan_sizes[-1]} × {given.plan_sizes[-1]}", more],
        ["GiB on a GPU, kept for the way back, with that factor", kept / 2**30],
        ["GiB on a GPU, both", (state + kept) / 2**30],
    ]
    result.table("A plan for natural video on several GPUs; no GPU was measured", ["quantity", "value"], rows)
    frames = needed * (given.plan_memory + 1)
    result.note(
        f"Data must keep up: {math.ceil(frames):,} frames of {given.plan_size} × {given.plan_size} a second, "
        f"{frames * given.plan_size**2 / 1e6:,.0f} MB in bytes. Every process draws the whole batch and keeps its share, so "
        "each must deliver all of these, from its GPU's memory or from that many processors; where none can, drawing and not "
        "arithmetic sets the hours. That gradients are exchanged is in the efficiency of several, which is assumed."
    )


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        widths=((32, 64, 128), (4, 8), "channels at each scale"),
        sizes=((32, 64, 128, 256), (8, 16, 32), "heights and widths"),
        memories=((1, 2, 4, 8), (1, 2, 4), "past frames"),
        batches=((16, 32, 64, 128), (1, 2, 4), "batches, and numbers of scenes"),
        few=(4, 1, "batch while frames grow"),
        plan_sizes=((32, 64, 128), (32, 64), "heights and widths at which the plan's network is measured"),
        many=(32, 1, "batch while the memory grows"),
        rounds=(3, 1, "turns of each case"),
        seconds=(0.3, 0.0, "of each case in a turn"),
        plan_size=(128, 128, "height and width in the plan"),
        plan_memory=(4, 4, "past frames in the plan"),
        plan_widths=((64, 128, 256, 512, 512), (4, 8, 8, 8), "channels in the plan"),
        images=(50_000_000, 50_000_000, "examples in the plan"),
        gpus=(8, 8, "GPUs in the plan"),
        gpu_peak=(1.5e14, 1.5e14, "multiply-adds a second of one in bf16"),
        gpu_share=(0.25, 0.25, "share of it that is used"),
        together=(0.9, 0.9, "efficiency of several together"),
        gpu_batch=(64, 64, "examples at once on a GPU"),
    )
    result = Result("growth", given)
    plan(result, given, check(result, given, grow(result, given)))
    result.finish()


if __name__ == "__main__":
    answer_as_child(memory)
    main()
