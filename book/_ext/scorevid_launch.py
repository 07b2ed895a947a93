"""Buttons that open a chapter on Binder or Colab, once there is a public repository for them to open it from.

The repository's address is not known to the book: SCOREVID_REPOSITORY names it, as in
``make book SCOREVID_REPOSITORY=https://github.com/who/scorevid``, and SCOREVID_BRANCH the branch, ``main`` by default.
Unless it is set there are no buttons, as they would lead nowhere. They are links: pages load nothing from elsewhere.
"""

from __future__ import annotations

import os
import re

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

VARIABLE = "SCOREVID_REPOSITORY"
BRANCH_VARIABLE = "SCOREVID_BRANCH"
ADDRESS = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+")
HOSTS = {
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
    "notebook_interface": "jupyterlab",
}


def repository() -> str | None:
    """The address of the public repository, None where it is not set. Raises ExtensionError for one not on GitHub."""
    address = os.environ.get(VARIABLE, "").strip().rstrip("/").removesuffix(".git")
    if address and not ADDRESS.fullmatch(address):
        raise ExtensionError(
            f"{VARIABLE} must read https://github.com/OWNER/NAME, which Colab asks for, got {address!r}"
        )
    return address or None


def add_buttons(app: Sphinx, config: Config) -> None:
    if address := repository():
        config.html_theme_options["repository_url"] = address
        config.html_theme_options["repository_branch"] = os.environ.get(BRANCH_VARIABLE) or "main"
        config.html_theme_options["launch_buttons"] = dict(HOSTS)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", add_buttons, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
