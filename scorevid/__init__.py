"""scorevid: video prediction with the score of a conditional density, checked against closed forms."""

__version__ = "0.1.0"

from scorevid.denoiser import Denoiser
from scorevid.weights import load_denoiser

__all__ = ["Denoiser", "__version__", "load_denoiser"]
