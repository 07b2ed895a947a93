"""What a linear decoder reads off representations of natural video, in plain rows: of patches, and of whole shots.

Motion and occlusion in a patch are decoded by :func:`~scorevid.measures.representations.readout.decode` in shots that
it was not fitted to. Whole shots, each the mean of its patches, are told apart from few labels
(:mod:`scorevid.studies.representations.few_labels`), which a file gives.

A row has measure ("decoding" or "few labels"), what (a target or a task), labelled (shots of either kind; None for
decoding), representation, block, kind ("r" or "auc"), estimate [value, low, high], shots, groups, and ahead: for the
network ``OURS``, by how much its estimate is larger than that of every other representation, of the same block or
without blocks.

What is independent are groups of shots, such as several of one house. Both patches and shots of one group are either
what a decoder is fitted to or what it is judged by. Intervals of decoding draw groups anew, and not what the decoders
were fitted to. Where nothing can be decoded, answers tend to the mean of the other folds, which is correlated with the
target below zero. A lead over such a representation is one over zero.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scorevid.estimates import Estimate, bootstrap
from scorevid.measures.representations.readout import Readout, decode
from scorevid.studies.representations.few_labels import ahead_of, tell_apart
from scorevid.studies.representations.natural_video import OURS, Features

CAMERAS = ("static", "pan", "zoom/forward", "hand-held")  #: kinds of camera in a file of labels; all but the first move
TASKS = {"moving camera": "camera", "human action": "motion"}  #: what is told apart, and the field that says it


def read_records(path: Path | str) -> dict[str, dict]:
    """What a JSON or .csv file says of shots, by name: see :func:`read_labels`, whose errors for the file it raises."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        records = list(csv.DictReader(text.splitlines())) if path.suffix == ".csv" else json.loads(text)
        names = [record["name"] for record in records]
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise ValueError(f"labels must be a .json or .csv file of records with a name, got {path.name}") from problem
    if len(set(names)) < len(names):
        raise ValueError(f"labels must be of different shots, got {max(names, key=names.count)} again")
    return dict(zip(names, records, strict=True))


def read_labels(path: Path | str, shots: Sequence[str]) -> dict[str, dict]:
    """What a file says of these shots, by name: "group", and for each of ``TASKS`` whether it is so, a bool, where it
    says that.

    path: a JSON file of a list of records, or a .csv file with a line for each. They have "name" and may have "camera",
    one of ``CAMERAS``, "motion", "human action" or another word, and "group", which is the name unless given. Records
    of other shots, which a file for several sources has, are left out.

    Raises ValueError for a file that is missing or of another kind, a record without a name, a name that comes twice,
    an unknown camera, and where no shot is labelled.
    """
    path, found = Path(path), {}
    for record in (r for name, r in read_records(path).items() if name in set(shots)):
        camera, moving = (record.get(field) for field in TASKS.values())
        if camera and camera not in CAMERAS:
            raise ValueError(f"camera must be one of {', '.join(CAMERAS)}, got {camera!r} of {record['name']}")
        known = {"moving camera": camera and camera != CAMERAS[0], "human action": moving and moving == "human action"}
        given = {task: bool(value) for task, value in known.items() if record.get(TASKS[task])}
        found[record["name"]] = {"group": record.get("group") or record["name"]} | given
    if not any(found[name].keys() & TASKS for name in found):
        raise ValueError(f"labels must be of shots that are measured, {path.name} has none of them")
    return found


def decoded(
    features: Features,
    targets: Mapping[str, np.ndarray],
    clip: Sequence[str],
    labels: Mapping[str, dict],
    seed: int = 0,
) -> list[dict]:
    """Rows of targets (N,) each decoded from every representation of N patches.

    clip: the names of their shots. labels: as of :func:`read_labels`, of which the groups are used; a shot that they
    lack is a group by itself. Raises ValueError as ``decode`` does, and for labels of shots that no patch is of.
    """
    groups, rows = _groups(clip, labels), []
    for what, target in ((what, target) for what, target in targets.items() if np.ptp(target) > 0):
        found = {key: decode(x, target, groups, seed=seed) for key, x in features.items()}
        common = {"measure": "decoding", "what": what, "labelled": None, "kind": "r", "shots": len(set(clip))}
        for key, readout in found.items():
            ahead = {k: _more(readout, found[k], target, groups, seed) for k in _others(key, found)}
            rows.append(_row(common, key, readout.estimate, ahead))
    return rows


