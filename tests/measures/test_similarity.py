"""Similarity of representations: invariances, known values, and no bias where there are few scenes."""

import itertools
import math

import numpy as np
import pytest

from scorevid.measures.representations import linear_cka, over_scenes, procrustes_distance, unbiased_hsic

RNG = np.random.default_rng(0)
A = RNG.normal(size=(30, 8)) * np.arange(1, 9)
ROTATION = np.linalg.qr(RNG.normal(size=(8, 8)))[0]


def biased_cka(a, b):
    a, b = a - a.mean(0), b - b.mean(0)
    return np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))


def test_hsic_is_the_mean_over_all_quadruples_of_scenes():
    """Its definition as a U-statistic, for few scenes: would catch a wrong factor of any of its three terms."""
    k, l = (v @ v.T for v in (RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))))  # noqa: E741
    terms = [k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in itertools.permutations(range(6), 4)]
    assert unbiased_hsic(k, l) == pytest.approx(np.mean(terms))


def test_rotation_scale_and_shift_change_nothing():
    moved = 3 * A @ ROTATION + 5
    assert linear_cka(A, moved) == pytest.approx(1)
    assert procrustes_distance(A, moved) == pytest.approx(0, abs=1e-6)
    b = RNG.normal(size=(30, 5))
    assert linear_cka(A, b) == pytest.approx(linear_cka(moved, b)) == pytest.approx(linear_cka(b, A))
    assert procrustes_distance(A, b) == pytest.approx(procrustes_distance(moved, b))


def test_other_maps_than_rotations_do_count():
    """Would catch a measure that any invertible map leaves as it is, like the correlation of canonical variables."""
    assert linear_cka(A, A / np.arange(1, 9) ** 2) < 0.9
    assert procrustes_distance(A, A / np.arange(1, 9) ** 2) > 0.3


def test_independent_features_have_no_similarity_even_of_few_scenes():
    draws = [np.random.default_rng(seed).normal(size=(2, 20, 60)) for seed in range(40)]
    unbiased = [linear_cka(a, b) for a, b in draws]
    assert abs(np.mean(unbiased)) < 3 * np.std(unbiased) / math.sqrt(40) < 0.1
    assert np.mean([biased_cka(a, b) for a, b in draws]) > 0.7


def test_half_of_the_channels_in_common():
    """Of independent channels of unit variance, half of which are shared, the CKA of the whole population is ½."""
    a, b, c = np.random.default_rng(1).normal(size=(3, 1200, 6))
    assert linear_cka(np.hstack([a, b]), np.hstack([a, c])) == pytest.approx(0.5, abs=0.04)
    assert procrustes_distance(np.hstack([a, b]), np.hstack([a, c])) == pytest.approx(1, abs=0.05)


def test_orthogonal_features_are_farthest_apart():
    a, b = np.zeros((4, 2)), np.zeros((4, 1))
    a[:, 0], b[:, 0] = [1, 1, -1, -1], [1, -1, 1, -1]
    assert procrustes_distance(a, b) == pytest.approx(math.sqrt(2))


def test_the_interval_covers_the_truth():
    """Over data sets whose similarity is ½: would catch a standard error of wrong scale."""
    inside, widths, values = 0, [], []
    for seed in range(40):
        a, b, c = np.random.default_rng(seed).normal(size=(3, 60, 4))
        estimate = over_scenes(linear_cka, np.hstack([a, b]), np.hstack([a, c]), parts=20)
        inside += estimate.low <= 0.5 <= estimate.high
        widths.append(estimate.high - estimate.low)
        values.append(estimate.value)
    assert inside >= 33
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.35)


def test_scenes_of_a_group_are_left_out_together():
    """Copies of scenes are no more scenes: would catch an interval that is narrower for them."""
    a, b, c = np.random.default_rng(0).normal(size=(3, 40, 4))
    a, b = np.hstack([a, b]), np.hstack([a, c])
    own = over_scenes(procrustes_distance, a, b)
    twice = over_scenes(procrustes_distance, np.tile(a, (2, 1)), np.tile(b, (2, 1)), np.tile(np.arange(40), 2))
    assert twice.n == own.n == 40 and own.kind == "jackknife"
    np.testing.assert_allclose(twice, own, rtol=1e-6)


@pytest.mark.parametrize(
    "a, b",
    [(A, A[:20]), (A[:3], A[:3]), (A[:, 0], A), (A, np.full_like(A, np.nan))],
)
def test_what_cannot_be_compared_is_refused(a, b):
    for measure in (linear_cka, procrustes_distance):
        with pytest.raises(ValueError, match="a and b must be"):
            measure(a, b)
    with pytest.raises(ValueError):
        over_scenes(linear_cka, a, b)


def test_groups_must_fit_and_what_does_not_vary_has_no_similarity():
    with pytest.raises(ValueError, match="groups must be"):
        over_scenes(linear_cka, A, A, groups=np.arange(30) % 5)
    assert math.isnan(linear_cka(A, np.ones((30, 2)))) and math.isnan(procrustes_distance(A, np.ones((30, 2))))
