r"""One training run on several processes, by Lightning Fabric.

The loss of an update is a mean over the images of its batch, so with the batch cut into N equal slices

.. math:: L = \frac1N \sum_{r=1}^N L_r, \qquad \nabla L = \frac1N \sum_{r=1}^N \nabla L_r,

and a process that has drawn the whole batch, as one process would, and keeps its slice needs from the others the average of
the gradients alone. While the normalisation follows the batch it needs their statistics as well: with the means
:math:`m_r` and variances :math:`v_r` of the slices, those of the batch are

.. math:: m = \frac1N \sum_r m_r, \qquad v = \frac1N \sum_r \big( v_r + (m_r - m)^2 \big).

Since :math:`\partial v / \partial m = 0`, only the second average takes part in differentiation. The derivative of an average
over processes is the average over processes of the derivatives.

What the processes have to agree on beside the arithmetic, when to stop and when to save, goes over the processors, so that
no GPU waits for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn

from scorevid import checks
from scorevid.training.steps import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Processes:
    """The processes of a run, as one of them sees them; the only one there is, unless a fabric is given.

    fabric: of :func:`make_processes`, not launched yet. From :meth:`start` on, each method but ``shard`` is to be called by
    all processes alike.
    """

    def __init__(self, fabric: Fabric | None = None):
        self.fabric, self.cpu_group = fabric, None
        self.size = 1 if fabric is None else fabric.world_size

    @property
    def first(self) -> bool:
        """Whether this one speaks for all: writes the log and the checkpoints, shows the progress."""
        return self.fabric is None or self.fabric.is_global_zero

    def start(self) -> None:
        """Start the other processes, unless somebody did, and wait until all are there."""
        if self.fabric is not None:
            self.fabric.launch()
            self.cpu_group = dist.new_group(backend="gloo")

    def shard(self, batch: Batch) -> Batch:
        """This process's part of a batch that all have drawn alike."""
        if self.size == 1:
            return batch
        n = len(batch[0]) // self.size
        return tuple(t[self.fabric.global_rank * n :][:n] for t in batch)

    def reduce_mean(self, x: Tensor) -> Tensor:
        """The mean of x over the processes; no derivative."""
        return x if self.size == 1 else all_reduce_mean(x.detach())

    def any_of(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether some process raises it."""
        if self.size == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.int32)
        dist.all_reduce(raised, dist.ReduceOp.MAX, self.cpu_group)
        return tuple(map(bool, raised.tolist()))

    def by_first(self, action: Callable[[], None]) -> None:
        """Have the first process alone do something; where it fails in writing, all of them raise."""
        problem = None
        try:
            if self.first:
                action()
        except (ValueError, OSError) as raised:
            problem = raised
        if self.any_of(problem is not None) == (True,):
            raise problem or OSError("the first process has failed, and says why")

    def broadcast(self, value: int) -> int:
        """The first process's value."""
        if self.size == 1:
            return value
        shared = torch.tensor(value)
        dist.broadcast(shared, 0, self.cpu_group)
        return int(shared)

    def wrap_ddp(self, loss: Callable[..., Tensor], network: nn.Module) -> Callable[..., Tensor]:
        """The loss of this process's slice, whose ``backward`` leaves the gradients of the whole batch's in the network."""
        if self.size == 1:
            return loss
        return self.fabric.setup_module(_Loss(loss, network), move_to_device=False)


class _Loss(nn.Module):
    """A loss as a module, so that DDP knows the network's parameters and when its gradients are ready."""

    def __init__(self, loss: Callable[..., Tensor], network: nn.Module):
        super().__init__()
        self.loss, self.network = loss, network

    def forward(self, *batch: Tensor) -> Tensor:
        return self.loss(*batch)


@torch.library.custom_op("scorevid::all_reduce_mean", mutates_args=())
def _all_reduce_mean(x: Tensor) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total / dist.get_world_size()


@_all_reduce_mean.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


_all_reduce_mean.register_autograd(lambda _, derivative: all_reduce_mean(derivative))


def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean of x over all processes, differentiable, and one opaque operation to ``torch.compile``."""
    return torch.ops.scorevid.all_reduce_mean(x)


def make_processes(device: str = "auto", devices: int = 1, nodes: int = 1) -> tuple[Processes, torch.device | None]:
    """Processes to be started, and the device of this one; (the only process, None) where one is asked for.

    device: auto, cpu or cuda. devices: processes on each machine. nodes: machines. Under torchrun both are what torchrun was
    told. Raises ValueError for numbers below 1, other ones than torchrun's, more GPUs than there are, a device that several
    processes cannot share, and several machines that do not know of one another, ModuleNotFoundError without Lightning Fabric.
    """
    checks.integer("devices", devices, most=max(8, 4 * (os.cpu_count() or 1)))
    checks.integer("nodes", nodes, most=10_000)
    if started := dist.is_available() and dist.is_torchelastic_launched():
        told = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["GROUP_WORLD_SIZE"])
        if (devices, nodes) not in ((1, 1), told):
            raise ValueError(f"torchrun started {told[0]} processes on {told[1]} machines, not {devices} on {nodes}")
        devices, nodes = told
    if devices * nodes == 1:
        return Processes(), None
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"several processes take the device cpu, cuda or auto, got {device!r}")
    if kind == "cuda" and torch.cuda.device_count() < devices:
        raise ValueError(f"{devices} GPUs are asked for, and there are {torch.cuda.device_count()}")
    fabric, environments = (checks.installed(f"lightning_fabric{m}", "parallel") for m in ("", ".plugins.environments"))
    known = (environments.SLURMEnvironment, environments.LSFEnvironment, environments.MPIEnvironment)
    started = started or any(environment.detect() for environment in known)
    missing = {"MASTER_ADDR", "MASTER_PORT", "NODE_RANK"} - set(os.environ)
    if nodes > 1 and missing and not started:
        raise ValueError(f"several machines find one another by variables: set {', '.join(sorted(missing))}")
    made = fabric.Fabric(accelerator=kind, devices=devices, num_nodes=nodes, strategy="ddp")
    return Processes(made), made.device


def is_first() -> bool:
    """Whether this process is the first of its run, or none of several."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    names = ("RANK",) if "RANK" in os.environ else ("LOCAL_RANK", "NODE_RANK")  # Lightning sets these before it begins
    return all(int(os.environ.get(name, 0)) == 0 for name in names)
