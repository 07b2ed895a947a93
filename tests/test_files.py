"""Files that are whole or not there, and folders that one process has to itself."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scorevid.files import replace_file, replace_files, sole_writer

HOLD = """
import sys, time
from pathlib import Path
from scorevid.files import sole_writer
with sole_writer(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_held_folder_is_refused_by_host_and_process_and_free_once_its_holder_is_killed(tmp_path):
    """Would catch a lock that a killed process leaves behind, and a refusal that does not say whom to ask."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        said = rf"process {process.pid} on \S+ is training in "
        for _ in range(2):  # to be refused does not wipe out who holds it
            with pytest.raises(ValueError, match=said), sole_writer(tmp_path, "training"):
                pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    (tmp_path / "checkpoint.pt.other-1.partial").touch()  # which the killed one was writing
    with sole_writer(tmp_path, "training"):
        assert not list(tmp_path.glob("*.partial"))


def test_a_folder_that_cannot_be_locked_is_used_with_a_warning(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise NotImplementedError("no flock here")

    monkeypatch.setattr("scorevid.files.FileLock.acquire", refuse)
    with pytest.warns(UserWarning, match="cannot be locked"), sole_writer(tmp_path, "training"):
        pass


def test_of_files_that_belong_together_all_are_replaced_or_none(tmp_path, monkeypatch):
    """Would catch new weights beside the card of the old ones, which a disk that fills up in between would leave."""
    weights, card = tmp_path / "w", tmp_path / "c"
    replace_files({weights: b"old", card: b"old"})
    write, written = Path.write_bytes, []

    def full(self, content):
        written.append(self)
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        return write(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"cannot write .*c: No space left on device"):
        replace_files({weights: b"new", card: b"new"})
    assert weights.read_bytes() == card.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


def test_what_was_there_is_kept_where_a_file_cannot_be_written(tmp_path, monkeypatch):
    """Would catch half a file in the place of a whole one, an error that names no file, and a neighbour left behind."""
    path = tmp_path / "kept"
    replace_file(path, b"old")

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"cannot write .*kept: No space left on device"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
