r"""Claims that can fail: a measured value against a bound that was fixed before measuring.

A notebook measures, :func:`check` decides and records. A claim *holds* if its whole confidence interval lies within the
bound. It *fails* if the whole interval lies outside. Otherwise it is *undecided*. A claim that fails stops the notebook in
every runner, unless its failure is known and explained. A claim that is said to fail stops the notebook when it holds.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Literal

import numpy as np

from scorevid.companion.records import COLLECT_VARIABLE, Badges, Record, write_record
from scorevid.estimates import Estimate, format_interval

Measured = Estimate | Sequence[float]  # an estimate, or (value, low, high)
Verdict = Literal["holds", "fails", "undecided"]
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


def decide(estimate: Measured, bound: Bound | str) -> Verdict:
    """holds: the whole interval meets the bound; fails: none of it does; undecided: a part of it does.

    Raises ValueError for a malformed bound.
    """
    limits = bound if isinstance(bound, Bound) else Bound.parse(bound)
    _, low, high = estimate
    if low in limits and high in limits:
        return "holds"
    reaches = low in limits or high in limits or (low < limits.low and high > limits.high)
    return "undecided" if reaches else "fails"


def _versions() -> dict[str, str]:
    import torch

    import scorevid

    packages = {"scorevid": scorevid, "torch": torch, "numpy": np}
    return {name: package.__version__ for name, package in packages.items()} | {"python": platform.python_version()}


def check(
    claim: str,
    estimate: Measured,
    *,
    n: int | None = None,
    bound: str,
    known_failure: str | None = None,
    context: dict | None = None,
) -> Record:
    """Decide a claim, record it, and raise where it does not come out as stated.

    claim: its id in ``book/claims.yml``. estimate: the measured figure with its 95 % interval. n: how many independent
    cases it rests on; the estimate's own n unless given. bound: as in the claim, see :class:`Bound`. known_failure: why the
    claim is known to fail; it then does so without raising, and raises once the whole interval meets the bound. context:
    what else to record (seed, weights and their sha256).

    Raises :class:`ClaimError` for a claim that fails unexpectedly, or holds unexpectedly, after recording it. (In a sweep,
    which sets SCOREVID_CLAIMS_COLLECT, the record tells it and the notebook goes on to its other claims.) ValueError
    for NaN, an interval that is reversed or without the value, n that is no positive integer, a malformed id or bound,
    a failure without reason, or a context that JSON cannot hold.
    """
    made = record(claim, estimate, bound, n, known_failure, context)
    write_record(made)
    if made.error and os.environ.get(COLLECT_VARIABLE) != "1":
        raise ClaimError(made.error)
    return made


def badges(*records: Record) -> Badges:
    """Several records as the result of one cell, a line each."""
    return Badges(records)


def record(
    claim: str, estimate: Measured, bound: str, n: int | None = None, known_failure=None, context=None
) -> Record:
    """What :func:`check` records, with the error that it raises; nothing is written."""
    if not (isinstance(claim, str) and _ID.fullmatch(claim)):
        raise ValueError(f"an id is lower-case letters, digits, dots and hyphens, got {claim!r}")
    limits = Bound.parse(bound)
    if np.shape(estimate) != (3,):
        raise ValueError(f"{claim}: the estimate must be an Estimate or (value, low, high), got {estimate!r}")
    value, low, high = map(float, estimate)
    if not -math.inf < low <= value <= high < math.inf:
        raise ValueError(f"{claim}: the estimate must be finite and within its interval, got {value} [{low}, {high}]")
    n = getattr(estimate, "n", None) if n is None else n
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{claim}: n must be an integer of at least 1, got {n!r}")
    if known_failure is not None and not known_failure.strip():
        raise ValueError(f"{claim}: known_failure must say why the claim is known to fail")
    try:  # here and not in writing, which happens only where a folder is set
        context = json.loads(json.dumps(context or {}, default=_plain))
    except TypeError as problem:
        raise ValueError(f"{claim}: the context must be plain data: {problem}") from None
    verdict, error = decide((value, low, high), limits), None
    found = f"measured {format_interval(value, low, high)}, n = {n:,} ({value!r}), the bound is {limits.text}"
    if verdict == "fails" and known_failure is None:
        error = f"the claim {claim} fails: {found}"
    elif verdict == "holds" and known_failure is not None:
        error = f"the claim {claim} is said to fail ({known_failure}), but holds: {found}"
    measured = {"value": value, "low": low, "high": high, "n": int(n), "bound": limits.text}
    return Record(
        claim, **measured, verdict=verdict, why=known_failure, error=error, context=context, versions=_versions()
    )


def _plain(value):
    """NumPy scalars, arrays and tensors as numbers and lists; anything else is not for a record."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r}")
