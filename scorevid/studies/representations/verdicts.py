r"""One number a network for each property, and whether two methods differ in it: verdicts over seeds and scenes.

The numbers, all of the coarsest block (:data:`~scorevid.studies.representations.inside.MIDDLE`) unless said otherwise:

* "sparsity": the Gini coefficient of φ, mean over the noise levels;
* "readout": the mean of what is decoded, r or 2 AUC − 1, over all targets but the log odds;
* "adaptation": the overlap of the active sets of all blocks at a low and a high noise level;
* "similarity": mean CKA of φ with the score networks of the other two seeds, over the noise levels.

Two methods are compared by the difference of their means over seeds. Its margin joins Welch's over seeds with the mean margins
over scenes in quadrature. These are the same scenes for all networks, and the margins of targets and networks are averaged as
if they were one, so it is wider than need be. Methods *differ* where the whole interval lies outside of ± :data:`LIMIT`,
and *do not differ* where it lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import stdtrit

from scorevid import checks
from scorevid.estimates import Estimate
from scorevid.studies.representations.inside import MIDDLE
from scorevid.studies.representations.networks import SEEDS

LIMIT = 0.05  #: of a difference that counts as none
METHODS = {  #: as tables call them
    "blind": "score network",
    "edm": "EDM",
    "flow": "flow matching",
    "regression": "regression",
    "untrained": "untrained",
}
DIFFUSION = ("edm", "flow")
ALONE = ("sparsity", "readout", "adaptation")  #: properties of a network by itself
PROPERTIES = (*ALONE, "similarity")


def figure(rows: Iterable[dict], of: str, network: str, block: str = MIDDLE) -> Estimate:
    """A property of a network from stored rows; the interval is the mean one over scenes. ValueError where there are none.

    block: from which all but the adaptation is taken.
    """
    checks.one_of("of", of, PROPERTIES)
    found = list(_figures(rows, of, network, block))
    if not found:
        raise ValueError(f"rows must have the {of} of {network}, got none")
    return Estimate(*np.mean(found, 0).tolist(), None, "t")


def figures(rows: Sequence[dict], of: str, method: str, block: str = MIDDLE) -> list[Estimate]:
    """A property of the networks of a method, one a seed."""
    return [figure(rows, of, f"{method}-{seed}", block) for seed in SEEDS]


def over_seeds(values: Sequence[Estimate]) -> Estimate:
    """Mean over seeds; the margin joins Student's over seeds with the mean margin over scenes in quadrature."""
    return difference(values, [])


def difference(ours: Sequence[Estimate], *others: Sequence[Estimate]) -> Estimate:
    """Mean of ours over seeds less the mean of the methods given, with its interval; see the module."""
    groups = [(1.0, ours), *((-1.0 / len(others), other) for other in others if other)]
    value = sum(weight * np.mean([e.value for e in group]) for weight, group in groups)
    parts = [
        (weight**2 * np.var([e.value for e in group], ddof=1) / len(group), len(group) - 1) for weight, group in groups
    ]
    scenes = math.hypot(*(weight * np.mean([(e.high - e.low) / 2 for e in group]) for weight, group in groups))
    variance = sum(v for v, _ in parts)
    freedom = variance**2 / sum(v**2 / n for v, n in parts) if variance > 0 else 1.0
    margin = math.hypot(scenes, math.sqrt(variance) * stdtrit(freedom, 0.975))
    return Estimate(float(value), float(value - margin), float(value + margin), len(ours), "t")


def verdict(gap: Estimate) -> str:
    """ "differs", "does not differ" or "undecided"."""
    if gap.low > LIMIT or gap.high < -LIMIT:
        return "differs"
    return "does not differ" if gap.low >= -LIMIT and gap.high <= LIMIT else "undecided"


def _figures(rows: Iterable[dict], of: str, network: str, block: str) -> Iterable[list[float]]:
    seed = network.split("-")[1]
    for row in rows:
        kind = row["kind"]
        if of == "similarity" and kind == "similarity" and row["measure"] == "cka" and row["block"] == block:
            pair = {row["one"], row["other"]}
            others = {f"blind-{other}" for other in SEEDS if str(other) != seed}
            if network in pair and pair - {network} <= others:
                yield row["figure"]
        elif row.get("network") != network:
            continue
        elif of == "sparsity" and kind == "sparsity" and row["block"] == block:
            yield row["gini"]
        elif of == "adaptation" and kind == "overlap":
            yield row["overlap"]
        elif of == "readout" and kind == "readout" and row["block"] == block and row["target"] != "log odds":
            yield row["figure"] if row["measure"] == "r" else [2 * v - 1 for v in row["figure"]]
