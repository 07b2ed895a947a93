"""The fuzz of the readers, for one round."""

import runpy
import tempfile
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_readers.py"


@pytest.fixture
def fuzz():
    pytest.importorskip("av")
    if not SCRIPT.is_file():
        pytest.skip("not a git checkout")
    return runpy.run_path(str(SCRIPT))


def run(fuzz, capsys):
    with pytest.raises(SystemExit) as stop:
        fuzz["main"](minutes=0.0, limit=60.0)
    return stop.value.code, capsys.readouterr().out


def test_damaged_files_of_ten_formats_are_right_refused_or_warned_of(fuzz, capsys):
    status, printed = run(fuzz, capsys)
    assert status == 0 and printed.endswith("0 faults\n") and len(printed.splitlines()) == 11


def test_a_reader_that_gives_wrong_frames_silently_is_a_fault(fuzz, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read, calls = fuzz["read"], []

    def wrong(path):
        calls.append(path)
        return read(path) if len(calls) <= 10 else {"": np.zeros((2, 32, 32), np.uint8)}  # the ten are read whole first

    monkeypatch.setitem(fuzz["main"].__globals__, "read", wrong)
    status, printed = run(fuzz, capsys)
    assert status == 1 and ": wrong; the file is kept as" in printed
