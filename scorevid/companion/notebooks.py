"""Notebooks run from top to bottom, each in a fresh kernel of this environment, whatever the user has set up.

Chapters (``scripts/run_chapters.py``) and sweeps (``scorevid sweep``) are run by :func:`run_notebook`, and nbval's kernels
get the same :func:`environment` (``notebooks/conftest.py``). A kernel ends by itself soon after the process that started it
was killed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

# what changes how a notebook comes out: another backend or style, code that is run before it, other kernels and warnings
_UNSET = (
    *("MPLBACKEND", "MATPLOTLIBRC", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH", "PYTHONSTARTUP", "PYTHONWARNINGS"),
    *("PYTHONOPTIMIZE", "PYTHONDEVMODE", "PYTHONINSPECT", "PYTHONIOENCODING"),
)
_SETTINGS = ("IPYTHONDIR", "MPLCONFIGDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


class NotWantedError(RuntimeError):
    """A run was stopped because nobody wants it any more."""


def environment(home: Path | str) -> dict[str, str]:
    """The variables for a kernel: those of this process, but for what changes how a notebook comes out.

    home: an empty folder with a short name, for the settings of IPython, Jupyter and matplotlib, and for sockets.
    """
    own = {name: str(Path(home) / name.lower()) for name in _SETTINGS}
    for folder in own.values():
        Path(folder).mkdir(mode=0o700, exist_ok=True)
    own |= {"PYTHONUTF8": "1", "JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    own["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait sleep: spinning, they slow whatever else runs
    return {name: value for name, value in os.environ.items() if name not in _UNSET} | own


def prepare_kernels() -> Callable[[], None]:
    """Give that environment to kernels that nbval and MyST-NB start from this process. The function returned undoes it."""
    home, before = tempfile.mkdtemp(prefix="k-"), dict(os.environ)
    variables = environment(home)
    list_fonts(variables)

    def restore(variables: Mapping[str, str] = before) -> None:
        os.environ.clear()
        os.environ.update(variables)
        if variables is before:
            shutil.rmtree(home, ignore_errors=True)

    restore(variables)
    return restore


def list_fonts(variables: Mapping[str, str]) -> None:
    """Let matplotlib list the fonts there are, of which it would tell on standard error if that took a kernel long."""
    subprocess.run([sys.executable, "-c", "import matplotlib.font_manager"], env=variables, capture_output=True)


def parameters_of(path: Path) -> dict[str, str]:
    """Annotation of each parameter of a notebook, from its cell tagged ``parameters``; "None" where there is none.

    Raises ValueError for what is no notebook.
    """
    import papermill

    if not path.is_file():
        raise ValueError(f"there is no notebook {path}")
    try:
        found = papermill.inspect_notebook(path)
    except Exception as problem:
        raise ValueError(f"{path} cannot be read as a notebook: {str(problem).splitlines()[0]}") from None
    return {name: parameter["inferred_type_name"] for name, parameter in found.items()}


def with_parameters(path: Path, parameters: Mapping[str, object]):
    """The notebook with a cell of these parameters after the one tagged so, as papermill would write it."""
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    return parameterize_notebook(load_notebook_node(str(path)), dict(parameters))


def run_notebook(
    notebook,
    folder: Path | str,
    variables: Mapping[str, str],
    *,
    timeout: int | None = None,
    log=None,
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Run all cells of a notebook, a node of nbformat, whose outputs become those of this run.

    folder: where its kernel works. variables: of :func:`environment`. timeout: seconds that a cell may take. log: file
    for what the kernel itself says. wanted: asked many times a second; the run ends once it returns False.

    Raises what nbclient raises for a cell that fails or takes too long and for a kernel that dies, ValueError for a
    figure without an image, and :class:`NotWantedError`. No process of the kernel's outlives the run.
    """
    from nbclient import NotebookClient

    runtime = tempfile.mkdtemp(prefix="k", dir=variables["JUPYTER_RUNTIME_DIR"])
    kernel = _manager(notebook, runtime)
    client = NotebookClient(notebook, km=kernel, timeout=timeout, startup_timeout=120)
    given = {"cwd": str(folder), "env": dict(variables), "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    asyncio.run(_run(client, kernel, given, wanted))
    if missing := missing_figures(notebook.cells):
        raise ValueError(f"no image came of what draws {', '.join(missing)}")


async def _run(client, kernel, given: dict, wanted: Callable[[], bool]) -> None:
    work = asyncio.create_task(client.async_execute(cleanup_kc=False, **given))
    try:
        while not work.done():
            await asyncio.wait([work], timeout=0.1)
            if not work.done() and not wanted():
                raise NotWantedError("the run is not wanted any more")
        work.result()
        await kernel.shutdown_kernel()  # gently, so that it clears up
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        group = getattr(kernel.provisioner, "pgid", None)
        if kernel.has_kernel:
            await kernel.shutdown_kernel(now=True)
        if group and hasattr(os, "killpg"):  # what the notebook has started
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        if client.kc is not None:
            client.kc.stop_channels()


def _manager(notebook, runtime: str):
    """What starts the notebook's kernel; one called python3 is of this environment, whatever kernels the user has."""
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    name = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    # sockets in that folder, unless their names are too long for the system, and not ports: each process looks for
    # free ports by itself, and two that look at once may find the same
    ports = os.name != "posix" or len(os.fsencode(runtime)) > 90
    manager = AsyncKernelManager(
        kernel_name=name,
        transport="tcp" if ports else "ipc",
        connection_file=str(Path(runtime) / "k.json"),
    )
    if name in ("python", "python3"):
        manager._kernel_spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())
    return manager


def missing_figures(cells) -> list[str]:
    """Names of the figures that a notebook's cells should show, by their metadata, and of which no image came."""
    missing = []
    for number, cell in enumerate(cells):
        figure = cell.metadata.get("mystnb", {}).get("figure")
        shown = [output.get("data", {}) for output in cell.get("outputs", [])]
        # an animation is HTML with images in it
        images = (
            any(k.startswith("image/") for k in data) or "<img" in "".join(data.get("text/html", "")) for data in shown
        )
        if figure is not None and not any(images):
            missing.append(figure.get("name", f"the figure of cell {number}"))
    return missing


def how_it_ran(seconds: float, at_once: int) -> dict:
    """What an executed copy that is written now tells of its run."""
    from scorevid.machine import processors

    return {
        "seconds": round(seconds, 2),
        "ended": datetime.now().astimezone().isoformat(timespec="seconds"),
        "processors": processors(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "at_once": at_once,
    }


def stored_seconds(path: Path) -> float:
    """How long the chapter took when its outputs were stored, from the times that its cells tell; endless where none do."""
    import nbformat

    stamps = [
        datetime.fromisoformat(stamp.replace("Z", "+00:00"))
        for cell in nbformat.read(path, 4).cells
        for stamp in cell.metadata.get("execution", {}).values()
    ]
    return (max(stamps) - min(stamps) if stamps else timedelta.max).total_seconds()
