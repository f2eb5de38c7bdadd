"""The Student-t copula in closed form, against independent quadrature and what holds of every elliptical copula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import chi2

from rating.engine.copula import (
    conditional_pd,
    conditional_pd_t,
    default_correlation,
    joint_default,
    mixing_nodes,
    student_cdf,
    student_quantile,
    vasicek_cdf,
    vasicek_quantile,
)

# The goal for the t copula.
STUDENT = 1e-6
CASES = [(3.0, 0.02, 0.1), (5.0, 0.1, 0.2), (30.0, 0.005, 0.03), (2.1, 0.3, 0.6)]


@pytest.mark.parametrize(("degrees", "pd", "rho"), CASES)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.6])
def test_the_large_pool_is_the_mixture_over_the_chi_square(degrees: float, pd: float, rho: float, share: float) -> None:
    def given(w: float) -> float:
        scaled = stdtrit(degrees, pd) * math.sqrt(w / degrees)
        return float(chi2.pdf(w, degrees) * ndtr((math.sqrt(1 - rho) * ndtri(share) - scaled) / math.sqrt(rho)))

    expected, _ = quad(given, 0.0, chi2.isf(1e-15, degrees), epsabs=1e-11, limit=400, points=[degrees])
    assert abs(float(student_cdf(share, pd, rho, degrees)) - expected) <= STUDENT


@pytest.mark.parametrize(("degrees", "pd", "rho"), CASES)
def test_the_quantile_inverts_the_distribution(degrees: float, pd: float, rho: float) -> None:
    levels = np.array([[0.0001, 0.01, 0.5], [0.9, 0.99, 0.9999]])
    shares = student_quantile(levels, pd, rho, degrees)
    assert shares.shape == levels.shape
    assert np.abs(student_cdf(shares, pd, rho, degrees) - levels).max() <= STUDENT
    assert student_quantile([0.0, 1.0], pd, rho, degrees).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("degrees", "pd", "rho"), CASES)
def test_the_conditional_probability_averages_to_the_unconditional(degrees: float, pd: float, rho: float) -> None:
    w, weights = mixing_nodes(degrees)
    step = 0.05
    factor = np.arange(-9.0, 9.0 + step, step)
    density = np.exp(-0.5 * factor**2) * step / math.sqrt(2 * math.pi)
    given = conditional_pd_t(pd, rho, factor[:, None], w, degrees)
    assert abs(float(density @ given @ weights) - pd) <= STUDENT


def test_the_moments_of_the_mixing_variable_are_those_of_the_chi_square() -> None:
    for degrees in (2.1, 4.0, 50.0, 5_000.0):
        w, weights = mixing_nodes(degrees)
        assert float(np.sum(weights * w**2)) == pytest.approx(1.0, abs=1e-12)
        assert float(np.sum(weights * w**4)) == pytest.approx(1.0 + 2.0 / degrees, abs=1e-12)


def test_many_degrees_of_freedom_are_the_gaussian_copula() -> None:
    # The t copula leaves the Gaussian one by terms of order 1 / v.
    assert abs(float(student_cdf(0.03, 0.02, 0.1, 1e7) - vasicek_cdf(0.03, 0.02, 0.1))) <= STUDENT
    assert abs(float(student_quantile(0.999, 0.02, 0.1, 1e7) - vasicek_quantile(0.999, 0.02, 0.1))) <= STUDENT
    assert conditional_pd_t(0.02, 0.1, -1.0, 1.0, 1e9) == pytest.approx(conditional_pd(0.02, 0.1, -1.0), abs=STUDENT)


@pytest.mark.parametrize("degrees", [None, 3.0, 10.0])
@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.3, 0.95])
def test_the_orthant_of_an_elliptical_pair_is_the_arcsine(degrees: float | None, rho: float) -> None:
    """P(X < 0, Y < 0) = 1/4 + asin(rho) / 2 pi for every elliptical pair (Sheppard 1899)."""
    expected = 0.25 + math.asin(rho) / (2 * math.pi)
    assert joint_default(0.5, 0.5, rho, degrees) == pytest.approx(expected, abs=1e-12)


def test_uncorrelated_t_loans_still_default_together() -> None:
    """Tail dependence without correlation: one mixing variable for the whole pool (Demarta & McNeil 2005)."""
    assert default_correlation(0.02, 0.02, 0.0) == 0.0
    assert default_correlation(0.02, 0.02, 0.0, 3.0) > 0.05


@pytest.mark.parametrize("degrees", [None, 4.0])
def test_certain_loans_and_perfect_correlation_are_the_bounds(degrees: float | None) -> None:
    assert joint_default(0.02, 0.05, 1.0, degrees) == pytest.approx(0.02)
    assert joint_default(0.02, 0.05, -1.0, degrees) == pytest.approx(0.0, abs=1e-15)
    assert joint_default(0.7, 0.6, -1.0, degrees) == pytest.approx(0.3)
    assert joint_default(0.0, 0.6, 0.3, degrees) == 0.0
    assert joint_default(1.0, 0.6, 0.3, degrees) == pytest.approx(0.6)
    assert default_correlation(1.0, 0.6, 0.3, degrees) == 0.0


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: student_cdf(0.1, 1.0, 0.1, 4.0), r"pd: 1.0 is outside \(0, 1\)"),
        (lambda: student_cdf(1.1, 0.1, 0.1, 4.0), r"share: 1.1 is outside \[0, 1\]"),
        (lambda: student_quantile(0.5, 0.1, 1.0, 4.0), r"rho: 1.0 is outside \(0, 1\)"),
        (lambda: student_cdf(0.1, 0.1, 0.1, 0.0), "degrees_of_freedom: 0.0 is not positive and finite"),
        (lambda: conditional_pd_t(0.1, 0.1, 0.0, 0.0, 4.0), "mixing: 0.0 is not positive"),
        (lambda: joint_default(0.1, 0.1, 1.5), r"rho: 1.5 is outside \[-1, 1\]"),
        (lambda: conditional_pd([0.1, -0.2], 0.1, 0.0), r"pd: -0.2 is outside \[0, 1\]"),
    ],
)
def test_what_cannot_be_is_refused(make: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()  # type: ignore[operator]
