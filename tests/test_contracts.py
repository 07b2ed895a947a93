"""Rooms import from below only, and the face of the package is light and whole."""

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import scorevid

ROOT = Path(__file__).parent.parent
LINT = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
HEAVY = {"scipy", "matplotlib", "tyro", "tqdm", "torch"}


def lint(folder):
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, env=environment)


def test_every_room_imports_from_below_only():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "importer, line, broken",
    [
        (
            "worlds/futures.py",
            "import scorevid.denoisers.exact",
            "Worlds and noise know nothing of what is made with them",
        ),
        ("noise/prior.py", "from scorevid.worlds import futures", "Each room imports only from rooms below its own"),
        ("measures/errors.py", "import scorevid.companion.claims", "Each room imports only from rooms below its own"),
        ("studies/natural/errors.py", "import scorevid.sweep.grid", "Only the command line runs sweeps"),
        ("attic/__init__.py", "", "attic"),  # a room that has no place among the others
    ],
)
def test_an_import_that_points_upwards_is_found(tmp_path, importer, line, broken):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    python = shutil.ignore_patterns("*.safetensors", "*.xz", "*.json", "__pycache__")
    shutil.copytree(ROOT / "scorevid", tmp_path / "scorevid", ignore=python)
    path = tmp_path / "scorevid" / importer
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{path.read_text() if path.exists() else ''}\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode != 0 and broken in done.stdout, done.stdout


def test_importing_the_package_loads_nothing_heavy_until_a_name_is_used():
    """Whatever loads at once makes every script, and every cell of help, wait."""
    program = f"import sys, scorevid\nprint(sorted({HEAVY!r} & set(sys.modules)))\n"
    program += "scorevid.Leaves; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


def rooms():
    packages = (m.name for m in pkgutil.walk_packages(scorevid.__path__, "scorevid.") if m.ispkg)
    return ["scorevid", *packages]


@pytest.mark.parametrize("name", rooms())
def test_every_name_on_a_map_leads_somewhere(name):
    """A map is not read before a name is used: one that was renamed would be found out by a reader."""
    room = importlib.import_module(name)
    exported = getattr(room, "__all__", [])
    assert not [each for each in exported if getattr(room, each, None) is None]
    modules = {m.name for m in pkgutil.iter_modules(room.__path__)}
    hidden = [each for each in modules & set(exported) if not isinstance(getattr(room, each), types.ModuleType)]
    assert not hidden, "a module would hide the name that is exported"
