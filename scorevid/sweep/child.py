"""One run of a notebook by papermill, in a process of its own: ``python -P child.py FOLDER``.

The folder holds ``task.json`` with the notebook's path and its parameters. The executed notebook goes beside it, and
``result.json`` once the run is over, with the error that stopped it, if any. The kernel works in the subfolder ``files``
and has its sockets in ``JUPYTER_RUNTIME_DIR``, a folder that is empty and has a short name.
Nothing of scorevid is imported: a sweep starts many of these, and the kernel imports what the notebook asks for anyway.
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path


def main(folder: Path) -> None:
    """Run the notebook that the folder's ``task.json`` names, and leave what came of it beside that."""
    import nbformat
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    task = json.loads((folder / "task.json").read_text())
    runtime = os.environ["JUPYTER_RUNTIME_DIR"]
    threading.Thread(target=end_with_parent, args=(os.getppid(), runtime), daemon=True).start()
    # sockets in that folder, where their names are not too long for the system, and not ports: each process looks for
    # free ports by itself, and two that look at once may find the same
    config = Config({"KernelManager": {"transport": "ipc"}} if os.name == "posix" and len(runtime) < 50 else {})
    error = None
    try:
        papermill.execute_notebook(
            nbformat.read(task["notebook"], 4),
            str(folder / "notebook.ipynb").replace("{", "{{").replace("}", "}}"),  # papermill formats paths
            parameters=task["parameters"],
            cwd=str(folder / "files"),
            progress_bar=False,
            config=config,
        )
    except PapermillExecutionError as problem:
        print(problem, file=sys.stderr)
        error = f"{problem.ename}: {problem.evalue} (cell {problem.cell_index})"
    except Exception as problem:  # a kernel that died, a disk that is full: the run failed, whatever it was
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        error = f"{type(problem).__name__}: {problem}"
    (folder / "result.json").write_text(json.dumps({"error": error}))


def end_with_parent(parent: int, runtime: str) -> None:
    """Wait for the parent to die; then end this process and its kernel, and clear up, as no one would otherwise."""
    import psutil

    while os.getppid() == parent:
        time.sleep(0.2)
    for process in psutil.Process().children(recursive=True):
        process.kill()
    shutil.rmtree(runtime, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
