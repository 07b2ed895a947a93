"""How time and memory grow with frame size, memory length, batch and number of scenes; and a plan for many GPUs.

Each cost is fitted by a power of what is varied. Time and memory are those of a step forward and back (bf16 where the
machine computes in it), and of sampling for the scenes. The plan is arithmetic: multiply-adds counted on the network that
it names, bytes that are kept for the way back, and the speed of a GPU as an option, which nothing here has measured. The
same arithmetic is held to what is measured here, at the small end.
"""

import math
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from scorevid.batches import generator_for
from scorevid.benchmarks import Result, answer_as_child, exponent, in_child, options, peak_memory, spread, take_turns
from scorevid.denoiser import Denoiser
from scorevid.machine import computes_in_bf16
from scorevid.solvers import solve

BF16 = computes_in_bf16(torch.device("cpu"))
MIB = 2**20


def step(widths, size: int, memory: int, batch: int):
    """A function that goes forward and back once."""
    network = Denoiser(memory, widths).to(memory_format=torch.channels_last)
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
    network, c = Denoiser(memory, widths).eval(), torch.rand(scenes, memory, size, size)
    return lambda: solve(network, c, steps=4, generator=torch.Generator().manual_seed(0))


KINDS = {"step": step, "sampling": sampling}


def memory(kind: str, widths, cases: list) -> dict:
    """The most MiB that a fresh process has taken by the end of each case, beyond what a tiny one takes; cases by size."""
    KINDS[kind](widths, 8, cases[0][1], 1)()
    before, most = peak_memory(), []
    for case in cases:
        KINDS[kind](widths, *case)()
        most.append(peak_memory() - before)
    return {"MiB": most}


def arithmetic(widths, size: int, memory: int) -> tuple[float, float]:
    """Multiply-adds of an example forward and back, and bytes that are kept for the way back."""
    (products, one), (_, two) = (_counted(widths, size, memory, batch) for batch in (1, 2))
    return products, two - one  # without what is kept once for all, such as kernels in bf16


def _counted(widths, size: int, memory: int, batch: int) -> tuple[float, float]:
    network, kept = Denoiser(memory, widths).to(memory_format=torch.channels_last), {}
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
    for name, (kind, values, case, due) in axes.items():
        times = take_turns({v: KINDS[kind](given.widths, *case(v)) for v in values}, given.rounds, given.seconds)
        child = in_child(__file__, kind, given.widths, [case(v) for v in values])
        took = dict(zip(values, child["MiB"], strict=True))
        seconds = {v: spread(t) for v, t in times.items()}
        found[name] = {"seconds": seconds, "MiB": took}
        enough = [v for v in values if took[v] > 1]
        rows.append(
            [
                name,
                " ".join(map(str, values)),
                due,
                exponent(values, [seconds[v][0] for v in values]),
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


def check(result: Result, given, found: dict) -> None:
    """Hold the arithmetic of the plan to what was measured with growing frames, all from the speed at the second size."""
    measured, rows = found["height and width"], []
    counted = {size: [given.few * v for v in arithmetic(given.widths, size, 2)] for size in given.sizes}
    base = given.sizes[1]  # at the first, much of the time goes into other things than arithmetic
    speed = counted[base][0] / measured["seconds"][base][0]
    for size, (products, kept) in counted.items():
        seconds = measured["seconds"][size]
        rows.append([size, products / 1e9, seconds, products / speed, kept / MIB, measured["MiB"][size]])
    result.table(
        f"The plan's arithmetic held to what was measured here; the speed is that at {base} × {base}",
        ["height and width", "billion multiply-adds", "seconds", "foretold", "MiB kept, foretold", "MiB at the most"],
        rows,
    )


def plan(result: Result, given) -> None:
    """Multiply-adds, memory and hours for a run on several GPUs."""
    network = Denoiser(given.plan_memory, given.plan_widths)
    parameters = sum(p.numel() for p in network.parameters())
    small = 4 * 2 ** (len(given.plan_widths) - 1)
    products, kept = (
        v * (given.plan_size / small) ** 2 for v in arithmetic(given.plan_widths, small, given.plan_memory)
    )
    total = products * given.images
    speed = given.gpus * given.gpu_peak * given.gpu_share * given.together
    state = 5 * 4 * parameters  # weights, gradient, momentum, average and one to spare, in fp32
    memory = state + kept * given.gpu_batch
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
        ["examples a second, all together", speed / products],
        ["hours", total / speed / 3600],
        ["examples at once on a GPU", given.gpu_batch],
        ["GiB on a GPU, weights and their state", state / 2**30],
        ["GiB on a GPU, kept for the way back", kept * given.gpu_batch / 2**30],
        ["GiB on a GPU, both", memory / 2**30],
    ]
    result.table("A plan for natural video on several GPUs; no GPU was measured", ["quantity", "value"], rows)
    frames = speed / products * (given.plan_memory + 1)
    result.note(
        f"Data must keep up: {math.ceil(frames):,} frames of {given.plan_size} × {given.plan_size} a second, "
        f"{frames * given.plan_size**2 / 1e6:,.0f} MB in bytes. "
        "Every process draws the whole batch and keeps its share, so each of them must deliver all of these."
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
    result = Result("scaling", given)
    check(result, given, grow(result, given))
    plan(result, given)
    result.finish()


if __name__ == "__main__":
    answer_as_child(memory)
    main()
