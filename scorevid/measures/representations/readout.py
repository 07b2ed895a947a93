r"""What a linear decoder reads off a representation, in scenes that it was not fitted to.

A continuous target is decoded by ridge regression, and judged by the correlation r of target and answer. A binary one is
decoded by logistic regression, and judged by the area under the ROC curve (AUC): the probability that the answers of two
scenes of different kind are in the right order. Both use features in units of their deviation, clipped at :data:`CLIPPED`, and
choose their penalty by an inner cross-validation. Scenes of one group, such as a shot, are always in the same fold.

The answers are those of the fold in which a scene was left out. The interval draws the groups anew with replacement. It does
not draw anew what the decoder was fitted to. Where nothing can be decoded, pooled answers of several folds tend to an r a
little below zero, as each fold's mean is that of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from scorevid import checks
from scorevid.estimates import Estimate, bootstrap

PENALTIES = np.logspace(-2, 6, 9)  #: of ridge regression, for features of unit deviation
STRENGTHS = np.logspace(-4, 0, 5)  #: inverse penalties of logistic regression
INNER = 3  #: folds by which the penalty is chosen
CLIPPED = 5.0  #: deviations: a channel that hardly ever answers could otherwise decide an answer by itself


@dataclass(frozen=True)
class Readout:
    """kind: "r" or "auc". estimate: with its interval over groups. answers: (n,) out-of-fold, of each scene."""

    kind: str
    estimate: Estimate
    answers: np.ndarray


def decode(features, target, groups=None, *, folds: int = 5, seed: int = 0) -> Readout:
    """Decode a target from features of n scenes, by cross-validation.

    features: (n, …) numbers, averages of channels or pixels, say; axes after the first are flattened. target: (n,), bool for a
    binary one. groups: (n,) to which group each scene belongs; each is its own if not given. folds: 2 or more. seed: of
    folds and bootstrap.

    Raises ValueError for shapes that do not fit, values that are not finite, fewer groups than twice the folds, and a target
    that does not vary or has too few groups of one kind for the folds. Raises ModuleNotFoundError without scikit-learn.
    """
    x, t, groups = _checked(features, target, groups, folds)
    binary = t.dtype == bool
    answers = np.full(len(t), np.nan)
    for fitted, left_out in _splits(t, groups, folds, seed):
        scaled = _scaled(x, fitted)
        model = _model(binary, t[fitted], groups[fitted], seed).fit(scaled[fitted], t[fitted])
        answers[left_out] = (model.decision_function if binary else model.predict)(scaled[left_out])
    statistic = area_under_curve if binary else correlation
    order, sizes = np.argsort(groups, kind="stable"), np.bincount(groups)
    members = np.split(order, np.cumsum(sizes)[:-1])

    def of_groups(drawn: np.ndarray) -> float:
        rows = order[drawn] if sizes.max() == 1 else np.concatenate([members[k] for k in drawn])
        return statistic(answers[rows], t[rows])

    return Readout("auc" if binary else "r", bootstrap(of_groups, len(sizes), seed=seed), answers)


def correlation(answers: np.ndarray, target: np.ndarray) -> float:
    """Of answers with their target, (n,) each; NaN where either does not vary."""
    if np.ptp(answers) == 0 or np.ptp(target) == 0:
        return np.nan
    return float(np.corrcoef(answers, target)[0, 1])


def area_under_curve(answers: np.ndarray, target: np.ndarray) -> float:
    """AUC of answers (n,) for a target (n,) of bool, ties counting half; NaN where there is one kind only."""
    n, positive = len(target), int(target.sum())
    if positive in (0, n):
        return np.nan
    return float((rankdata(answers)[target].sum() - positive * (positive + 1) / 2) / (positive * (n - positive)))


def _splits(target: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    splitters = checks.installed("sklearn.model_selection", "learn")
    kind = splitters.StratifiedGroupKFold if target.dtype == bool else splitters.GroupKFold
    return kind(folds, shuffle=True, random_state=seed).split(target, target, groups)


def _scaled(x: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Features about their mean over the fitted scenes and in units of their deviation there, clipped; constant ones are 0."""
    deviation = x[fitted].std(0)
    safe = np.where(deviation > 1e-9 * deviation.max(), deviation, np.inf)
    return np.clip((x - x[fitted].mean(0)) / safe, -CLIPPED, CLIPPED)


def _model(binary: bool, target: np.ndarray, groups: np.ndarray, seed: int):
    """The decoder, which chooses its penalty by leaving out parts of what it is fitted to."""
    linear = checks.installed("sklearn.linear_model", "learn")
    if not binary and len(np.unique(groups)) == len(groups):
        return linear.RidgeCV(PENALTIES)  # leaves out one scene at a time, at no cost
    if binary:
        decoder, grid, score = linear.LogisticRegression(max_iter=1000), {"C": STRENGTHS}, "roc_auc"
    else:
        decoder, grid, score = linear.Ridge(), {"alpha": PENALTIES}, "neg_mean_squared_error"
    inner = list(_splits(target, groups, INNER, seed))
    return checks.installed("sklearn.model_selection", "learn").GridSearchCV(decoder, grid, cv=inner, scoring=score)


def _checked(features, target, groups, folds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    checks.integer("folds", folds, 2)
    t = np.asarray(target)
    t = t if t.dtype == bool else t.astype(float)
    x = np.asarray(features, dtype=float)
    if t.ndim != 1 or x.ndim < 2 or len(x) != len(t) or not x.size:
        raise ValueError(f"features must be (n, …) and target (n,), got {x.shape} and {t.shape}")
    x = x.reshape(len(x), -1)
    if not (np.isfinite(x).all() and np.isfinite(t).all()):
        raise ValueError("features and target must be finite, got NaN or infinite values")
    groups = np.arange(len(t)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if groups.shape != t.shape or groups.max() + 1 < 2 * folds:
        raise ValueError(f"groups must be ({len(t)},), twice as many as the {folds} folds or more, got {groups.shape}")
    if np.ptp(t.astype(float)) == 0:
        raise ValueError("target must vary, got the same everywhere")
    if t.dtype == bool and min(len(np.unique(groups[t])), len(np.unique(groups[~t]))) < 2 * folds:
        raise ValueError(f"target must have {2 * folds} groups of either kind or more, got {int(t.sum())} of {len(t)}")
    return x, t, groups
