"""The runtime of the playground is the one that npm has, with its licence, and can be fetched again."""

import gzip
import importlib.util
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "book" / "_static"


@pytest.fixture
def fetcher():
    spec = importlib.util.spec_from_file_location("fetch_runtime", ROOT / "scripts" / "fetch_runtime.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(tmp_path, fetcher, monkeypatch):
    """A folder that lists two small files, and an npm that packs them."""
    files = {"a.mjs": b"a", "b.wasm.gz": b"b" * 99}
    path = tmp_path / "raw"
    path.mkdir()
    sha256 = {}
    for name, content in files.items():
        (path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        sha256[name] = fetcher.hashed(path / name)
        (path / name).unlink()
    (path / "runtime.json").write_text(json.dumps({"package": "p", "version": "1", "sha256": sha256}))

    def npm(command, **_):
        assert command[:2] == ["npm", "pack"] and command[-1] == "p@1"
        with tarfile.open(Path(command[-2]) / "p-1.tgz", "w:gz") as package:
            for name, content in files.items():
                member = tarfile.TarInfo(f"package/dist/{name.removesuffix('.gz')}")
                member.size = len(content)
                package.addfile(member, io.BytesIO(content))

    monkeypatch.setattr(subprocess, "run", npm)
    return path, files


@pytest.mark.parametrize(
    ("name", "licence"), [("onnxruntime", "MIT License"), ("sortable", "This is free and unencumbered")]
)
def test_the_files_are_those_of_the_package_and_come_with_their_licence(fetcher, capsys, name, licence):
    runtime = STATIC / name
    fetcher.main(runtime, check=True)
    about = json.loads((runtime / "runtime.json").read_text())
    assert about["version"] in capsys.readouterr().out
    assert {path.name for path in runtime.iterdir()} == {*about["sha256"], "LICENSE", "runtime.json"}
    assert (runtime / "LICENSE").read_text().startswith(licence)


def test_they_are_fetched_packed_and_checked(fetcher, small):
    folder, files = small
    fetcher.main(folder)
    assert (folder / "a.mjs").read_bytes() == files["a.mjs"]
    assert gzip.decompress((folder / "b.wasm.gz").read_bytes()) == files["b.wasm.gz"]
    fetcher.main(folder, check=True)


def test_other_content_is_found_and_not_written(fetcher, small):
    folder, files = small
    files["a.mjs"] = b"other"
    with pytest.raises(SystemExit, match=r"other files than runtime.json says: a.mjs"):
        fetcher.main(folder)
    assert [path.name for path in folder.iterdir()] == ["runtime.json"]
    (folder / "b.wasm.gz").write_bytes(b"no archive")
    with pytest.raises(SystemExit, match=r"not those of p 1: a.mjs, b.wasm.gz"):
        fetcher.main(folder, check=True)
