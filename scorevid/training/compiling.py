"""Whether a compiled step has lost gradients that the eager one has.

A compiler may get the loss right and lose gradients: training then goes on, seems well, and learns less. PyTorch 2.13 does so
on processors, in bf16, with the derivative of interpolation, where that is fused with certain neighbours.
:func:`scorevid.denoisers.unet.upsample2x` avoids it; other versions, machines and networks may have other such cases. So the first
compiled step of a run, and the first with settled normalisation, is compared with an eager one.

Rounding alone sets gradients apart: those of a network that is trained to its end are small differences of large terms, and
in bf16 may be off by as much as they are long. What is lost altogether is shorter than that by far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

SHORTEST = 0.05  # of a compiled gradient to the eager one, in length; rounding leaves it about as long


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
        for (name, _), right, found in zip(named, of_eager, of_compiled, strict=True)
        if right.isfinite().all() and not found.norm() >= SHORTEST * right.norm()
    ]
