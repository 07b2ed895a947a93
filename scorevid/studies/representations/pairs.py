"""How alike networks are inside: each pair of them, on the same scenes, as plain data.

By φ of each block, "cka" and "procrustes" (:mod:`scorevid.measures.representations.similarity`). And by active sets: of any
two scenes the overlap of their sets of all ReLUs is found in each network, and "active sets" is the correlation of these
overlaps between the two networks, over pairs of scenes. So networks are compared that have no units in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import torch
from torch import nn

from scorevid.measures.representations.activations import active_sets, rectifiers
from scorevid.measures.representations.overlaps import between_scenes
from scorevid.measures.representations.similarity import linear_cka, over_scenes, procrustes_distance
from scorevid.studies.representations.inside import Seen, averages

ALIKE_AT = (0.3, 3.0)  #: noise levels, grey units
MEASURES = {"cka": linear_cka, "procrustes": procrustes_distance}
PARTS = 20  # of the scenes, one of which the jackknife leaves out at a time


def similarity_rows(networks: Mapping[str, nn.Module], seen: Seen, seed: int, sets: int = 100) -> Iterator[dict]:
    """A row for each pair, σ, block and measure. networks: by name. sets: scenes for the overlaps of active sets."""
    for sigma in ALIKE_AT:
        phi = {name: averages(f, seen, sigma, seed) for name, f in networks.items()}
        part = seen.part(slice(sets))
        index = {name: overlaps_of_scenes(f, part, sigma, seed) for name, f in networks.items()}
        for one, other in combinations(networks, 2):
            row = {"kind": "similarity", "one": one, "other": other, "sigma": sigma}
            for block in phi[one]:
                for name, measure in MEASURES.items():
                    figure = over_scenes(measure, phi[one][block], phi[other][block], parts=PARTS)
                    yield row | {"block": block, "measure": name, "figure": list(figure)}
            value = float(np.corrcoef(index[one], index[other])[0, 1])
            yield row | {"block": "all", "measure": "active sets", "figure": value}


def overlaps_of_scenes(network: nn.Module, seen: Seen, sigma: float, seed: int) -> np.ndarray:
    """Jaccard index of the active sets of any two of n scenes: (n (n − 1) / 2,)."""
    draw = torch.Generator().manual_seed(seed)
    found = active_sets(network, seen.c, seen.x, sigma, generator=draw, blocks=rectifiers(network))
    index = between_scenes(torch.cat(list(found.values()), 1))
    rows = torch.triu_indices(len(seen), len(seen), 1)
    return index[rows[0], rows[1]].numpy()
