r"""Claims that can fail: a measured value against a bound that was fixed before measuring.

A notebook measures, :func:`check` decides and records. Three verdicts: a claim *holds* if its value meets the bound, it
*fails* if its whole confidence interval lies outside, and it is *undecided* between: the data were too few to tell. A
claim that fails stops the notebook in every runner, unless its failure is known and explained; then it stops the
notebook once the explanation has become untrue.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Literal

import numpy as np

from scorevid.companion.records import COLLECT_VARIABLE, Record, write_record
from scorevid.estimates import Estimate

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")  # it names the record's file
_BOUND = re.compile(rf"\s*(?:(<=|>=|<|>)\s*({_NUMBER})|in\s*\[\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\])\s*")


class ClaimError(AssertionError):
    """A claim did not come out as stated."""


@dataclass(frozen=True)
class Bound:
    """What decides a claim: "<= 0.1", "< 1", ">= 2", "> 0", or "in [0.9, 1.1]" with both ends allowed."""

    text: str
    low: float
    high: float
    open: bool = False

    @classmethod
    def parse(cls, text: str) -> Bound:
        """Read a bound. Raises ValueError for text of another form, and for an empty range."""
        match = _BOUND.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f'a bound reads "<= 0.1", "< 1", ">= 2", "> 0" or "in [0.9, 1.1]", got {text!r}')
        sign, limit, low, high = match.groups()
        if sign is None:
            low, high = float(low), float(high)
            if low > high:
                raise ValueError(f"the range of the bound {text!r} is empty")
            return cls(text.strip(), low, high)
        below = sign.startswith("<")
        ends = (-math.inf, float(limit)) if below else (float(limit), math.inf)
        return cls(text.strip(), *ends, open=len(sign) == 1)

    def __contains__(self, value: float) -> bool:
        if self.open:
            return self.low < value < self.high
        return self.low <= value <= self.high

    def verdict(self, value: float, interval: tuple[float, float]) -> Literal["holds", "fails", "undecided"]:
        """holds: the value is within; fails: the whole interval is outside; undecided: only the value is."""
        if value in self:
            return "holds"
        low, high = interval
        reaches = low in self or high in self or (low < self.low and high > self.high)
        return "undecided" if reaches else "fails"


def decide(estimate: Sequence[float], bound: str) -> Literal["holds", "fails", "undecided"]:
    """The verdict on an estimate, or on (value, low, high). Raises ValueError for a malformed bound."""
    value, *interval = estimate
    return Bound.parse(bound).verdict(value, interval)


def check(
    id: str,
    value: float | Sequence[float],
    *,
    interval: Sequence[float] | None = None,
    n: int,
    bound: str,
    fails: str | None = None,
    context: dict | None = None,
) -> Record:
    """Decide a claim, record it, and raise where it does not come out as stated.

    id: of the claim in ``book/claims.yml``. value: the measured figure, with its 95 % interval (low, high) from n
    independent cases; or all three in one, (value, low, high), without an interval. bound: as in the claim, see
    :class:`Bound`. fails: why the claim is known to fail; it is then recorded as failed without raising, and raises once
    the whole interval meets the bound. context: what else to record (seed, weights and their sha256).

    Raises :class:`ClaimError` for a claim that fails unexpectedly, or holds unexpectedly, after recording it. (In a sweep,
    which sets SCOREVID_CLAIMS_COLLECT, the record tells it and the notebook goes on to its other claims.) ValueError
    for NaN, an interval that is reversed or without the value, n that is no positive integer, a malformed id or bound,
    a failure without reason, or a context that JSON cannot hold.
    """
    if not (isinstance(id, str) and _ID.fullmatch(id)):
        raise ValueError(f"an id is lower-case letters, digits, dots and hyphens, got {id!r}")
    limits = Bound.parse(bound)
    if interval is None:
        value = list(value) if isinstance(value, Estimate) else value
        if np.ndim(value) != 1 or len(value) != 3:
            raise ValueError(f"{id}: without an interval, value must be (value, low, high), got {value!r}")
        value, *interval = value
    value, (low, high) = float(value), map(float, interval)
    if not all(map(math.isfinite, (value, low, high))):
        raise ValueError(f"{id}: value and interval must be finite, got {value}, [{low}, {high}]")
    if not low <= value <= high:
        raise ValueError(f"{id}: the interval [{low}, {high}] must contain the value {value}")
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{id}: n must be an integer of at least 1, got {n!r}")
    if fails is not None and not fails.strip():
        raise ValueError(f"{id}: say why the claim is known to fail")
    try:  # here and not in writing, which happens only where a folder is set
        context = json.loads(json.dumps(context or {}, default=_plain))
    except TypeError as problem:
        raise ValueError(f"{id}: the context must be plain data: {problem}") from None
    verdict = limits.verdict(value, (low, high))
    if fails is not None and verdict == "holds":
        verdict = "undecided"
    record = Record(id, value, low, high, int(n), limits.text, verdict, fails, None, context, _versions())
    error = None
    if verdict == "fails" and fails is None:
        error = f"the claim {id} fails: measured {record.text} ({value!r}), the bound is {limits.text}"
    elif fails is not None and low in limits and high in limits:
        error = f"the claim {id} is said to fail ({fails}), but holds: measured {record.text}, {limits.text}"
    record = replace(record, error=error)
    write_record(record)
    if error and os.environ.get(COLLECT_VARIABLE) != "1":
        raise ClaimError(error)
    return record


def _plain(value):
    """NumPy scalars, arrays and tensors as numbers and lists; anything else is not for a record."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")


def _versions() -> dict[str, str]:
    import torch

    import scorevid

    return {
        "scorevid": scorevid.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
