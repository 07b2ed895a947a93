r"""What the records of :mod:`scorevid.studies.natural.errors` say: errors in decibels, and a network's lead over baselines.

Errors are given as

.. math:: \text{PSNR} = -10 \log_{10} \text{(mean squared error)} \quad \text{in dB re 1 grey unit}^2 .

Intervals are over shots: patches of one shot are no independent cases. What a past frame is worth is
the PSNR with M frames less that with M − 1, on the same patches under the same noise. In bits a pixel it is the information
that the difference of the errors adds up to (:mod:`scorevid.measures.density`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from scorevid.estimates import Estimate, mean_interval
from scorevid.studies.natural.errors import BASELINES


def psnr(squared_error) -> np.ndarray:
    """−10 log₁₀ of mean squared errors in grey units², in dB. Raises ValueError for errors that are not positive."""
    squared_error = np.asarray(squared_error, dtype=float)
    if not (squared_error > 0).all():
        raise ValueError(f"squared errors must be positive, got {squared_error.tolist()}")
    return -10 * np.log10(squared_error)


def decibels(records: Sequence[dict], predictor: str, gain: str | None = None, where: str = "all") -> np.ndarray:
    """PSNR of a predictor on each shot at each σ, (shots, S) in dB; NaN for shots that have no such pixels.

    records: of :func:`~scorevid.studies.natural.errors.measure`. Raises ValueError for a predictor, gain or place that no
    record has.
    """
    rows = []
    for record in records:
        own = [e for e in record["errors"] if (e["predictor"], e["gain"], e["where"]) == (predictor, gain, where)]
        rows.append(psnr(own[0]["squared_error"]) if own else None)
    length = next((len(row) for row in rows if row is not None), None)
    if length is None:
        raise ValueError(f"no record has {predictor!r} with the gain {gain!r} for {where!r}")
    return np.array([np.full(length, np.nan) if row is None else row for row in rows])


def bits(records: Sequence[dict], sigmas: Sequence[float], less: str, more: str, where: str = "all") -> np.ndarray:
    """Information that further past frames add about the next frame, seen at each σ, (shots, S), in bits a pixel.

    less, more: predictors with fewer and with more past frames, "M = 1" and "M = 2" for the second.
    ½ ∫ (error with fewer frames less error with more) ds from s = 0 to 1/σ². The levels may be few: a monotone cubic (PCHIP)
    goes through the integrand over log σ. What lies beyond the greatest σ is added with the difference of errors that is
    found there. NaN and errors as of :func:`decibels`.
    """
    fewer, all_of_them = (10 ** (-decibels(records, name, where=where) / 10) for name in (less, more))
    place, added = np.log(sigmas), (fewer - all_of_them) / np.square(sigmas)
    found = np.full(added.shape, np.nan)
    for row in np.flatnonzero(np.isfinite(added).all(1)):
        curve = PchipInterpolator(place, added[row])
        found[row] = [curve.integrate(start, place[-1]) + added[row, -1] / 2 for start in place]
    return found / np.log(2)


def over_shots(values) -> list[Estimate]:
    """Mean over shots with its interval by Student's t, at each of S levels. values: (shots, S), NaN left out."""
    return [mean_interval(column[np.isfinite(column)]) for column in np.asarray(values, dtype=float).T]


def margins(records: Sequence[dict], gain: str = "own", of: str = "M = 2", where: str = "all") -> dict[str, np.ndarray]:
    """By how many dB a network is ahead of each baseline, shot by shot, (shots, S); NaN as in :func:`decibels`."""
    ours = decibels(records, of, where=where)
    return {name: ours - decibels(records, name, gain, where) for name in BASELINES}


def least_margin(
    records: Sequence[dict],
    sigmas: Sequence[float],
    low: float,
    high: float,
    names: Sequence[str] = BASELINES,
    of: str = "M = 2",
    gain: str | Sequence[str] = "own",
    where: str = "all",
) -> Estimate:
    """The smallest mean margin over these baselines with hindsight, at any σ in [low, high], in dB.

    gain: how they are joined with what is seen of the next frame, or several ways, all of which are to be beaten. The
    interval is that over shots for the baseline and level that came out worst, and does not cover that these were chosen for
    it. Raises ValueError where no σ lies in the range.
    """
    keep = [k for k, s in enumerate(sigmas) if low <= s <= high]
    if not keep:
        raise ValueError(f"one of the noise levels must lie in [{low}, {high}], got {list(sigmas)}")
    ways = [margins(records, one, of, where) for one in ([gain] if isinstance(gain, str) else gain)]
    return min(over_shots(ahead[name])[k] for ahead in ways for name in names for k in keep)
