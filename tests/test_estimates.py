"""How figures and their intervals are written."""

import pytest

from scorevid.estimates import format_interval, format_number


@pytest.mark.parametrize(
    "value, low, high, text",
    [
        (0.1, 0.08, 0.12, "0.100 [0.080, 0.120]"),
        (0.5, 0.4, 0.6, "0.50 [0.40, 0.60]"),
        (0.97, 0.87, 1.02, "0.97 [0.87, 1.02]"),
        (-0.001, -0.5, 0.5, "0.0 [−0.5, 0.5]"),
        (1234.5, 834.0, 1634.0, "1,200 [800, 1,600]"),
        (0.25, 0.25, 0.25, "0.25"),
        (-2.62, -7.17, 1.92, "−2.6 [−7.2, 1.9]"),
        (0.116, -0.27, 0.5, "0.12 [−0.27, 0.50]"),
        (2.34e-7, 2.34e-7, 2.34e-7, "2.3 × 10⁻⁷"),
        (2.3e-7, 2.1e-7, 2.5e-7, "2.3 × 10⁻⁷ [2.1 × 10⁻⁷, 2.5 × 10⁻⁷]"),
        (0, 0, 0, "0"),
    ],
)
def test_figures_are_rounded_by_their_interval(value, low, high, text):
    assert format_interval(value, low, high) == text


@pytest.mark.parametrize(
    "value, text",
    [
        (0.1234, "0.12"),
        (-3.0, "−3.0"),
        (1300, "1,300"),
        (9.96e-7, "1.0 × 10⁻⁶"),
        (-4e-6, "−4.0 × 10⁻⁶"),
        (0.00096, "9.6 × 10⁻⁴"),
    ],
)
def test_numbers_have_two_significant_digits(value, text):
    assert format_number(value) == text
