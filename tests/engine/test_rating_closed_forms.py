"""Closed forms and quadratures of the rating against figures that others published or that follow from a formula."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from rating.engine.capital import corporate_capital
from rating.engine.copula import default_correlation, joint_default, vasicek_cdf, vasicek_quantile, vasicek_std
from rating.engine.creditrisk_plus import creditrisk_plus
from rating.engine.scenarios import ScenarioSet
from rating.engine.semianalytic import LossGrid, LossGroup, lifetime_control, loss_distribution
from rating.engine.simulation import simulate
from rating.engine.statistics import weighted_mean
from tests.engine.rating_pools import equal_loans, mixed_loans, model_of

CLOSED = 1e-9
pytestmark = pytest.mark.shared


def oracle(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "oracles/rating" / name).read_text())
    return found


def test_large_homogeneous_pool(shared: Path) -> None:
    data = oracle(shared, "01_vasicek_lhp.json")
    assert len(data["cases"]) >= 12
    for case in data["cases"]:
        pd, rho = case["pd"], case["rho"]
        for share, expected in case["cdf"].items():
            assert abs(float(vasicek_cdf(float(share), pd, rho)) - expected) <= CLOSED, (pd, rho, share)
        for probability, expected in case["quantile"].items():
            assert abs(float(vasicek_quantile(float(probability), pd, rho)) - expected) <= CLOSED, (pd, rho)
        assert abs(vasicek_std(pd, rho) - case["std"]) <= CLOSED, (pd, rho)


def test_finite_homogeneous_pool(shared: Path) -> None:
    for case in oracle(shared, "03_finite_homogeneous_pool.json")["cases"]:
        nodes = (1_600 if case["n"] > 100 else 400, 60)
        grid = loss_distribution([LossGroup(case["n"], case["pd"], 1)], market=math.sqrt(case["rho"]), nodes=nodes)
        assert np.abs(grid.pmf[:25] - case["pmf_first_25"]).max() <= CLOSED
        assert grid.mean == pytest.approx(case["mean"], abs=CLOSED)
        assert grid.quantile(0.999) == case["q999"]
        for name, expected in case["tranche_el"].items():
            low, high = (float(text) for text in name.split("-"))
            assert abs(grid.tranche_loss(low, high, case["n"] / case["lgd"]) - expected) <= CLOSED, name


def test_two_sectors_and_three_factors(shared: Path) -> None:
    case = oracle(shared, "05_two_sector_three_factor.json")
    groups = [LossGroup(n, pd, 1, k) for k, (n, pd) in enumerate(zip(case["n"], case["pd"], strict=True))]
    grid = loss_distribution(groups, market=case["beta_global"], sector=case["beta_sector"], nodes=(200, 120))
    assert np.abs(grid.pmf - case["pmf"]).max() <= CLOSED
    assert grid.quantile(0.999) == case["q999"]
    for name, expected in case["tranche_el_lgd1"].items():
        low, high = (float(text) for text in name.split("-"))
        assert abs(grid.tranche_loss(low, high, sum(case["n"])) - expected) <= CLOSED, name


def test_creditrisk_plus(shared: Path) -> None:
    case = oracle(shared, "09_creditrisk_plus_25.json")
    found = creditrisk_plus(case["exposure"], case["pd"], case["sd"], unit=case["unit"])
    # As printed in whole currency units.
    assert round(found.expected_loss) == case["printed"]["el"]
    mean = float(found.grid @ found.pmf)
    deviation = math.sqrt(float(found.grid**2 @ found.pmf) - mean**2)
    assert deviation == pytest.approx(case["std"], abs=0.01)
    assert found.standard_deviation == pytest.approx(case["std"], abs=0.01)
    assert abs(deviation - case["printed"]["std"]) <= 2  # printed from inputs with more digits than were published
    assert abs(found.quantile_interpolated(0.99) - case["printed"]["q99"]) <= case["unit"]
    assert mean == pytest.approx(case["mean_from_pmf"], abs=1e-3)
    for probability, expected in case["quantiles"].items():
        assert found.quantile(float(probability)) == pytest.approx(expected["grid"], abs=1e-6)
        assert found.quantile_interpolated(float(probability)) == pytest.approx(expected["interp"], abs=1.0)


def test_irb_corporate_risk_weights(shared: Path) -> None:
    cases = oracle(shared, "10_basel_irb_corporate_rw.json")["cases"]
    assert len(cases) == 19
    for case in cases:
        found = corporate_capital(float(case["pd"]), 0.45, 2.5) * 1250
        assert abs(found - case["printed"]) <= 0.01, case


def test_pairwise_joint_default(shared: Path) -> None:
    for case in oracle(shared, "13_pairwise_joint_default.json")["cases"]:
        pair = (case["pd_a"], case["pd_b"], case["rho"])
        assert abs(joint_default(*pair) - case["joint"]) <= 1e-12
        assert abs(default_correlation(*pair) - case["default_correlation"]) <= 1e-12


# ------------------------------------------------------------------------------------- against brute force, no oracle
def brute(pds: list[float], units: list[int], rho: float) -> np.ndarray:
    """Loss distribution of three loans from orthant probabilities of the multivariate normal."""
    n = len(pds)
    from scipy.special import ndtri

    covariance = np.full((n, n), rho) + (1 - rho) * np.eye(n)
    pmf = np.zeros(sum(units) + 1)
    for fate in product((1, -1), repeat=n):
        signs = np.array(fate)
        box = multivariate_normal(np.zeros(n), covariance * np.outer(signs, signs), seed=1)
        pmf[sum(u for u, sign in zip(units, fate, strict=True) if sign == 1)] += box.cdf(signs * ndtri(pds))
    return pmf


def test_unequal_loans_agree_with_the_multivariate_normal() -> None:
    pds, units = [0.02, 0.1, 0.3], [3, 1, 2]
    groups = [LossGroup(1, pd, unit) for pd, unit in zip(pds, units, strict=True)]
    grid = loss_distribution(groups, market=math.sqrt(0.2), nodes=(400, 60))
    assert np.abs(grid.pmf - brute(pds, units, 0.2)).max() < 1e-5  # the orthants are by quasi-Monte Carlo


def test_student_t_keeps_the_marginal_and_fattens_the_tail() -> None:
    groups = [LossGroup(50, 0.05, 1)]
    gaussian = loss_distribution(groups, market=0.4, nodes=(400, 60))
    student = loss_distribution(groups, market=0.4, degrees_of_freedom=4.0, nodes=(400, 60))
    assert student.mean == pytest.approx(2.5, abs=1e-6)
    assert student.pmf.sum() == pytest.approx(1.0, abs=1e-9)
    assert student.quantile(0.999) > gaussian.quantile(0.999)
    pair = loss_distribution([LossGroup(2, 0.05, 1)], market=0.4, degrees_of_freedom=4.0, nodes=(400, 60))
    # Two loans: the bivariate t at correlation 0.16, from scipy's multivariate t.
    from scipy.stats import multivariate_t
    from scipy.stats import t as student_t

    threshold = student_t(4).ppf(0.05)
    both = multivariate_t([0, 0], [[1, 0.16], [0.16, 1]], df=4, seed=3).cdf([threshold] * 2, maxpts=4_000_000)
    assert pair.pmf[2] == pytest.approx(both, abs=2e-6)


def test_the_control_agrees_with_the_simulation() -> None:
    loans = replace(mixed_loans(400, seed=5), sector=np.full(400, ""))
    model = model_of(
        np.full((3, 36), 0.006) * np.array([[0.5], [1.0], [2.0]]), np.full((3, 36), 0.02), ("A", "B", "C"),
        asset_correlation=0.15, pd_level_sigma=0.3, prepayment_sigma=0.5, prepayment_link=0.4,
    )  # fmt: skip
    control = lifetime_control(loans, model)
    scenarios = ScenarioSet.of_model(model, 4_096, seed=2)
    flows = simulate(loans, model, scenarios)
    share = flows.default.sum(axis=(0, 1)) / loans.balance.sum()
    mean, error = weighted_mean(share, scenarios.weights)
    assert abs(control.mean - mean) < 4 * error
    below, spread = weighted_mean((share <= control.quantiles[0.99]).astype(float), scenarios.weights)
    assert abs(below - 0.99) < 4 * spread + 0.002  # the conditional distribution is taken as normal


# ------------------------------------------------------------------------------------------------------- edge cases
def test_a_pool_of_one_loan_and_certain_fates() -> None:
    assert loss_distribution([LossGroup(1, 0.3, 1)], market=0.5, nodes=(200, 60)).pmf == pytest.approx([0.7, 0.3])
    never = loss_distribution([LossGroup(5, 0.0, 1)], market=0.5, nodes=(200, 60))
    assert never.mean == pytest.approx(0.0, abs=1e-12)
    always = loss_distribution([LossGroup(5, 1.0, 1)], market=0.5, nodes=(200, 60))
    assert always.mean == pytest.approx(5.0, abs=1e-12)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LossGroup(1, 1.2, 1), r"pd: 1.2 is outside \[0, 1\]"),
        (lambda: LossGroup(0, 0.2, 1), "count: 0, expected at least 1"),
        (lambda: LossGroup(1, 0.2, -1), "units: -1 is negative"),
        (lambda: loss_distribution([], market=0.3), "groups: no loan"),
        (lambda: loss_distribution([LossGroup(1, 0.2, 1)], market=1.0), "leave nothing of the loan's own"),
        (lambda: loss_distribution([LossGroup(1, 0.2, 1)], market=0.1, degrees_of_freedom=0.0), "0.0 is not positive"),
        (lambda: LossGrid(np.array([0.5, 0.5])).tranche_loss(0.3, 0.3, 1.0), "0.3 to 0.3 has no thickness"),
        (lambda: LossGrid(np.array([0.5, 0.5])).quantile(0.0), r"probability: 0.0 is outside \(0, 1\]"),
        (lambda: joint_default(0.2, 1.2, 0.1), r"pd_b: 1.2 is outside \[0, 1\]"),
        (lambda: corporate_capital(1.2, 0.4, 2.5), r"pd: 1.2 is outside \[0, 1\]"),
        (lambda: lifetime_control(equal_loans(2), model_of(np.zeros((1, 1)), np.zeros((1, 1)), ("A",),
            factor_persistence=0.5)), "the control follows the Gaussian copula"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
