"""What counts by quarter say: quadrature against brute force, known answers back from simulated counts, severity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri
from scipy.stats import binom, norm

from rating.engine import posterior
from rating.engine.hazards import DEFAULTED, MATURED, History, fit_hazards
from rating.engine.posterior import loading_posterior, sector_share
from rating.engine.vintages import VintageCounts, severity

LATER = 10_000
GRID = np.linspace(-9.0, 9.0, 20_001)
FINE = np.linspace(-8.0, 8.0, 1_601)


def _counts(
    quarters: int, loans: int, rho: float, share: float, seed: int, *, level: float = 0.0, sectors: int = 4
) -> VintageCounts:
    """Counts from the two-factor Gaussian copula with default probability 10 % (compensator 10 % of the loans)."""
    rng = np.random.default_rng(seed)
    market, own = rng.standard_normal((quarters, 1)), rng.standard_normal((quarters, sectors))
    threshold = ndtri(-np.expm1(np.exp(level) * np.log1p(-0.1)))
    score = np.sqrt(rho * (1 - share)) * market + np.sqrt(rho * share) * own
    conditional = ndtr((threshold - score) / np.sqrt(1 - rho))
    size = np.full((quarters, sectors), float(loans))
    names = tuple(f"region {k}" for k in range(sectors))
    found = rng.binomial(loans, conditional).astype(float)
    return VintageCounts(np.arange(quarters), names, size, 0.1 * size, found)


@pytest.mark.parametrize(("loans", "found", "rho"), [(50, 3, 0.02), (2_000, 420, 0.05), (200_000, 9_000, 0.15)])
def test_the_centred_quadrature_integrates_the_factor_out(loans: int, found: int, rho: float) -> None:
    # Against the trapezoid rule on 20,001 nodes; with 200,000 loans the integrand is a thousandth of a factor wide.
    size, bad, threshold = np.array([float(loans)]), np.array([float(found)]), ndtri(0.1)
    ours = posterior._log_likelihood(rho, size, bad, np.array([[threshold]]))[0]
    conditional = ndtr((threshold - np.sqrt(rho) * GRID) / np.sqrt(1 - rho))
    log_value = binom.logpmf(found, loans, conditional) + norm.logpdf(GRID)
    top = log_value.max()
    brute = top + np.log(np.trapezoid(np.exp(log_value - top), GRID))
    constant = binom.logpmf(found, loans, 0.5) + loans * np.log(2.0)
    assert ours + constant == pytest.approx(brute, abs=1e-4)


def test_the_two_factor_quadrature_integrates_both_factors_out() -> None:
    rho, share = 0.08, 0.4
    size, found, p = np.array([[400.0, 900.0]]), np.array([[61.0, 88.0]]), np.full((1, 2), 0.1)
    ours = posterior._sector_likelihood(rho, share, size, found, p, np.ones((1, 2), dtype=bool))
    market, own = FINE[:, None], FINE[None, :]
    score = np.sqrt(rho * (1 - share)) * market + np.sqrt(rho * share) * own
    conditional = ndtr((ndtri(0.1) - score) / np.sqrt(1 - rho))
    total = norm.logpdf(FINE)
    for n, k in zip(size[0], found[0], strict=True):
        value = np.trapezoid(np.exp(binom.logpmf(k, n, conditional) + norm.logpdf(own)), FINE, axis=1)
        total = total + np.log(value) - binom.logpmf(k, n, 0.5) - n * np.log(2.0)
    top = total.max()
    assert ours == pytest.approx(top + np.log(np.trapezoid(np.exp(total - top), FINE)), abs=1e-4)


def test_known_correlation_and_level_come_back() -> None:
    modes, levels = [], []
    for seed in range(8):
        found = loading_posterior(_counts(80, 500, 0.06, 0.0, seed=seed, level=0.2), prior=0.06)
        assert found is not None
        assert found.quarters == 80
        assert found.density.sum() == pytest.approx(1.0)
        assert found.correlation.low < 0.06 < found.correlation.high
        assert found.level.low < 0.2 < found.level.high
        # Twenty effective quarters: the standard error of ln(rho) is about sqrt(2 / 20) = 0.32, less the prior's part.
        assert 0.2 < found.log_correlation.sd < 0.4
        modes.append(found.correlation.mode)
        levels.append(found.level.mean)
    # Eighty independent quarters: ln(rho) to sqrt(2 / 80) = 0.16 a seed; four standard errors over eight of them.
    assert np.mean(np.log(modes)) == pytest.approx(np.log(0.06), abs=4 * 0.16 / np.sqrt(8))
    assert np.mean(levels) == pytest.approx(0.2, abs=4 * np.std(levels) / np.sqrt(8))


def test_the_interval_of_the_correlation_covers_as_often_as_it_says() -> None:
    # Likelihood ratio, 95 %: 40 seeds, binomial standard error 3.4 points; the bound at three of them.
    inside = 0
    for seed in range(40):
        found = loading_posterior(_counts(24, 300, 0.05, 0.0, seed=100 + seed), prior=0.05)
        assert found is not None
        inside += found.likelihood_low <= 0.05 <= found.likelihood_high
    assert inside >= 34


def test_more_quarters_narrow_the_posterior_and_few_leave_it_to_the_prior() -> None:
    widths = []
    for quarters in (6, 24, 96):
        found = loading_posterior(_counts(quarters, 500, 0.05, 0.0, seed=3), prior=0.05)
        assert found is not None
        widths.append(found.log_correlation.sd)
    assert widths[0] > widths[1] > widths[2]
    assert widths[0] < posterior.PRIOR_SIGMA * 1.02
    assert loading_posterior(_counts(5, 500, 0.05, 0.0, seed=3), prior=0.05) is None
    with pytest.raises(ValueError, match=r"prior: 1\.5 is outside \(0, 1\)"):
        loading_posterior(_counts(8, 500, 0.05, 0.0, seed=3), prior=1.5)


def test_a_known_sector_share_comes_back_and_a_hopeless_one_is_not_claimed() -> None:
    rho = np.array([0.03, 0.05, 0.08])
    found = sector_share(_counts(60, 2_000, 0.05, 0.4, seed=4), rho)
    assert found is not None
    assert found.identified
    assert found.low <= 0.4 <= found.high
    assert found.high - found.low < 0.4
    blind = sector_share(_counts(8, 40, 0.005, 0.4, seed=5), rho)
    assert blind is not None
    assert not blind.identified
    assert sector_share(_counts(60, 2_000, 0.05, 0.4, seed=4).pooled(), rho) is None


def _losses(share: dict[str, tuple[float, float]], n: int, seed: int) -> History:
    """n charge-offs a grade; each recovers a beta share with the given mean and sd."""
    rng = np.random.default_rng(seed)
    grades = np.repeat(list(share), n)
    mean, sd = (np.array([share[g][k] for g in grades]) for k in range(2))
    size = mean * (1 - mean) / sd**2 - 1
    recovered = rng.beta(mean * size, (1 - mean) * size)
    count = len(grades)
    return History(
        issue_month=rng.integers(0, 24, count),
        term=np.full(count, 36),
        grade=grades,
        rate=np.array([0.05 + 0.05 * list(share).index(g) for g in grades]),
        balance=np.full(count, 100.0),
        exit_month_on_book=np.full(count, 10),
        exit_kind=np.where(np.arange(count) % 50 == 49, MATURED, DEFAULTED),
        charged_off=np.full(count, 80.0),
        net_recovery=80.0 * recovered,
    )


def test_severity_by_grade_leans_on_the_mean_as_far_as_grades_are_alike() -> None:
    alike = _losses({"A": (0.1, 0.08), "B": (0.1, 0.08)}, 400, seed=6)
    apart = _losses({"A": (0.05, 0.05), "B": (0.30, 0.05)}, 400, seed=6)
    near, far = (severity(history, fit_hazards(history, LATER)) for history in (alike, apart))
    assert near is not None
    assert far is not None
    assert max(near.by_grade) - min(near.by_grade) < 0.01
    assert far.by_grade == pytest.approx((0.95, 0.70), abs=0.01)
    assert min(far.credibility) > 0.95
    assert near.mean == pytest.approx(0.9, abs=4 * near.error)
    # 784 loss shares of sd 0.08: 0.08 / 28 = 0.0029.
    assert near.error == pytest.approx(0.0029, rel=0.4)


def test_severity_noise_has_the_mean_and_the_variance_of_the_loans() -> None:
    history = _losses({"A": (0.2, 0.15)}, 4_000, seed=7)
    found = severity(history, fit_hazards(history, LATER))
    assert found is not None
    own = found.noise * np.random.default_rng(8).standard_normal(400_000)
    draws = ndtr(ndtri(found.mean) * np.sqrt(1 + found.noise**2) + own)
    assert draws.mean() == pytest.approx(0.8, abs=0.01)
    assert draws.std() == pytest.approx(0.15, abs=0.006)
