"""scorevid: video prediction with the score of a conditional density, checked against closed forms."""

__version__ = "0.2.0"

from scorevid.denoisers.unet import UNet
from scorevid.denoisers.weights import load_denoiser

__all__ = ["UNet", "__version__", "load_denoiser"]
