"""Calibrated samples a second: the recommended solver against the published constants, on the same weights.

How well either is calibrated, and how many evaluations it takes, was measured on many scenes by the sweeps of chapter 3,
whose stored results are read here; they have to be of the same weights. The published constants take minutes for a large
batch; so there only their first evaluations are timed, in turns with the others, and told for all that they take. Whether
compiling and bf16 change how often which future is chosen is asked on more scenes, from the same noise.
"""

import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from scorevid import load_denoiser
from scorevid.denoisers.weights import load_card
from scorevid.estimates import Estimate, mean_interval
from scorevid.measures import choices
from scorevid.sampling import ascend, solve
from scorevid.studies import load_results
from scorevid.worlds.leaves.meetings import undecided_meetings
from scorevid.worlds.registry import make_world
from side_by_side import (
    Result,
    answer_as_child,
    in_child,
    median_range,
    options,
    peak_memory,
    rates,
    ratio,
    take_turns,
)


def scenes(weights: str, n: int):
    """Past frames of n undecided meetings in the world of the weights, and their futures."""
    scene, ahead = undecided_meetings(make_world(load_card(weights)["world"]), n, torch.Generator().manual_seed(3))
    return scene.past(), ahead


def in_bf16(f):
    """The same denoiser computed in bf16; what comes in and goes out stays in fp32."""

    def denoiser(y, c):
        with torch.autocast("cpu", torch.bfloat16):
            return f(y, c).float()

    return denoiser


def recommended(f, c, **changes):
    return solve(f, c, generator=torch.Generator().manual_seed(5), **changes)


def published(f, c, **changes):
    """With the constants of the earlier public code, which are the defaults; all of it or its first steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples that are stopped on their way
        return ascend(f, c, generator=torch.Generator().manual_seed(5), **changes)


class Values(TorchDispatchMode):
    """Counts the operations for which a GPU's host would have to wait: values read, and shapes that hang on values."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        waits = any(w in str(function) for w in self.WAITING)
        if "index.Tensor" in str(function):  # only masks ask for values
            waits = any(i is not None and i.dtype == torch.bool for i in arguments[1])
        self.count += waits
        return function(*arguments, **(named or {}))