def told_apart(
    features: Features,
    clip: Sequence[str],
    labels: Mapping[str, dict],
    labelled: Sequence[int],
    *,
    draws: int = 200,
    seed: int = 0,
) -> list[dict]:
    """Rows of shots told apart by each of ``TASKS``, from so many labelled shots of either kind.

    Arguments are as of :func:`decoded`; labelled: several numbers. A task whose kinds have no more groups than are to
    be labelled is left out, and so are shots that nothing is said of. Raises ValueError for labels of shots that no
    patch is of.
    """
    rows, groups = [], dict(zip(clip, _groups(clip, labels), strict=True))
    for task in TASKS:
        names = [name for name in groups if task in labels.get(name, {})]
        positive, own = np.array([labels[name][task] for name in names], dtype=bool), [groups[name] for name in names]
        means = {key: _shot_means(x, clip, names) for key, x in features.items()}
        kinds = [len({g for g, p in zip(own, positive, strict=True) if p == kind}) for kind in (True, False)]
        for number in (n for n in labelled if n < min(kinds)):
            found = tell_apart(means, positive, number, own, draws=draws, seed=seed)
            common = {"measure": "few labels", "what": task, "labelled": number, "kind": "auc", "shots": len(names)}
            for key, result in found.items():
                ahead = {k: ahead_of(result, found[k]) for k in _others(key, found)}
                rows.append(_row(common, key, result.auc, ahead))
    return rows


def _groups(clip: Sequence[str], labels: Mapping[str, dict]) -> list[str]:
    if unknown := set(labels) - set(clip):
        raise ValueError(f"labels must be of shots that are measured, got those of {', '.join(sorted(unknown))}")
    return [labels.get(name, {}).get("group", name) for name in clip]


def _shot_means(x: np.ndarray, clip: Sequence[str], names: Sequence[str]) -> np.ndarray:
    clip = np.asarray(clip)
    return np.stack([x[clip == name].mean(0) for name in names]) if len(names) else x[:0]


def _others(key: tuple[str, str], found: Mapping) -> list[tuple[str, str]]:
    """The representations that ``OURS`` is compared with: of the same block, or without blocks."""
    return [k for k in found if key[0] == OURS and k[0] != OURS and k[1] in (key[1], "")]


def _row(common: dict, key: tuple[str, str], estimate: Estimate, ahead: Mapping) -> dict:
    found = {"representation": key[0], "block": key[1], "estimate": _rounded(estimate), "groups": estimate.n}
    return common | found | {"ahead": {name: _rounded(value) for (name, _), value in ahead.items()}}


def _rounded(estimate: Estimate) -> list[float | None]:
    return [round(v, 4) if math.isfinite(v) else None for v in estimate]


def _more(one: Readout, other: Readout, target: np.ndarray, groups: Sequence[str], seed: int) -> Estimate:
    """By how much the correlation of one readout with the target is larger than that of another, or than zero."""
    own = np.unique(list(groups), return_inverse=True)[1]
    ours, theirs = (_sums(readout.answers, target, own) for readout in (one, other))

    def more(drawn: np.ndarray) -> float:
        return _correlation(ours[drawn].sum(0)) - max(0.0, _correlation(theirs[drawn].sum(0)))

    return bootstrap(more, int(own.max()) + 1, seed=seed)


def _sums(a: np.ndarray, t: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums over each group that a correlation is made of, (G, 6)."""
    a, t = a - a.mean(), t - t.mean()
    return np.stack([np.bincount(groups, v) for v in (np.ones_like(a), a, t, a * a, t * t, a * t)], 1)


def _correlation(sums: np.ndarray) -> float:
    n, a, t, aa, tt, at = sums
    varies = (aa - a * a / n) * (tt - t * t / n)
    return float((at - a * t / n) / math.sqrt(varies)) if varies > 0 else math.nan
