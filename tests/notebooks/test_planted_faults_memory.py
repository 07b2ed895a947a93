"""Faults planted where chapter 7 measures: the claims they should break do not come out."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from scorevid import estimates
from scorevid.companion import claims
from scorevid.studies import memory
from scorevid.worlds.leaves import render
from scorevid.worlds.leaves.hidden import without_disk_1

LEDGER = yaml.safe_load((Path(__file__).parents[2] / "book" / "claims.yml").read_text())
BOUNDS = {claim["id"]: claim["bound"] for claim in LEDGER if claim["chapter"] == "07_memory"}
N, SEED = 24, 5


def test_every_claim_of_the_chapter_is_planted_against():
    assert set(BOUNDS) == {"memory.kept", "memory.lost", "memory.order", "memory.survival"}


def true_frames(f, m, scenes, n_samples, seed):
    return scenes.next_frame().expand(-1, n_samples, -1, -1)


def without_the_disk(f, m, scenes, n_samples, seed):
    return without_disk_1(scenes).next_frame().expand(-1, n_samples, -1, -1)


def fates(monkeypatch, samples, hidden=2):
    monkeypatch.setattr(memory, "_samples", samples)
    return memory.fates_of_hidden(None, 3, hidden, N, 2, SEED)


def test_disks_that_are_kept_or_dropped_are_counted_as_such(monkeypatch):
    kept, dropped = fates(monkeypatch, true_frames), fates(monkeypatch, without_the_disk)
    assert kept["kept"] == [1, 1, 1] and kept["missed"] == [0, 0, 0]
    assert dropped["dropped"] == [1, 1, 1] and dropped["missed"] == pytest.approx([1, 1, 1])
    assert claims.decide(kept["kept"], BOUNDS["memory.kept"]) == "holds"
    assert claims.decide(dropped["kept"], BOUNDS["memory.kept"]) == "fails"


def test_a_sampler_that_shows_what_the_past_does_not_is_found_out(monkeypatch):
    kept, dropped = fates(monkeypatch, true_frames), fates(monkeypatch, without_the_disk)
    assert claims.decide(kept["kept"], BOUNDS["memory.lost"]) == "fails"
    assert claims.decide(dropped["kept"], BOUNDS["memory.lost"]) == "holds"


def test_a_disk_of_another_grey_is_no_disk_that_is_kept(monkeypatch):
    def repainted(f, m, scenes, n_samples, seed):
        grey = scenes.grey.clone()
        grey[:, 1] = 1 - grey[:, 1]
        return scenes.replace(grey=grey).next_frame().expand(-1, n_samples, -1, -1)

    assert fates(monkeypatch, repainted)["changed"] == [1, 1, 1]


def test_what_comes_out_of_true_frames_is_what_comes_out(monkeypatch):
    monkeypatch.setattr(memory, "_samples", true_frames)
    found = memory.what_comes_out(None, 2, N, 2, SEED)
    assert found["something"] == [1, 1, 1]
    assert found["samples"]["angle"][::2] == found["truth"]["angle"] and len(found["truth"]["contrast"]) == N
    assert max(found["truth"]["angle"]) < 90  # behind the moving disk
    monkeypatch.setattr(memory, "_samples", without_the_disk)
    assert memory.what_comes_out(None, 2, N, 2, SEED)["something"] == [0, 0, 0]


def order_rows(monkeypatch, right):
    """Rows for an order of four frames ago, known to a memory of five and unknown to one of two."""
    scenes, ahead, known = memory._orders(4, N, SEED)

    def drawn(f, m, scenes, n_samples, seed):
        p = known[:, m - 2] if right else ahead.probabilities[:, 0]
        draw = torch.rand(len(scenes), n_samples, generator=torch.Generator().manual_seed(seed))
        chosen = (draw >= p[:, None]).long()
        return ahead.frames[torch.arange(len(scenes))[:, None], chosen]

    monkeypatch.setattr(memory, "_samples", drawn)
    return [{"case": 4} | memory.order_choices(None, m, 4, N, 16, SEED) for m in (2, 5)]


def test_orders_by_the_exact_law_are_right_and_orders_by_size_are_not(monkeypatch):
    shorter, longer = order_rows(monkeypatch, right=True)
    assert longer["right"] == [1, 1, 1] and longer["exact"] == pytest.approx(1) and shorter["exact"] < 0.99
    assert claims.decide(memory.pooled_error([longer]), BOUNDS["memory.order"]) == "holds"
    assert shorter["error"][1] < 0.05
    _, longer = order_rows(monkeypatch, right=False)
    assert claims.decide(memory.pooled_error([longer]), BOUNDS["memory.order"]) == "fails"


def test_scenes_that_several_memories_share_are_counted_once(monkeypatch):
    _, longer = order_rows(monkeypatch, right=False)
    once, twice = memory.pooled_error([longer]), memory.pooled_error([longer, longer])
    assert list(twice) == pytest.approx(list(once)) and twice.n == once.n <= N
    assert list(once) == pytest.approx(longer["error"], abs=1e-6)


def film(monkeypatch, alone):
    """The measures of films that are true, or that have lost disk 1."""

    def rolled(f, c, frames, sampler, **_):
        scenes = memory._passing(N, SEED)
        return render(without_disk_1(scenes) if alone else scenes, torch.arange(frames))

    monkeypatch.setattr(memory, "roll_out", rolled)
    monkeypatch.setattr(memory, "remembering", lambda f, m: f)
    return memory.films(None, 5, 14, N, SEED)


def test_films_that_keep_a_disk_survive_and_films_that_lose_it_do_not(monkeypatch):
    true, lost = film(monkeypatch, False), film(monkeypatch, True)
    assert true["kept"] == [2] * N and lost["kept"] == [0] * N
    assert true["survival"][memory.BY] == [1, 1, 1] and lost["survival"][memory.BY] == [0, 0, 0]
    assert true["survival_front"][0] == [1, 1, 1]
    assert true["drift"][13] == [0, 0, 0] and lost["drift"][0][1] > 0.01
    assert max(point[2] for point in true["flicker"]) == 0
    assert true["energy"][0] < lost["energy"][0] and true["floor"][0] >= 0

    def verdict(five, two):
        longer, shorter = (np.array(row["kept"]) / 2 for row in (five, two))
        return claims.decide(estimates.mean_interval(longer - 2 * shorter), BOUNDS["memory.survival"])

    assert verdict(true, lost) == "holds" and verdict(true, true) == verdict(lost, lost) == "fails"


def test_the_floor_of_films_is_that_of_draws_from_their_law():
    scenes = memory._passing(N, SEED)
    truths, p = memory._law_of_films(scenes, torch.arange(13))
    assert p.sum(1) == pytest.approx(1)
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(200):
        chosen = torch.multinomial(p.float(), 2, replacement=True, generator=generator)
        score, floor = memory._film_scores(truths[torch.arange(N)[:, None], chosen], truths, p)
        found.append(score.value)
    assert np.mean(found) == pytest.approx(floor.value, abs=4 * np.std(found) / 200**0.5 + 1e-6)