class Numbers(TorchFunctionMode):
    """Counts the tensors made of numbers: on a GPU these are copied to it, and the host waits for the copy."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_function__(self, function, types, arguments=(), named=None):
        self.count += function in (torch.tensor, torch.as_tensor) and not isinstance(arguments[0], torch.Tensor)
        return function(*arguments, **(named or {}))


def syncs_a_step(sampler, f, c, few: int, more: int, name: str) -> float:
    """Waits that each further step adds, so that those of the beginning and the end do not count."""
    counts = []
    for steps in (few, more):
        with Values() as values, Numbers() as numbers:
            sampler(f, c, **{name: steps})
        counts.append(values.count + numbers.count)
    return (counts[1] - counts[0]) / (more - few)


def memory(weights: str, sampler: str, how: str, batch: int, limit: int) -> dict:
    """Peak memory of a fresh process: before, and after sampling a batch."""
    f, (c, _) = load_denoiser(weights), scenes(weights, batch)
    if how == "bf16":
        f = in_bf16(f.to(memory_format=torch.channels_last))
    with torch.no_grad():
        f(torch.rand(1, 1, *c.shape[2:]), c[:1])
    before = peak_memory()
    if sampler == "published":
        published(f, c, max_steps=4, batch_limit=limit)
    else:
        recommended(f, c, steps=4, batch_limit=limit)
    return {"before": before, "peak": peak_memory()}


def stored(network: str, card: dict) -> dict[str, dict]:
    """What the sweep of chapter 3 found for both samplers. Raises ValueError where it is of other weights."""
    sweep, found = load_results("solvers"), {}
    if sweep["parameters"]["sha256"] != card["sha256"]:
        raise ValueError(
            f"the stored sweep of solvers is of other weights than {card['name']} has now: make sweep first"
        )
    for one in sweep["results"]:
        sampler = one["solver"].removesuffix(", beside published")  # a network's on the same scenes, which come last
        if one["network"] == network and sampler in ("recommended", "published"):
            found[sampler] = one
    return found


def main() -> None:
    given = options(
        __doc__,
        Path(__file__).parent / "results",
        weights=("leaves-32", "leaves-32", "published weights"),
        batch=(256, 4, "samples at once, beside one at a time"),
        scenes=(2000, 8, "undecided meetings on which choices are compared"),
        first=(20, 2, "steps of the published constants that are timed at that batch"),
        rounds=(3, 1, "turns of each case"),
        compile=(True, False, "whether to time compiled networks too"),
        bound=(2000, 5, "bound on the steps of the published constants, one sample at a time"),
    )
    result, card = Result("sampling", given), load_card(given.weights)
    measured, exact = stored(given.weights, card), stored("oracle", card)
    result.note(f"The weights' sha256 begins with {card['sha256'][:12]}.")
    f, (c, _) = load_denoiser(given.weights), scenes(given.weights, given.batch)
    last = load_denoiser(given.weights).to(memory_format=torch.channels_last)
    variants = {"eager": f, "bf16": in_bf16(last)}
    if given.compile:
        start = time.perf_counter()
        variants |= {"compiled": torch.compile(f, dynamic=False)}
        variants |= {"compiled, bf16": in_bf16(torch.compile(last, dynamic=False))}
        for denoiser in (variants["compiled"], variants["compiled, bf16"]):
            for one in (c, c[:1]):
                recommended(denoiser, one, steps=1)
        result.note(f"Compiling for both batches took {time.perf_counter() - start:.0f} s, which no rate includes.")

    speed = {}
    for batch, past in ((1, c[:1]), (given.batch, c)):
        bound = given.bound if batch == 1 else given.first
        timed = published(f, past, max_steps=bound)
        evaluations = {"published": timed.evaluations.float().mean().item()}
        evaluations["recommended"] = recommended(f, past).evaluations.float().mean().item()
        every = dict(evaluations)
        if batch > 1:
            every["published"] = measured["published"]["evaluations"]
        cases = {("published", "eager"): lambda past=past, bound=bound: published(f, past, max_steps=bound)}
        for name, denoiser in variants.items():
            cases["recommended", name] = lambda past=past, denoiser=denoiser: recommended(denoiser, past)
        times = take_turns(cases, given.rounds)
        for case, each in times.items():
            whole = every[case[0]] / evaluations[case[0]]
            speed[batch, *case] = [t * whole for t in each], [t / evaluations[case[0]] for t in each], every[case[0]]
    result.table(
        "Sampling: samples a second, in turns",
        ["", "batch", "evaluations of a sample", "ms an evaluation of the batch", "samples a second", "× published"],
        [
            [
                f"{case}, {how}",
                batch,
                n,
                median_range([1e3 * t for t in one]),
                rates(whole, batch),
                ratio(speed[batch, "published", "eager"][0], whole),
            ]
            for (batch, case, how), (whole, one, n) in speed.items()
        ],
    )
    names = {"recommended": "recommended solver", "published": "published constants"}
    result.table(
        "Sampling: how well both are calibrated, from the sweep of chapter 3 on the same weights",
        ["", "denoiser", "slope of log odds", "share of blends", "evaluations"],
        [
            [names[k], where, found[k]["slope"], found[k]["blends"], found[k]["evaluations"]]
            for where, found in (("network", measured), ("exact", exact))
            for k in found
        ],
    )
    many, futures = scenes(given.weights, given.scenes)
    chosen = {}
    for name, denoiser in variants.items():
        x = torch.cat([recommended(denoiser, some).x for some in many.split(given.batch)])
        chosen[name] = choices.classify(choices.projection(x, futures))[:, 0]
    apart = {name: ((k == 0).float() - (chosen["eager"] == 0).float()) for name, k in chosen.items()}
    apart = {name: list(mean_interval(gap)) for name, gap in apart.items()}
    result.table(
        f"Sampling: choices of {len(many):,} samples, one a scene, from the same noise",
        ["", "first future", "second future", "blends", "choose otherwise than eager", "first future, share more"],
        [
            [
                name,
                *(int((k == v).sum()) for v in (0, 1, choices.BLEND)),
                int((k != chosen["eager"]).sum()),
                apart[name],
            ]
            for name, k in chosen.items()
        ],
    )
    result.table(
        "Sampling: times a step that a GPU's host would wait for it",
        ["", "a step"],
        [
            ["recommended solver", syncs_a_step(recommended, f, c[:2], 4, 8, "steps")],
            ["published constants", syncs_a_step(published, f, c[:2], 4, 8, "max_steps")],
        ],
    )
    rows = []
    processes = (
        ("recommended", "bf16", given.batch, given.batch),
        ("recommended", "eager", 1, 1),
        ("recommended", "eager", given.batch, given.batch),
        ("recommended", "eager", given.batch, given.batch // 4),
        ("published", "eager", given.batch, given.batch),
    )
    for sampler, how, batch, limit in processes[: 1 if given.quick else None]:
        child = in_child(__file__, given.weights, sampler, how, batch, limit)
        taken = child["peak"] - child["before"]
        rows.append([f"{names[sampler]}, {how}", batch, "all" if limit == batch else limit, child["peak"], taken])
    result.table(
        "Sampling: memory of a process that samples a batch",
        ["", "batch", "frames at once", "peak, MiB", "of which by sampling, MiB"],
        rows,
    )
    for batch in (1, given.batch):
        times = {case: speed[batch, *case][0] for case in cases}
        fastest = min((case for case in times if case[0] == "recommended"), key=lambda k: np.median(times[k]))
        for case in dict.fromkeys((("recommended", "eager"), fastest)):
            what = f"recommended solver, {case[1]}, batch of {batch}, samples a second × published constants"
            result.target(what, ratio(times["published", "eager"], times[case]), 10.0)
    for name in [name for name in variants if "bf16" in name]:
        gap = sorted(abs(v) for v in apart[name])
        what = f"share of first futures, {name}, distance from eager (and the ends of its interval)"
        result.target(what, Estimate(abs(apart[name][0]), gap[0], gap[-1], len(many), "t"), 0.01, at_least=False)
    result.finish()


if __name__ == "__main__":
    answer_as_child(memory)
    main()
