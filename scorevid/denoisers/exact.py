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

A blind denoiser does not know σ. Its optimum averages over the training prior p(σ) as well,

.. math:: r_k(y) \propto w_k \int p(\sigma)\, \sigma^{-N} \exp\big(-\|y - x_k\|^2 / 2\sigma^2\big)\, d\sigma ,

where the normaliser :math:`\sigma^{-N}` matters: it makes p(σ | y) narrow, about :math:`\sigma/\sqrt{2N}`, so that
blindness costs almost nothing.

Everything is in log space and relative to the future nearest to y. The excess of the others is computed as
:math:`\|y - x_k\|^2 - \|y - x_j\|^2 = \langle x_k - x_j,\, (x_k - y) + (x_j - y) \rangle`, in which pixels that two
futures share cancel exactly, whatever the noise there. So single precision serves from σ = 0.01 to 100.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorevid import checks
from scorevid.noise.corruptions import Corruption, log_likelihood
from scorevid.noise.prior import NoisePrior
from scorevid.worlds.futures import Futures


class Oracle:
    """The optimal denoiser of scenes with finitely many futures.

    futures: of B scenes; row i of a batch belongs to scene i, and the futures of a single scene serve every row. past:
    (B, M, H, W), the scenes' own c. With it the scene of each row is found by its c, whatever their number and order; samplers
    need this, as they repeat scenes and drop finished samples. prior: of σ, over which a blind denoiser averages; without it
    the denoiser needs σ. window: nodes of the quadrature over σ that a blind denoiser evaluates, about the likeliest level.

    All methods take y (B, 1, H, W), c (B, M, H, W), and σ in grey units, a number or (B,), which a blind oracle ignores.
    Raises ValueError for futures that are not finite, a past of other scenes, and a prior of other than Gaussian noise; each
    method for shapes and levels that do not fit, and a c that is the past of no scene.
    """

    def __init__(
        self, futures: Futures, *, past: Tensor | None = None, prior: NoisePrior | None = None, window: int = 81
    ):
        if not futures.frames.isfinite().all():
            raise ValueError("the frames of the futures must be finite, got NaN or infinite values")
        if past is not None:
            checks.frames("past", past, batch=len(futures))
        if prior is not None:
            checks.one_of("the corruption of an oracle's prior", prior.corruption, ["gaussian"])
        self.futures, self.prior, self.window, self.needs_sigma = futures, prior, window, prior is None
        self._scenes = None if past is None else {key: i for i, key in enumerate(_keys(past))}

    def __call__(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """E[x | y, c, σ], or E[x | y, c] of a blind oracle, (B, 1, H, W)."""
        evidence = self._evidence(y, c, sigma)
        return _weighted_sum(evidence.logits.softmax(1), evidence.futures.frames)

    def responsibilities(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """r_k = P(x = x_k | y, c, σ), or P(x = x_k | y, c), (B, K)."""
        return self._evidence(y, c, sigma).logits.softmax(1)

    def log_density(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """log p_σ(y | c), or log of ∫ p(σ) p_σ(y | c) dσ, in nats, (B,), normalised."""
        evidence = self._evidence(y, c, sigma)
        return evidence.logits.logsumexp(1) + evidence.offset - 0.5 * y.shape[2:].numel() * math.log(2 * math.pi)

    def score(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Tensor:
        """The gradient of :meth:`log_density` in y, E[(x − y)/σ² | y, c], (B, 1, H, W), in 1 / grey."""
        evidence = self._evidence(y, c, sigma)
        return _weighted_sum(evidence.logits.softmax(1) * evidence.precision, evidence.futures.frames.to(y) - y)

    def posterior_covariance(self, y: Tensor, c: Tensor, sigma: float | Tensor | None = None) -> Covariance:
        """Cov[x | y, c, σ], which is σ² J_y of the optimal denoiser that knows σ (the second-order Tweedie identity).

        The Jacobian of a blind optimum is Cov[x, (x − y)/σ² | y, c] over the joint posterior of x and σ, so the identity
        holds for it as far as that of σ is narrow.
        """
        evidence = self._evidence(y, c, sigma)
        r, frames = evidence.logits.softmax(1), evidence.futures.frames.to(y)
        return Covariance(r.sqrt()[:, :, None, None] * (frames - _weighted_sum(r, frames)))

    def _evidence(self, y: Tensor, c: Tensor, sigma: float | Tensor | None) -> _Evidence:
        """What y says about the futures of each row."""
        checks.frames("y", y, 1, size=tuple(self.futures.frames.shape[2:]))
        futures, pixels = self._futures_of(y, c), y.shape[2:].numel()
        nearest, excess = _distances(y, futures)
        if self.prior is not None:
            return _Evidence(futures, *_over_levels(nearest, excess, pixels, self.prior, self.window))
        level = checks.levels(sigma, y).flatten(1)
        offset = -nearest / (2 * level.square())[:, 0] - pixels * level.log()[:, 0]
        return _Evidence(futures, -excess / (2 * level.square()), offset, level**-2)

    def _futures_of(self, y: Tensor, c: Tensor) -> Futures:
        """The futures of each row: those in its place, or those that its past belongs to."""
        if len(c) != len(y):
            raise ValueError(f"y and c must have the same batch size, got {len(y)} and {len(c)}")
        if self._scenes is not None:
            rows = [self._scenes.get(key, -1) for key in _keys(c)]
            if -1 in rows:
                raise ValueError(f"c must hold this oracle's pasts, got {rows.count(-1)} of {len(c)} rows of others")
            return self.futures[rows]
        if len(self.futures) not in (1, len(y)):
            text = (
                f"a batch must have a row for each of the {len(self.futures)} scenes of this oracle, got {len(y)} rows"
            )
            raise ValueError(f"{text}; with their pasts (past=c) it finds the scene of each row")
        return self.futures


def optimum_and_score(
    y: Tensor, futures: Futures, sigma: float, corruption: Corruption = "gaussian"
) -> tuple[Tensor, Tensor]:
    """The optimal denoiser that knows σ, and σ² ∇ log p(y | c), under any noise, (B, 1, H, W) each, in grey units.

    y: (B, 1, H, W). The score is the derivative of the log density by automatic differentiation; that of uniform noise is
    zero, wherever the density is not. Raises ValueError for bad σ and corruptions, and for a y that no future allows.
    """
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        logits = futures.probabilities.log().to(y) + log_likelihood(y, futures.frames.to(y), sigma, corruption)
        if not (logits.amax(1) > -torch.inf).all():
            raise ValueError(f"no future allows some y: {corruption} noise of σ = {sigma:g} does not reach so far")
        (score,) = torch.autograd.grad(logits.logsumexp(1).sum(), y)
    return _weighted_sum(logits.detach().softmax(1), futures.frames), sigma**2 * score


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


@dataclass
class _Evidence:
    """What noisy frames say about the futures of their scenes.

    log_likelihood: (B, K), log p(y | x_k) but for an offset (B,) and the factor (2π)^−N/2. precision: E[1/σ² | x_k, y],
    (B, K), or 1/σ² of a known level, (B, 1) or (1, 1).
    """

    futures: Futures
    log_likelihood: Tensor
    offset: Tensor
    precision: Tensor

    @property
    def logits(self) -> Tensor:
        """log of w_k p(y | x_k), (B, K), but for the same."""
        return self.futures.probabilities.to(self.log_likelihood).log() + self.log_likelihood


def _weighted_sum(r: Tensor, frames: Tensor) -> Tensor:
    """Σ_k r_k x_k, (B, 1, H, W)."""
    return (r[:, :, None, None] * frames.to(r)).sum(1, keepdim=True)


def _distances(y: Tensor, futures: Futures) -> tuple[Tensor, Tensor]:
    """‖y − x_j‖² of the nearest possible future, (B,), and how much farther each future is, (B, K)."""
    away = futures.frames.to(y) - y
    squares = away.square().sum((2, 3)).masked_fill(futures.probabilities == 0, torch.inf)
    rows, nearest = torch.arange(len(y), device=y.device), squares.argmin(1)
    closest = away[rows, nearest][:, None]
    return closest.square().sum((1, 2, 3)), ((away - closest) * (away + closest)).sum((2, 3))


def _over_levels(
    nearest: Tensor, excess: Tensor, pixels: int, prior: NoisePrior, window: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Likelihood, offset and precision with σ integrated out: log ∫ p(σ) σ^−N exp(−‖y − x_k‖² / 2σ²) dσ, and E[1/σ²].

    By quadrature in log σ. The integrand is a bump of width 1/√(2N), to which the trapezoidal rule takes four nodes; where
    a prior is cut off or bends within the bump, the log is good to about 1e-3. In frames of 64 pixels and more only
    ``window`` nodes are evaluated; 81 are ten widths of the bump of the nearest future to either side. Beyond is less than
    e⁻⁵⁰ of it, and a future whose own bump lies elsewhere is out of the question.
    """
    low, high = math.log(prior.sigma_min), math.log(prior.sigma_max)
    count = 1 + max(32, math.ceil((high - low) * 4 * math.sqrt(2 * pixels)))
    log_sigma = torch.linspace(low, high, count, dtype=nearest.dtype, device=nearest.device)
    log_weight = math.log((high - low) / (count - 1)) + prior.log_density(log_sigma)
    ends = log_weight.new_tensor([3 / 8, 7 / 6, 23 / 24]).log()  # Gregory's, for a bump that the prior cuts off
    log_weight[:3] += ends
    log_weight[-3:] += ends.flip(0)
    if pixels >= 64 and count > window:
        centre = (0.5 * (nearest.detach() / pixels).log() - low) * ((count - 1) / (high - low))
        first = (centre - window // 2).clamp(0, count - window).long()
        nodes = first[:, None] + torch.arange(window, device=nearest.device)
        log_sigma, log_weight = log_sigma[nodes], log_weight[nodes]  # (B, nodes)
    precision = (-2 * log_sigma).exp()
    bump = log_weight - pixels * log_sigma - nearest[:, None] * precision / 2  # (B, nodes)
    peak = bump.detach().amax(1)
    bump = bump - peak[:, None]
    each = [bump - e[:, None] * precision / 2 for e in excess.unbind(1)]
    mass = torch.stack([b.logsumexp(1) for b in each], 1)
    pull = torch.stack([(b.softmax(1) * precision).sum(1) for b in each], 1)
    return mass, peak, pull


def _keys(c: Tensor) -> list[bytes]:
    """The bytes of each past in single precision (plus zero, which makes 0 of −0)."""
    return [row.tobytes() for row in (c.detach().float() + 0.0).cpu().numpy()]
