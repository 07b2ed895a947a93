"""Several measurements at a time, in processes of their own with one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch


def side_by_side(function: Callable, *arguments: Iterable, workers: int = 2) -> Iterator:
    """As ``map(function, *arguments)``, ``workers`` calls at a time; in their order, each as soon as those before are there.

    Function and arguments are pickled, and what a call raises is raised here.
    """
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(function, *arguments)
