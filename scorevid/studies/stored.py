"""Results of long measurements, stored with their parameters in ``scorevid/studies/results``, from where chapters draw them.

``make sweep`` runs the notebooks in ``notebooks/sweeps`` by papermill, which measure and store. (A sampler of older results is
given by the arguments that ``solve`` or ``ascend`` had then.)
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scorevid.sampling.sampler import Sampler

FOLDER = Path(__file__).parent / "results"


def settings_of(sampler: Sampler) -> dict:
    """A sampler as it is stored: the name of its class as "sampler", and its fields."""
    return {"sampler": type(sampler).__name__} | asdict(sampler)


def store_results(name: str, parameters: dict, results: list[dict], folder: Path | str = "") -> Path:
    """Write results with their parameters, a line each, into the package's own folder if none is given; returns the path."""
    folder = Path(folder) if str(folder) else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in results)
    path.write_text(f'{{"parameters": {json.dumps(parameters, ensure_ascii=False)},\n"results": [\n{rows}\n]}}\n')
    return path


@dataclass
class Results:
    """Results that are stored one after the other, so that an interrupted sweep leaves those it has."""

    name: str
    parameters: dict
    folder: Path | str = ""
    rows: list[dict] = field(default_factory=list)

    def add(self, **row) -> None:
        """Keep one more, and write all of them."""
        self.rows.append(row)
        store_results(self.name, self.parameters, self.rows, self.folder)


def load_results(name: str, folder: Path | str = "") -> dict:
    """Stored "parameters" and "results", from the package's own folder if none is given. ValueError if they are not there."""
    folder = Path(folder) if str(folder) else FOLDER
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in folder.glob("*.json"))) or "none"
        raise ValueError(f"name must be one of the stored results, {known}; got {name!r}")
    return json.loads(path.read_text())
