"""Batches made one step before they are asked for, so that training does not wait while frames are read from the disk."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from scorevid.training.steps import Batch


class Ahead:
    """The batch of a step, from ``make(step)``, which is to depend on the step alone.

    After :meth:`start` a thread makes the batch of the next step meanwhile. What is trained on is the same.
    """

    def __init__(self, make: Callable[[int], Batch]):
        self._make = make
        self._pool: ThreadPoolExecutor | None = None
        self._pending: tuple[int, Future] | None = None

    def start(self, ahead: bool) -> None:
        """From now on, make batches ahead or not. One that was made before is forgotten."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pending = None
        self._pool = ThreadPoolExecutor(1, "batches") if ahead else None

    def __call__(self, step: int) -> Batch:
        """The batch of this step. Raises what ``make`` raises."""
        if self._pool is None:
            return self._make(step)
        pending, self._pending = self._pending, None
        batch = pending[1].result() if pending and pending[0] == step else self._make(step)
        self._pending = step + 1, self._pool.submit(self._make, step + 1)
        return batch
