r"""Activations of any network of the package, block by block, as they are while it denoises.

A *block* is a member of one of a network's rows of modules (``nn.ModuleList`` or ``nn.Sequential``) that convolves over more
than a pixel. These are the scales of the encoder and the decoder of a U-Net, alone or as the backbone of another network,
the cells of :class:`~scorevid.denoisers.predictors.convlstm.ConvLSTM`, and the translator of
:class:`~scorevid.denoisers.predictors.simvp.SimVP`. Its activations a are what it returns. A bare convolution is followed by a
ReLU in all networks, and counts with it.

.. math:: \varphi_k(x) = \mathbb{E}_z\, \frac{1}{|\Omega|} \sum_{i \in \Omega} a_{k,i}(x + \sigma z,\, c)

is the average of channel k over the pixels i of the block, and over the noise. In the middle block of unconditional image
denoisers it is sparse and tells images apart (Kadkhodaie, Mallat and Simoncelli 2025, arXiv 2506.01912). An average with
weights says what a block has in one place, such as where two disks meet.

In a bias-free ReLU network the set of units that are active, a > 0, is what selects the linear map
(:mod:`scorevid.measures.linear_weights`): :func:`active_sets` of all :func:`rectifiers` has all of it.

Everything is read by forward hooks, which are removed again, also after an error. The network is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, relu

from scorevid import checks
from scorevid.denoisers.protocol import denoise
from scorevid.denoisers.unet import ScaledConv

BATCH = 32  #: frames that go through a network at once
_ROWS = (nn.ModuleList, nn.Sequential)  # exactly these: a block may be made from one
_BARE = (nn.Conv2d, ScaledConv)  # convolutions with a ReLU after them that is no module


def block_names(network: nn.Module) -> list[str]:
    """Names of the blocks of a network, "encoder.0", say, in the order in which they stand in it.

    The blocks of a decoder stand there from the finest scale to the coarsest. They work in the opposite order.
    """
    return list(_blocks(network, ""))


def rectifiers(network: nn.Module) -> list[str]:
    """Names of all modules of a network that are a ReLU, leaky or not."""
    return [name for name, module in network.named_modules() if isinstance(module, nn.ReLU | nn.LeakyReLU)]


def _blocks(module: nn.Module, prefix: str) -> Iterator[str]:
    for name, child in module.named_children():
        if type(child) in _ROWS:
            for number, member in child.named_children():
                if any(max(m.kernel_size) > 1 for m in member.modules() if isinstance(m, nn.Conv2d)):
                    yield f"{prefix}{name}.{number}"
        elif hasattr(child, "squared_error"):  # a network within a network
            yield from _blocks(child, f"{prefix}{name}.")


@contextmanager
def hooked(network: nn.Module, handle: Callable[[str, Tensor], Tensor | None], blocks: Sequence[str]):
    """While this context is open, ``handle(name, output)`` is called with what each block returns, each time.

    handle: what it returns, if it returns something, takes the place of the output. blocks: names of modules of the network.
    Raises ValueError for names that are none.
    """
    modules = dict(network.named_modules())
    for name in blocks:
        checks.one_of("blocks", name, [key for key in modules if key])
    with ExitStack() as stack:
        for name in blocks:
            hook = modules[name].register_forward_hook(lambda _, args, output, name=name: handle(name, output))
            stack.callback(hook.remove)
        yield


def channel_averages(
    network: nn.Module,
    c: Tensor,
    x: Tensor,
    sigma: float,
    *,
    generator: torch.Generator | None,
    draws: int = 1,
    blocks: Sequence[str] | None = None,
    where: Tensor | None = None,
    batch: int = BATCH,
) -> dict[str, Tensor]:
    """φ of each block: (B, channels) by its name, averages over pixels and noise, of B scenes.

    c (B, M, H, W), x (B, 1, H, W) clean next frames, in grey levels. sigma: of the noise, in grey units. generator: of the
    noise; None where x are noisy frames, to which none is added. draws: how many noisy frames of each scene. blocks: names of
    modules; :func:`block_names` if not given. where: weights (B, 1, H, W) of the pixels, not negative, for averages over a
    part of the frame; at coarser scales their averages weigh. batch: frames at once, which bounds the memory needed. Of blocks
    that see each past frame by itself, and of modules that are called more than once, the average is over these as well.

    Raises ValueError for shapes, values and names that do not fit, and a network in training mode.
    """
    blocks = _checked(network, c, x, sigma, blocks, generator)
    checks.integer("draws", draws)
    checks.integer("batch", batch)
    if where is not None:
        checks.frames("where", where, 1, batch=len(x), size=tuple(x.shape[2:]))
        checks.every(
            "weights must be ≥ 0 with a positive sum", (where >= 0).flatten(1).all(1) & (where.sum((1, 2, 3)) > 0)
        )
    modules = dict(network.named_modules())
    averages: dict[str, list[Tensor]] = {name: [] for name in blocks}
    seen: dict[str, list[Tensor]] = {}  # averages at each call of a block

    def add(name: str, output: Tensor) -> None:
        a = _activations(modules[name], output, len(piece[1]))  # (b, m, channels, h, w)
        seen.setdefault(name, []).append(a.mean((1, 3, 4)) if piece[2] is None else _weighted_mean(a, piece[2]))

    with torch.no_grad(), hooked(network, add, blocks):
        for piece in _pieces(c, x, where, batch):
            seen.clear()
            for _ in range(draws):
                denoise(network, _noisy(piece[1], sigma, generator), piece[0], sigma)
            for name in blocks:
                averages[name].append(torch.stack(_of(seen, name)).mean(0))
    return {name: torch.cat(parts) for name, parts in averages.items()}


def active_sets(
    network: nn.Module,
    c: Tensor,
    x: Tensor,
    sigma: float,
    *,
    generator: torch.Generator | None,
    blocks: Sequence[str] | None = None,
    batch: int = BATCH,
) -> dict[str, Tensor]:
    """Which units of each block are active, a > 0, for one noisy frame of each scene: (B, units) bool by its name.

    A unit is a channel at a pixel. Arguments as of :func:`channel_averages`; ``blocks=rectifiers(network)`` has all units of a
    U-Net. The result has a byte for each unit: for 32 × 32 pixels and 32 channels, 32 KB a scene of the finest block.
    """
    blocks = _checked(network, c, x, sigma, blocks, generator)
    checks.integer("batch", batch)
    modules = dict(network.named_modules())
    found: dict[str, list[Tensor]] = {name: [] for name in blocks}
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        seen[name] = _activations(modules[name], output, len(piece[1])).flatten(1) > 0

    with torch.no_grad(), hooked(network, keep, blocks):
        for piece in _pieces(c, x, None, batch):
            seen.clear()
            denoise(network, _noisy(piece[1], sigma, generator), piece[0], sigma)
            for name in blocks:
                found[name].append(_of(seen, name))
    return {name: torch.cat(parts) for name, parts in found.items()}


def activation_maps(
    network: nn.Module,
    block: str,
    c: Tensor,
    x: Tensor,
    sigma: float,
    *,
    generator: torch.Generator | None,
    batch: int = BATCH,
) -> Tensor:
    """The activations of a block themselves, (B, channels, h, w), for one noisy frame of each scene.

    Arguments as of :func:`channel_averages`. Of a block that sees each past frame by itself, the largest over these.
    """
    _checked(network, c, x, sigma, [block], generator)
    checks.integer("batch", batch)
    modules, maps = dict(network.named_modules()), []
    seen: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        seen[name] = _activations(modules[name], output, len(piece[1])).amax(1)

    with torch.no_grad(), hooked(network, keep, [block]):
        for piece in _pieces(c, x, None, batch):
            seen.clear()
            denoise(network, _noisy(piece[1], sigma, generator), piece[0], sigma)
            maps.append(_of(seen, block))
    return torch.cat(maps)


def _checked(network: nn.Module, c: Tensor, x: Tensor, sigma: float, blocks, generator) -> list[str]:
    checks.evaluation_mode(network)
    checks.frames("x", x, 1)
    checks.frames("c", c, batch=len(x), size=tuple(x.shape[2:]))
    checks.number("sigma", sigma, above=0)
    if generator is not None:
        checks.same_device(generator, x)
    blocks = block_names(network) if blocks is None else list(blocks)
    if not blocks:
        raise ValueError(f"blocks must be names of modules, one or more; {type(network).__name__} has none by itself")
    return blocks


def _noisy(x: Tensor, sigma: float, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return x
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return x + sigma * z


def _pieces(c: Tensor, x: Tensor, where: Tensor | None, batch: int) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    for first in range(0, len(x), batch):
        part = slice(first, first + batch)
        yield c[part], x[part], None if where is None else where[part]


def _activations(module: nn.Module, output: Tensor, batch: int) -> Tensor:
    """What a block returned as (batch, m, channels, h, w), with m past frames that it sees by themselves, or one."""
    a = relu(output) if isinstance(module, _BARE) else output
    if a.ndim == 4:
        a = a.unflatten(0, (batch, -1))  # frames of one past are next to each other
    return a


def _weighted_mean(a: Tensor, where: Tensor) -> Tensor:
    w = adaptive_avg_pool2d(where.to(a.dtype), a.shape[3:])[:, None]  # (b, 1, 1, h, w)
    return (a * w).sum((3, 4)).mean(1) / w.sum((3, 4))[:, 0]


def _of(seen: dict, name: str):
    if name not in seen:
        raise ValueError(f"blocks must be modules that run when the network is called, got {name!r}")
    return seen[name]
