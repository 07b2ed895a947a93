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
        branch = os.environ.get("SCOREVID_BRANCH") or "main"
        options = {"repository_url": address, "repository_branch": branch, "launch_buttons": dict(HOSTS)}
        config.html_theme_options.update(options)


def connect(app: Sphinx) -> None:
    app.connect("config-inited", add_buttons, priority=400)
