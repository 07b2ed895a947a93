"""The playground: its networks, written into the built site from the published weights, and its page without the book.

``{scene}`title <sigma=0.8&show=denoise>` `` is a link to the playground that carries a scene or a noise level, as its
address does, and names the panel to begin with.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import ReferenceRole

from scorevid.denoisers.onnx_file import export
from scorevid.denoisers.weights import load_denoiser

PAGE = "book/playground"
BOOK = Path(__file__).parents[2]
FILES = {  # by name, weights and whether it is the backward pass
    "leaves-32": ("leaves-32", False),
    "leaves-32.backward": ("leaves-32", True),
    "natural-32-m2": ("natural-32-m2", False),
}
logger = logging.getLogger(__name__)


class SceneRole(ReferenceRole):
    """A link to the playground; plain text in a book without it."""

    def run(self) -> tuple[list[nodes.Node], list]:
        if PAGE not in self.env.found_docs:
            return [nodes.Text(self.title)], []
        page = self.env.app.builder.get_relative_uri(self.env.docname, PAGE)
        return [nodes.reference("", self.title, internal=True, refuri=f"{page}#{self.target}")], []


def connect(app: Sphinx) -> None:
    """Write them when the site has been built."""
    app.add_role("scene", SceneRole())
    app.connect("build-finished", write_networks)


def write_networks(app: Sphinx, problem: Exception | None) -> None:
    """A warning says so where they cannot be written; then the page says that its network is missing."""
    if problem is not None or app.builder.name != "html" or PAGE not in app.env.found_docs:
        return
    try:
        export_networks(Path(app.outdir) / "_static")
    except ModuleNotFoundError as missing:
        logger.warning("the playground has no networks: %s", missing)


def export_networks(static: Path) -> None:
    """Networks and backward passes, beside the scripts that load them."""
    folder = static / "playground" / "networks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (weights, backward) in FILES.items():
        f = load_denoiser(weights)
        about = {key: f.card[key] for key in ("name", "licence", "sha256")}
        export(f, folder / f"{name}.onnx", backward=backward, about=about)


def bare_page(folder: Path) -> None:
    """The page as it works in the book, without the book around it, for tests and benchmarks; a site in an empty folder."""
    for name in ("playground", "onnxruntime"):
        shutil.copytree(BOOK / "_static" / name, folder / "_static" / name)
    shutil.copy(BOOK / "_static" / "result.png", folder / "_static")
    export_networks(folder / "_static")
    text = (BOOK / "playground.md").read_text(encoding="utf-8")
    raw = "\n".join(re.findall(r"```\{raw\} html\n(.*?)```", text, re.S))
    head = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>Try it</title>'
    page = folder / f"{PAGE}.html"
    page.parent.mkdir()
    page.write_text(f"{head}<body>{raw}</body></html>", encoding="utf-8")
