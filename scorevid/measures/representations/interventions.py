r"""Change activations, and see what becomes of the answer: what a direction or a channel is for.

Within ``with steered(network, block, v, amount):`` the network runs with a + amount · v in the place of a block's output a, at
all pixels. A direction may be the difference of the mean channel averages at two noise levels: if a
blind network reads σ there, it then acts as at the other σ. Within ``with ablated(network, {block: channels}):`` channels are
zero, or what they are on average. Outside of the context the network is as it was, also after an error.

For a bare convolution (:mod:`scorevid.measures.representations.activations`) the change is made before the ReLU that follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from scorevid import checks
from scorevid.denoisers.protocol import denoise
from scorevid.measures.representations.activations import hooked


@contextmanager
def steered(network: nn.Module, block: str, direction: Tensor, amount: float = 1.0):
    """While this context is open, ``amount`` times a direction (channels,) is added to the output of a block.

    Raises ValueError for names that are no module, and, when the network is called, for other numbers of channels.
    """
    checks.number("amount", amount)
    if not isinstance(direction, Tensor) or direction.ndim != 1 or not direction.isfinite().all():
        raise ValueError(f"direction must be finite, (channels,), got {direction!r}")

    def add(name: str, output: Tensor) -> Tensor:
        _check_channels(name, output, len(direction))
        return output + amount * direction.to(output)[:, None, None]

    with hooked(network, add, [block]):
        yield network


@contextmanager
def ablated(network: nn.Module, channels: Mapping[str, Sequence[int]], means: Mapping[str, Tensor] | None = None):
    """While this context is open, these channels of these blocks are zero everywhere, or as ``means`` has them.

    channels: numbers of channels by name of the block. means: (channels,) of each block, averages over scenes of
    :func:`~scorevid.measures.representations.activations.channel_averages`, say. Raises ValueError as :func:`steered` does.
    """
    chosen = {name: torch.as_tensor(list(numbers), dtype=torch.long) for name, numbers in channels.items()}
    for name, numbers in chosen.items():
        if numbers.ndim != 1 or (numbers < 0).any():
            raise ValueError(f"channels must be numbers of 0 or more, of {name} got {numbers.tolist()}")
        if means is not None and (name not in means or means[name].ndim != 1):
            raise ValueError(f"means must be (channels,) of every block, not so for {name}")

    def replace(name: str, output: Tensor) -> Tensor:
        numbers = chosen[name].to(output.device)
        if len(numbers) and int(numbers.max()) >= output.shape[-3]:
            raise ValueError(f"channels of {name} must be less than {output.shape[-3]}, got {int(numbers.max())}")
        value = output.new_zeros(len(numbers))
        if means is not None:
            _check_channels(name, output, len(means[name]))
            value = means[name].to(output)[numbers]
        return output.index_copy(-3, numbers, value[:, None, None].expand(*output.shape[:-3], -1, *output.shape[-2:]))

    with hooked(network, replace, list(chosen)):
        yield network


@torch.no_grad()
def effect(
    change: AbstractContextManager, network: nn.Module, y: Tensor, c: Tensor, sigma: float | None = None
) -> tuple[Tensor, Tensor]:
    """Answers (B, 1, H, W) of a network as it is, and with a change.

    change: a :func:`steered` or :func:`ablated` of this network, not entered yet. y (B, 1, H, W), c (B, M, H, W).
    """
    checks.evaluation_mode(network)
    before = denoise(network, y, c, sigma)
    with change:
        return before, denoise(network, y, c, sigma)


def _check_channels(name: str, output: Tensor, n: int) -> None:
    if output.shape[-3] != n:
        raise ValueError(f"{name} must be given {output.shape[-3]} channels, got {n}")
