r"""Closed-form denoisers for a next frame with finitely many futures: what a perfect network would answer.

With futures :math:`x_k` of probability :math:`w_k` (:class:`~scorevid.worlds.futures.Futures`) and N pixels, the noisy
observation y = x + σz has the density, responsibilities, optimal denoiser, score and posterior covariance

.. math::
    p_\sigma(y \mid c) &= \sum_k w_k\, (2\pi\sigma^2)^{-N/2} \exp\big(-\|y - x_k\|^2 / 2\sigma^2\big), \\
    r_k(y) &\propto w_k \exp\big(-\|y - x_k\|^2 / 2\sigma^2\big), \qquad \sum_k r_k = 1, \\
    \mathrm E[x \mid y, c] &= \sum_k r_k x_k, \qquad
    \nabla_y \log p_\sigma(y \mid c) = \big(\mathrm E[x \mid y, c] - y\big) / \sigma^2, \\
    \mathrm{Cov}[x \mid y, c] &= \sum_k r_k (x_k - \mathrm E[x \mid y, c]) (x_k - \mathrm E[x \mid y, c])^\top
    = \sigma^2\, \partial\, \mathrm E[x \mid y, c] / \partial y .

A blind denoiser is not told σ. Its optimum averages over the training prior p(σ) as well,

.. math:: r_k(y) \propto w_k \int p(\sigma)\, \sigma^{-N} \exp\big(-\|y - x_k\|^2 / 2\sigma^2\big)\, d\sigma ,

where the normaliser :math:`\sigma^{-N}` matters: it is what makes p(σ | y) narrow, about
:math:`\sigma/\sqrt{2N}`, and blindness nearly free.

Everything is in log space and relative to the future nearest to y. The excess of the others is computed as
:math:`\|y - x_k\|^2 - \|y - x_j\|^2 = \langle x_k - x_j,\, (x_k - y) + (x_j - y) \rangle`, in which pixels that two
futures share cancel exactly, whatever the noise there; so single precision serves from σ = .01 to 100.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid.noise.prior import NoisePrior
from scorevid.worlds.futures import Futures


def posterior_mean(
    futures: Futures, sigma: float | Tensor, *, past: Tensor | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """The optimal denoiser told σ: a callable f(y, c) -> E[x | y, c, σ], (B, 1, H, W) each.

    futures: of B scenes. sigma: noise level in grey units, a number or (B,). Row i of y belongs to scene i, and c is
    only looked at for its batch size; futures of a single scene serve every row. With ``past`` (B, M, H, W), the
    scenes' own c, f finds the scene of each row by its c instead, whatever their number and order: this is what a
    sampler needs, which repeats scenes and drops finished samples.

    Raises ValueError for σ that is not positive and finite, frames that are not finite, and in f for shapes that do
    not fit or a c that is no scene's past.
    """
    lookup, sigma = _Lookup(futures, past), _levels(sigma, len(futures))

    def f(y: Tensor, c: Tensor) -> Tensor:
        ahead, rows = lookup(y, c)
        return _average(responsibilities(y, ahead, sigma if rows is None or len(sigma) == 1 else sigma[rows]), ahead)

    return f


def blind_posterior_mean(
    futures: Futures, prior: NoisePrior, *, past: Tensor | None = None
) -> Callable[[Tensor, Tensor], Tensor]:
    """The optimal blind denoiser: a callable f(y, c) -> E[x | y, c], σ integrated out under the training prior.

    Other arguments and errors as in :func:`posterior_mean`; and ValueError for a prior of other than Gaussian noise.
    """
    lookup = _Lookup(futures, past)

    def f(y: Tensor, c: Tensor) -> Tensor:
        ahead, _ = lookup(y, c)
        return _average(blind_responsibilities(y, ahead, prior), ahead)

    return f


def log_density(y: Tensor, futures: Futures, sigma: float | Tensor) -> Tensor:
    """log p_σ(y | c) in nats, (B,), normalised. y (B, 1, H, W); sigma a number or (B,)."""
    nearest, excess = _distances(y, futures)
    sigma = _levels(sigma, len(y)).to(y)
    normaliser = y[0].numel() * (sigma.log() + 0.5 * math.log(2 * math.pi))
    logits = futures.probabilities.to(y).log() - excess / (2 * sigma.square())[:, None]
    return logits.logsumexp(1) - nearest / (2 * sigma.square()) - normaliser


def responsibilities(y: Tensor, futures: Futures, sigma: float | Tensor) -> Tensor:
    """r_k = P(x = x_k | y, c, σ), (B, K). y (B, 1, H, W); sigma a number or (B,)."""
    _, excess = _distances(y, futures)
    sigma = _levels(sigma, len(y)).to(y)
    return (futures.probabilities.to(y).log() - excess / (2 * sigma.square())[:, None]).softmax(1)


def score(y: Tensor, futures: Futures, sigma: float | Tensor) -> Tensor:
    """The score ∇_y log p_σ(y | c), (B, 1, H, W), in 1 / grey. y (B, 1, H, W); sigma a number or (B,)."""
    mean = _average(responsibilities(y, futures, sigma), futures)
    return (mean - y) / _levels(sigma, len(y)).to(y).square()[:, None, None, None]


def blind_log_density(y: Tensor, futures: Futures, prior: NoisePrior) -> Tensor:
    """log of ∫ p(σ) p_σ(y | c) dσ in nats, (B,), normalised: the density of what a blind denoiser is shown."""
    logits, peak, _ = _blind(y, futures, prior)
    return logits.logsumexp(1) + peak - 0.5 * y[0].numel() * math.log(2 * math.pi)


def blind_responsibilities(y: Tensor, futures: Futures, prior: NoisePrior) -> Tensor:
    """r_k = P(x = x_k | y, c) with σ integrated out under its prior, (B, K)."""
    return _blind(y, futures, prior)[0].softmax(1)


def blind_score(y: Tensor, futures: Futures, prior: NoisePrior) -> Tensor:
    """∇_y of :func:`blind_log_density`, E[(x − y)/σ² | y, c] over the joint posterior of x and σ, (B, 1, H, W)."""
    logits, _, precision = _blind(y, futures, prior)
    pull = logits.softmax(1) * precision  # r_k E[1/σ² | x_k, y]
    return (pull[:, :, None, None] * (futures.frames.to(y) - y)).sum(1, keepdim=True)


@dataclass
class Covariance:
    """A covariance of frames, AᵀA, kept as its root: cheap for any frame size, of rank below K.

    root: A, (B, K, H, W), rows √r_k (x_k − E[x | y, c]).
    """

    root: Tensor

    def trace(self) -> Tensor:
        """Total posterior variance, (B,), in grey²: the least squared error that a denoiser can have at this y."""
        return self.root.square().sum((1, 2, 3))

    def product(self, v: Tensor) -> Tensor:
        """The covariance times a frame v: (B, 1, H, W) -> (B, 1, H, W)."""
        along = (self.root * v).sum((2, 3), keepdim=True)
        return (self.root * along).sum(1, keepdim=True)

    def matrix(self) -> Tensor:
        """In full, (B, HW, HW), pixels in row-major order; for small frames."""
        a = self.root.flatten(2)
        return a.mT @ a

    def eigenpairs(self, n: int = 1) -> tuple[Tensor, Tensor]:
        """The n leading eigenvalues (B, n), largest first, and unit eigenvectors (B, n, H, W).

        Through the K × K Gram matrix AAᵀ, which has the same positive eigenvalues. Where an eigenvalue is zero its
        direction is undetermined and zeros are returned. Raises ValueError unless 1 <= n <= K.
        """
        a = self.root.flatten(2)
        if not 1 <= n <= a.shape[1]:
            raise ValueError(f"between 1 and K = {a.shape[1]} eigenpairs can be had, got n={n}")
        values, vectors = torch.linalg.eigh(a @ a.mT)
        values, vectors = values.flip(1)[:, :n].clamp_min(0), vectors.flip(2)[:, :, :n]
        frames = torch.nn.functional.normalize(vectors.mT @ a, dim=2, eps=torch.finfo(a.dtype).tiny)
        positive = values > a.shape[1] * torch.finfo(a.dtype).eps * values[:, :1]
        return values * positive, (frames * positive[..., None]).unflatten(2, self.root.shape[2:])


def covariance(r: Tensor, futures: Futures) -> Covariance:
    """Covariance of the futures under responsibilities r (B, K), told or blind."""
    return Covariance(r.sqrt()[:, :, None, None] * (futures.frames.to(r) - _average(r, futures)))


def posterior_covariance(y: Tensor, futures: Futures, sigma: float | Tensor) -> Covariance:
    """Cov[x | y, c, σ], which equals σ² J_y of the optimal denoiser told σ (the second-order Tweedie identity).

    The Jacobian of a blind optimum is Cov[x, (x − y)/σ² | y, c] over the joint posterior of x and σ, so the identity
    holds for it as far as that of σ is narrow.
    """
    return covariance(responsibilities(y, futures, sigma), futures)


def _average(r: Tensor, futures: Futures) -> Tensor:
    """Σ_k r_k x_k, (B, 1, H, W)."""
    return (r[:, :, None, None] * futures.frames.to(r)).sum(1, keepdim=True)


def _distances(y: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """‖y − x_j‖² of the nearest possible future, (B,), and how much farther each future is, (B, K)."""
    _check_frames(y, futures)
    away = futures.frames.to(y) - y
    squares = away.square().sum((2, 3)).masked_fill(futures.probabilities == 0, torch.inf)
    rows, nearest = torch.arange(len(y), device=y.device), squares.argmin(1)
    closest = away[rows, nearest][:, None]
    return closest.square().sum((1, 2, 3)), ((away - closest) * (away + closest)).sum((2, 3))


def _blind(y: Tensor, futures: Futures, prior: NoisePrior) -> tuple[Tensor, Tensor, Tensor]:
    """log w_k ∫ p(σ) σ^−N exp(−‖y − x_k‖² / 2σ²) dσ as (B, K) relative to a peak (B,), and E[1/σ² | x_k, y] (B, K).

    By quadrature in log σ. The integrand is a bump of width 1/√(2N), to which the trapezoidal rule takes four nodes; where
    a prior is cut off or bends within the bump, the log is good to about 1e-3. In frames of 64 pixels and more only the
    nodes within ten widths of the bump of the nearest future are looked at: beyond is less than e⁻⁵⁰ of it, and a future
    whose own bump lies elsewhere is out of the question.
    """
    if prior.corruption != "gaussian":
        raise ValueError(f"the noise of these oracles is Gaussian, that of the prior {prior.corruption}")
    nearest, excess = _distances(y, futures)
    pixels, low, high = y[0].numel(), math.log(prior.sigma_min), math.log(prior.sigma_max)
    count = 1 + max(32, math.ceil((high - low) * 4 * math.sqrt(2 * pixels)))
    log_sigma = torch.linspace(low, high, count, dtype=y.dtype, device=y.device)
    log_weight = math.log((high - low) / (count - 1)) + prior.log_density(log_sigma)
    ends = log_weight.new_tensor([3 / 8, 7 / 6, 23 / 24]).log()  # Gregory's, for a bump that the prior cuts off
    log_weight[:3] += ends
    log_weight[-3:] += ends.flip(0)
    if pixels >= 64 and count > WINDOW:
        place = (0.5 * (nearest.detach() / pixels).log() - low) * ((count - 1) / (high - low))
        first = (place - WINDOW // 2).clamp(0, count - WINDOW).long()
        nodes = first[:, None] + torch.arange(WINDOW, device=y.device)
        log_sigma, log_weight = log_sigma[nodes], log_weight[nodes]  # (B, nodes)
    precision = (-2 * log_sigma).exp()
    bump = log_weight - pixels * log_sigma - nearest[:, None] * precision / 2  # (B, nodes)
    peak = bump.detach().amax(1)
    bump = bump - peak[:, None]
    each = [bump - e[:, None] * precision / 2 for e in excess.unbind(1)]
    mass = torch.stack([b.logsumexp(1) for b in each], 1)
    pull = torch.stack([(b.softmax(1) * precision).sum(1) for b in each], 1)
    return futures.probabilities.to(y).log() + mass, peak, pull


WINDOW = 81  # nodes of the quadrature over σ that are looked at


class _Lookup:
    """Which scene each row of a batch belongs to: by its place, or by its past."""

    def __init__(self, futures: Futures, past: Tensor | None):
        if not futures.frames.isfinite().all():
            raise ValueError("the frames of the futures must be finite")
        if past is not None and (past.ndim != 4 or len(past) != len(futures)):
            raise ValueError(f"past must be (B, M, H, W) with B = {len(futures)}, got {tuple(past.shape)}")
        self.futures = futures
        self.scene = None if past is None else {key: i for i, key in enumerate(self._keys(past))}

    def __call__(self, y: Tensor, c: Tensor) -> tuple[Futures, list[int] | None]:
        """The futures of each row of (y, c), and the scenes they come from if looked up."""
        if len(c) != len(y):
            raise ValueError(f"y and c must have the same batch size, got {len(y)} and {len(c)}")
        if self.scene is None:
            if len(self.futures) not in (1, len(y)):
                raise ValueError(
                    f"this oracle knows {len(self.futures)} scenes by their place in the batch, got a batch of "
                    f"{len(y)}; give it their pasts (past=c) and it finds the scene of each row"
                )
            return self.futures, None
        rows = [self.scene.get(key, -1) for key in self._keys(c)]
        if -1 in rows:
            raise ValueError(f"{rows.count(-1)} of {len(c)} rows of c are the past of no scene that this oracle knows")
        return self.futures[rows], rows

    @staticmethod
    def _keys(c: Tensor) -> list[bytes]:
        """The bytes of each past in single precision (plus zero, which makes 0 of −0)."""
        return [row.tobytes() for row in (c.detach().float() + 0.0).cpu().numpy()]


def _levels(sigma: float | Tensor, batch: int) -> Tensor:
    """σ as a tensor (1,) or (B,); raises ValueError for another shape or a value that is not positive and finite."""
    sigma = sigma if isinstance(sigma, Tensor) else torch.as_tensor(sigma, dtype=torch.float64)
    sigma = sigma.reshape(-1) if sigma.ndim in (0, 4) else sigma
    if sigma.ndim != 1 or (len(sigma) not in (1, batch) and batch != 1):
        raise ValueError(f"sigma must be a number or ({batch},), got shape {tuple(sigma.shape)}")
    if not ((sigma > 0) & sigma.isfinite()).all():
        raise ValueError(f"sigma must be positive and finite, got {sigma.tolist()}")
    return sigma


def _check_frames(y: Tensor, futures: Futures) -> None:
    if not y.is_floating_point():
        raise ValueError(f"grey levels in [0, 1] are due, got y of {y.dtype}")
    batch, _, *size = futures.frames.shape
    if y.ndim != 4 or y.shape[1:] != (1, *size) or batch not in (1, len(y)):
        due = ("B" if batch == 1 else batch, 1, *size)
        raise ValueError(f"y must be ({', '.join(map(str, due))}), got {tuple(y.shape)}")
