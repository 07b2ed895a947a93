"""Fetch scripts of the book that come from npm packages again: the runtime of the playground, or another folder.

    python scripts/fetch_runtime.py           # writes the files of book/_static/onnxruntime
    python scripts/fetch_runtime.py --check   # compares those that are there with runtime.json, and fetches nothing
    python scripts/fetch_runtime.py --folder book/_static/sortable   # what sorts tables

onnxruntime-web comes in many builds. The one for WebAssembly alone has a script, a loader and a module; it runs on one
thread where a server sends no special headers. The module is kept packed by gzip, about a quarter of the size, and the page
unpacks it. ``runtime.json`` has package, version, licence and the sha256 of each file, of the module unpacked. LICENSE is
that of the project, which the npm package may leave out. ``npm pack`` fetches the package and runs nothing of it.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import tyro

FOLDER = Path(__file__).parents[1] / "book" / "_static" / "onnxruntime"


def main(folder: Path = FOLDER, check: bool = False) -> None:
    """folder: of runtime.json and the files it lists. check: compare only."""
    about = json.loads((folder / "runtime.json").read_text())
    if not check:
        for name, content in fetch(about).items():
            packed = gzip.compress(content, 9, mtime=0) if name.endswith(".gz") else content
            (folder / name).write_bytes(packed)
    wrong = [name for name, sha256 in about["sha256"].items() if hashed(folder / name) != sha256]
    if wrong:
        sys.exit(f"not those of {about['package']} {about['version']}: {', '.join(wrong)}")
    print(f"{len(about['sha256'])} files of {about['package']} {about['version']} are as they should be")


def fetch(about: dict) -> dict[str, bytes]:
    """The files by their names here, from the package as npm has it; checked before any is written."""
    with tempfile.TemporaryDirectory() as folder:
        what = f"{about['package']}@{about['version']}"
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, what], check=True, stdout=sys.stderr)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            found = {n: package.extractfile(f"package/dist/{n.removesuffix('.gz')}").read() for n in about["sha256"]}
    wrong = [name for name, content in found.items() if hashlib.sha256(content).hexdigest() != about["sha256"][name]]
    if wrong:
        sys.exit(f"{about['package']} {about['version']} has other files than runtime.json says: {', '.join(wrong)}")
    return found


def hashed(path: Path) -> str | None:
    """sha256 of a file, of what is in it if it is packed; None where there is none or it cannot be unpacked."""
    try:
        content = path.read_bytes()
        return hashlib.sha256(gzip.decompress(content) if path.suffix == ".gz" else content).hexdigest()
    except (OSError, EOFError):
        return None


if __name__ == "__main__":
    tyro.cli(main)
