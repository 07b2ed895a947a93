r"""How well two kinds of shots are told apart by a classifier that has seen few labels.

A draw labels :math:`\ell` shots of either kind, each of another group, such as a house in which several were taken.
Logistic regression is fitted to these and scores all shots of other groups. Features are in units of their deviation
over the labelled shots, clipped, and divided by the root of their number, so that one penalty suits representations of
any size. It is fixed: few labels leave nothing to choose it by.

The area under the ROC curve (AUC) is the share of pairs of two scored shots of different kind whose scores are in the
right order, ties counting half, over all draws. So it is what *one* such classifier is to be expected to have: scores
of several are never averaged. All representations have the same draws.

What is independent are the groups. The interval is that of the jackknife: each group is left out in turn, which takes
away its pairs and the draws that labelled it. So it covers both that other shots could have been judged, and that
others could have been labelled.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import stdtrit

from scorevid import checks
from scorevid.estimates import Estimate
from scorevid.measures.representations.readout import CLIPPED

PENALTY = 1.0  # inverse, of logistic regression


@dataclass(frozen=True)
class FewLabels:
    """What D classifiers made of the shots of G groups.

    won, pairs: (D, G + 1) how many pairs of each group were in the right order, and how many were scored; the last
    column is of all groups, in which each pair counts once. labelled: (D, G) bool, which groups the classifier has
    seen.
    """

    won: np.ndarray
    pairs: np.ndarray
    labelled: np.ndarray

    @property
    def auc(self) -> Estimate:
        """The area under the curve of a classifier from few labels, with its interval over groups, cut at 0 and 1."""
        found = _jackknife(*self._without())
        return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))

    def _without(self) -> tuple[float, np.ndarray]:
        """The AUC, and the (G,) of what is left without each group."""
        kept = ~self.labelled
        won, pairs = (((v[:, -1:] - v[:, :-1]) * kept).sum(0) for v in (self.won, self.pairs))
        with np.errstate(invalid="ignore"):
            return self.won[:, -1].sum() / self.pairs[:, -1].sum(), won / pairs


def ahead_of(one: FewLabels, other: FewLabels) -> Estimate:
    """By how much the AUC of one is larger than that of another from the same draws, with its interval over groups."""
    return _jackknife(*(a - b for a, b in zip(one._without(), other._without(), strict=True)))


def tell_apart(
    features: Mapping[Hashable, np.ndarray],
    positive: Sequence[bool],
    labelled: int,
    groups: Sequence[Hashable] | None = None,
    *,
    draws: int = 200,
    seed: int = 0,
) -> dict[Hashable, FewLabels]:
    """Tell n shots of two kinds apart by each of several representations, from ``labelled`` shots of each kind.

    features: by name, (n, k) numbers of each shot. positive: (n,) bool, which shots are of the one kind. groups: (n,),
    of which group each shot is; each is its own if not given. draws: of the labelled shots.

    Raises ValueError for shapes that do not fit, features that are not finite, and kinds that have no more groups than
    are labelled. Raises ModuleNotFoundError without scikit-learn.
    """
    linear = checks.installed("sklearn.linear_model", "learn")
    checks.integer("labelled", labelled)
    checks.integer("draws", draws)
    checks.integer("seed", seed, 0)
    positive = np.asarray(positive, dtype=bool)
    groups = np.arange(len(positive)) if groups is None else np.unique(list(groups), return_inverse=True)[1]
    given = {name: np.asarray(x, dtype=float) for name, x in features.items()}
    for name, x in given.items():
        if x.ndim != 2 or len(x) != len(positive) or not x.size or not np.isfinite(x).all():
            raise ValueError(f"features {name!r} must be ({len(positive)}, k) finite numbers, got {x.shape}")
    if groups.shape != positive.shape:
        raise ValueError(f"groups must be ({len(positive)},), got {groups.shape}")
    for kind in (True, False):
        if (there := len(np.unique(groups[positive == kind]))) <= labelled:
            raise ValueError(
                f"labelled must be less than the groups of either kind, of which one has {there}, got {labelled}"
            )
    generator, found = np.random.default_rng(seed), {name: [] for name in given}
    n, pairs, labelled_groups = groups.max() + 1, [], []
    for _ in range(draws):
        fitted = _drawn(positive, groups, labelled, generator)
        seen = np.isin(np.arange(n), groups[fitted])
        both = np.outer(~seen[groups[positive]], ~seen[groups[~positive]]).astype(float)
        pairs.append(_by_group(both, groups, positive, n))
        labelled_groups.append(seen)
        for name, x in given.items():
            scaled = _scaled(x, fitted)
            score = linear.LogisticRegression(C=PENALTY).fit(scaled[fitted], positive[fitted]).decision_function(scaled)
            order = 0.5 + 0.5 * np.sign(score[positive][:, None] - score[~positive])
            found[name].append(_by_group(both * order, groups, positive, n))
    return {name: FewLabels(np.array(won), np.array(pairs), np.array(labelled_groups)) for name, won in found.items()}


def _by_group(of_pairs: np.ndarray, groups: np.ndarray, positive: np.ndarray, n: int) -> np.ndarray:
    """Sums over the pairs (P, Q) that each of n groups has a shot in, and over all pairs, (n + 1,)."""
    one, other = groups[positive], groups[~positive]
    within = of_pairs * (one[:, None] == other)  # counted for either shot
    sums = np.bincount(one, (of_pairs - within).sum(1), n) + np.bincount(other, of_pairs.sum(0), n)
    return np.append(sums, of_pairs.sum())


def _drawn(positive: np.ndarray, groups: np.ndarray, labelled: int, generator: np.random.Generator) -> np.ndarray:
    """So many shots of either kind, those of one kind all of different groups."""
    chosen: list[int] = []
    for kind in (True, False):
        taken = set()
        for k in generator.permutation(np.flatnonzero(positive == kind)):
            if len(taken) < labelled and groups[k] not in taken:
                taken.add(groups[k])
                chosen.append(k)
    return np.array(chosen)


def _scaled(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    deviation = x[fitted].std(0)
    safe = np.where(deviation > 1e-9 * deviation.max(), deviation, np.inf)
    return np.clip((x - x[fitted].mean(0)) / safe, -CLIPPED, CLIPPED) / np.sqrt(x.shape[1])


def _jackknife(value: float, without: np.ndarray) -> Estimate:
    """An estimate with Student's interval from what it is without each of n groups, (n,), NaN where that is nothing."""
    without = without[np.isfinite(without)]
    n = len(without)
    margin = np.sqrt((n - 1) / n * np.square(without - without.mean()).sum()) * stdtrit(n - 1, 0.975)
    return Estimate(float(value), float(value - margin), float(value + margin), n, "jackknife")
