"""Files that are whole or not there, and folders that one process has to itself."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout


def replace_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file to a neighbour, flush it to the disk and move it into place. Raises OSError, and keeps what was there."""
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes | memoryview]) -> None:
    """The same for files that belong together: none is moved before all have been written."""
    partials = {path: path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial") for path in contents}
    try:
        for path, partial in partials.items():
            with named_errors(path):
                partial.write_bytes(contents[path])
                with partial.open("rb+") as file:
                    os.fsync(file.fileno())
        for path, partial in partials.items():
            with named_errors(path):
                os.replace(partial, path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, moved into place at the end; after an error what was there before is kept. Raises OSError."""
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}.partial")
    try:
        with named_errors(path):
            file = partial.open("wb")
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        with named_errors(path):
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Has errors of writing name the file."""
    try:
        yield
    except OSError as problem:
        raise OSError(f"cannot write {path}: {problem.strerror or problem}; what was there before is kept") from problem


@contextmanager
def sole_writer(folder: Path, work: str) -> Iterator[None]:
    """Have a folder, which is made if need be, to oneself; the system frees it where a process is killed.

    work: what is done there, as in "training". Raises ValueError that names the process which has the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock, holder = FileLock(folder / ".lock"), folder / ".holder"  # two files, for to try a lock may empty its file
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = holder.read_text().strip() if holder.exists() else "another process"
        raise ValueError(f"{who} is {work} in {folder}: wait for it, stop it, or choose another folder") from None
    except (NotImplementedError, OSError) as problem:
        warnings.warn(f"{folder} cannot be locked ({problem}): let nothing else be {work} there", stacklevel=3)
    try:
        for partial in folder.glob("*.partial"):  # of a process that was killed
            partial.unlink(missing_ok=True)
        replace_file(holder, f"process {os.getpid()} on {platform.node()}\n".encode())
        yield
    finally:
        lock.release()
