"""A compiled loss that is held against the eager one before it is trusted.

A compiler may get the loss right and lose gradients: training then goes on, seems well, and learns less. PyTorch 2.13 does so
on processors, in bf16, with the derivative of interpolation, where that is fused with certain neighbours.
:func:`scorevid.denoisers.unet.upsample2x` avoids it; other versions, machines and networks may have other such cases. So the
first compiled step of a run, and the first with frozen normalisation, is compared with an eager one.

Rounding alone sets gradients apart: those of a network that is trained to its end are small differences of large terms, and
in bf16 may be off by as much as they are long. What is lost altogether is shorter than that by far.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from scorevid.training.parallel import Processes

SHORTEST = 0.05  # of a compiled gradient to the eager one, in length; rounding leaves it about as long


class CheckedCompile:
    """The loss of a batch, compiled; eager from where the compiler fails, or loses gradients, which a warning tells.

    loss: of a batch, a scalar. network: whose gradients are compared. compile: whether to compile at all.
    """

    def __init__(self, loss: Callable[..., Tensor], network: nn.Module, compile: bool = True):
        self.eager, self.network, self.processes = loss, network, Processes()
        self.loss = torch.compile(loss) if compile else loss
        self.unchecked = compile  # whether the next step is to be compared; set it when the network changes its ways

    @property
    def compiles(self) -> bool:
        """Whether steps are compiled ones."""
        return self.loss is not self.eager

    def stop(self) -> None:
        """Go on without the compiler."""
        self.loss = self.eager

    def __call__(self, *batch: Tensor) -> Tensor:
        if self.compiles and self.unchecked:
            self._check(batch)
        self.unchecked = False
        return self.loss(*batch)

    def _check(self, batch: tuple[Tensor, ...]) -> None:
        fault = None
        try:
            if lost := lost_gradients(self.eager, self.loss, self.network.named_parameters(), batch):
                fault = f"the compiled step loses the gradients of {', '.join(lost)}"
        except Exception as problem:
            if self.processes.size > 1:  # the others would wait for this one
                raise
            said = str(problem).strip() or type(problem).__name__
            fault = f"torch.compile does not work here: {said.splitlines()[0]}"  # pages of a C++ compiler may follow
        if self.processes.any_of(fault is not None) == (True,):
            self.stop()
            fault = fault or "the compiled step loses gradients of another process"
            warnings.warn(f"{fault}; training goes on without torch.compile", stacklevel=3)


def lost_gradients(
    eager: Callable[..., Tensor],
    compiled: Callable[..., Tensor],
    parameters: Iterable[tuple[str, nn.Parameter]],
    batch: Iterable[Tensor],
) -> list[str]:
    """Names of the parameters whose gradient of the compiled loss is next to nothing beside that of the eager one.

    eager, compiled: the loss of a batch, a scalar each. parameters: names and parameters, as of ``named_parameters``. Also
    lost is a gradient that is not finite where the eager one is. Gradients kept in ``.grad`` stay as they are.
    """
    batch, named = list(batch), [(name, p) for name, p in parameters if p.requires_grad]
    of_eager, of_compiled = (
        torch.autograd.grad(loss(*batch), [p for _, p in named], allow_unused=True, materialize_grads=True)
        for loss in (eager, compiled)
    )
    return [
        name
        for (name, _), right, compared in zip(named, of_eager, of_compiled, strict=True)
        if right.isfinite().all() and not compared.norm() >= SHORTEST * right.norm()
    ]
