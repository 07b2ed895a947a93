"""Everything that is measured of each network, several networks at a time in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorevid.studies.representations import causes, inside
from scorevid.studies.representations.networks import FOLDER, NETWORKS, SEEDS, load_network
from scorevid.studies.side_by_side import side_by_side

PIXELS = "pixels"  #: in the place of a network: the baseline of readouts
OURS = tuple(f"blind-{seed}" for seed in SEEDS)

Case = tuple[float, int, str]  # noise level, margin in pixels, block


@dataclass(frozen=True)
class Plan:
    """How much is measured. scenes: of each kind to judge on; chosen: to choose on, drawn with the seed before; steered: in
    which σ is moved. folder: of the networks."""

    scenes: int = 600
    chosen: int = 150
    steered: int = 200
    seed: int = 51
    folder: str = str(FOLDER)

    def choose_odds(self) -> Case:
        """Where the log odds are decoded best from our networks, mean over seeds, on the scenes to choose on."""
        met, found = inside.meetings(self.chosen, self.seed - 1), {}
        for name in OURS:
            for row in inside.odds_rows(load_network(name, Path(self.folder)), met, self.seed - 1):
                case = row["sigma"], row["margin"], row["block"]
                found.setdefault(case, []).append(row["figure"][0])
        return max(found, key=lambda case: np.mean(found[case]))

    def rows_of(self, name: str, odds: Case) -> list[dict]:
        """All rows of one network, or of the baseline of pixels. odds: where the log odds are decoded."""
        scenes, met = inside.random_scenes(self.scenes, self.seed), inside.meetings(self.scenes, self.seed)
        if name == PIXELS:
            return [{"network": name} | row for row in inside.readout_rows(None, scenes, met, self.seed)]
        f = load_network(name, Path(self.folder))
        rows = [*inside.sparsity_rows(f, scenes, self.seed), *inside.readout_rows(f, scenes, met, self.seed)]
        rows += [*inside.adaptation_rows(f, scenes, met, self.seed), *inside.odds_rows(f, met, self.seed, [odds])]
        before = inside.meetings(self.chosen, self.seed - 1)
        if name in NETWORKS:
            rows.append(causes.ablation_row(f, before, met, self.seed))
        if name in OURS:
            rows += causes.steering_rows(f, before, met.part(slice(self.steered)), self.seed)
        return [{"network": name} | row for row in rows]

    def rows(self, names: Sequence[str], odds: Case, workers: int = 2) -> Iterator[list[dict]]:
        """:meth:`rows_of` each name, in their order, so many at a time."""
        yield from side_by_side(self.rows_of, names, [odds] * len(names), workers=workers)
