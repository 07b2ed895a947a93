"""The networks that the playground runs, written into the built site from the published weights."""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

from scorevid.denoisers.onnx_file import export
from scorevid.denoisers.weights import load_denoiser

PAGE = "book/playground"
FILES = {  # by name, weights and whether it is the backward pass
    "leaves-32": ("leaves-32", False),
    "leaves-32.backward": ("leaves-32", True),
    "natural-32-m2": ("natural-32-m2", False),
}
logger = logging.getLogger(__name__)


def connect(app: Sphinx) -> None:
    """Write them when the site has been built."""
    app.connect("build-finished", write_networks)


def write_networks(app: Sphinx, problem: Exception | None) -> None:
    """A warning says so where they cannot be written; then the page says that its network is missing."""
    if problem is not None or app.builder.name != "html" or PAGE not in app.env.found_docs:
        return
    folder = Path(app.outdir) / "_static" / "playground" / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, (weights, backward) in FILES.items():
            f = load_denoiser(weights)
            about = {key: f.card[key] for key in ("name", "licence", "sha256")}
            export(f, folder / f"{name}.onnx", backward=backward, about=about)
    except ModuleNotFoundError as missing:
        logger.warning("the playground has no networks: %s", missing)
