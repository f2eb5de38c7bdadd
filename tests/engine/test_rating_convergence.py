"""Does the simulation converge to the truth, and do its intervals say how far it still is?

Against exact oracles of finite pools, large-pool limits, joint defaults and the published vectors of the generator.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit
from numpy.typing import NDArray
from scipy import stats
from scipy.integrate import dblquad, quad
from scipy.special import log_ndtr, ndtri

from pooling.engine.loans import LoanArrays
from rating.engine import kernels, layout
from rating.engine.exact import lookup
from rating.engine.layout import Tables
from rating.engine.model import CreditModel
from rating.engine.philox import philox4x32, uniforms
from rating.engine.scenarios import Proposal, ScenarioSet
from rating.engine.simulation import Simulator, choose_engine
from rating.engine.statistics import weighted_mean, weighted_quantile
from tests.engine.rating_pools import equal_loans, model_of

FloatArray = NDArray[np.float64]

Z = 4.0  # standard errors at a fixed seed
Z95 = 1.959963984540054
SEEDS = 200
TABLE_TOLERANCE = 1e-6  # relative, of the cubic tables


# ---- The generator


def _vectors(shared: Path) -> list[tuple[list[int], list[int], list[int]]]:
    """Random123's known answers (kat_vectors, philox4x32 with 10 rounds): counter, key, words."""
    rows = []
    for line in (shared / "tables/philox4x32_10_kat.csv").read_text().splitlines():
        if line.startswith(("#", "ctr,")):
            continue
        words = []
        for field in line.split(","):
            # "ffffffff x4" stands for a word four times.
            word, _, times = field.partition(" x")
            words.append([int(word, 16)] * int(times) if times else [int(item, 16) for item in field.split()])
        counter, key, out = words
        # A lone 0 stands for a key of zeros.
        rows.append((counter, key * (2 // len(key)), out))
    return rows


@njit
def _compiled(c0, c1, c2, c3, k0, k1):
    return kernels._words(c0, c1, c2, c3, k0, k1)


@pytest.mark.shared
def test_philox_gives_the_published_words_in_numpy_and_compiled(shared: Path) -> None:
    vectors = _vectors(shared)
    assert len(vectors) == 3
    for counter, key, expected in vectors:
        words = philox4x32(counter, key)
        assert words.tolist() == expected
        # A uniform is (its 52 bits + 1/2) / 2**52: 26 high bits of each of two words.
        bits = [(expected[k] >> 6 << 26) | (expected[k + 1] >> 6) for k in (0, 2)]
        drawn = _compiled(*(np.uint64(word) for word in (*counter, *key)))
        assert [int(u * 2**52 - 0.5) for u in drawn] == bits
        assert uniforms(words).tolist() == list(drawn)


def test_numpy_and_compiled_words_agree_on_any_counter() -> None:
    words = np.random.default_rng(5).integers(0, 2**32, (500, 6), dtype=np.uint64)
    words[0], words[1] = 0, 2**32 - 1
    numpy = uniforms(philox4x32(words[:, :4], words[:, 4:]))
    compiled = [_compiled(*row) for row in words]
    assert numpy.tolist() == [list(pair) for pair in compiled]
    assert len(np.unique(numpy)) == numpy.size


# ---- Pools whose whole distribution is known


def hazard_of(*pd: float) -> FloatArray:
    """One month in which a loan defaults with its probability: -ln(1 - PD)."""
    return -np.log1p(-np.array(pd))[:, None]


def one_month(*pd: float, **changes: Any) -> CreditModel:
    """One band a probability, one payment left, nothing recovered in time: a default loses balance x LGD."""
    bands = ("A", "B")[: len(pd)]
    known = {"charge_off_lag": 0, "recovery_lag": 0, "severity_mean": 1.0}
    return model_of(hazard_of(*pd), np.zeros((len(pd), 1)), bands, **(known | changes))


def defaults_of(
    loans: LoanArrays, model: CreditModel, compiled: bool | None = None
) -> Callable[[ScenarioSet], FloatArray]:
    """Scenario set -> (S,) number of loans of balance 1 that default."""
    simulator = Simulator(loans, model, choose_engine(loans, model, "exact", compiled))

    def count(scenarios: ScenarioSet) -> FloatArray:
        return np.rint(simulator.sums(scenarios)[:, :, layout.DEFAULT].sum(axis=(1, 2)))

    return count


def finite_pool(case: Mapping[str, Any]) -> Callable[[ScenarioSet], FloatArray]:
    """Oracle 03: n equal loans under one factor."""
    return defaults_of(equal_loans(case["n"]), one_month(case["pd"], asset_correlation=case["rho"]))


def two_sectors(oracle: Mapping[str, Any], compiled: bool | None = None) -> Callable[[ScenarioSet], FloatArray]:
    """Oracle 05: X = 0.35 G + 0.30 S_k + own; rho is the sum of squares, sector_share the sectors' part of it."""
    model = sector_model(oracle)
    first, second = oracle["n"]
    loans = equal_loans(first + second)
    sector = np.array(["one"] * first + ["two"] * second)
    loans = replace(loans, sector=sector, grade=np.where(sector == "one", "A", "B"))
    return defaults_of(loans, model, compiled)


def sector_model(oracle: Mapping[str, Any]) -> CreditModel:
    shared, own = oracle["beta_global"] ** 2, oracle["beta_sector"] ** 2
    return one_month(
        *oracle["pd"], asset_correlation=shared + own, sector_share=own / (shared + own), sectors=("one", "two")
    )


def slice_of(name: str, loss: FloatArray) -> FloatArray:
    """Loss share of a class named "attachment-detachment"."""
    low, high = (float(part) for part in name.split("-"))
    return np.clip((loss - low) / (high - low), 0.0, 1.0)


def oracle_of(shared: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "oracles/rating" / name).read_text())
    return found


def sets(
    names: tuple[str, ...], proposal: Proposal, size: int, direction: Mapping[str, float], seeds: int
) -> list[ScenarioSet]:
    return [
        ScenarioSet.draw(size, seed=seed, names=names, proposal=proposal, direction=direction) for seed in range(seeds)
    ]


def coverage(values: list[FloatArray], drawn: list[ScenarioSet], truth: float) -> float:
    """Share of the sets whose 95 % interval, mean +- 1.96 standard errors, holds the truth."""
    held = 0
    for value, scenarios in zip(values, drawn, strict=True):
        mean, error = weighted_mean(value, scenarios.weights)
        held += abs(mean - truth) <= Z95 * error
    return held / len(values)


# Sets of independent draws have intervals of 95 %; of Sobol points wider ones, which hold the truth more often.
LOWEST = 0.90
COVERED: dict[Proposal, float] = {"plain": 0.99, "normal": 1.0, "wide": 1.0, "importance": 1.0}
# Classes that a set of 512 reaches often enough for a normal interval; a shift of the factor reaches the senior ones.
REACHED: dict[Proposal, tuple[str, ...]] = {
    "plain": ("0-0.03", "0.03-0.07", "0.07-0.15"),
    "normal": ("0-0.03", "0.03-0.07", "0.07-0.15"),
    "wide": ("0-0.03", "0.03-0.07", "0.07-0.15", "0.15-0.3"),
    "importance": ("0.07-0.15", "0.15-0.3"),
}


@pytest.mark.shared
@pytest.mark.parametrize("proposal", COVERED)
def test_intervals_of_two_hundred_seeds_cover_the_oracle_of_two_sectors(shared: Path, proposal: Proposal) -> None:
    oracle = oracle_of(shared, "05_two_sector_three_factor.json")
    names = ("market", "sector:one", "sector:two")
    drawn = sets(names, proposal, 512, {"market": 0.35, "sector:one": 0.1, "sector:two": 0.3}, SEEDS)
    count = two_sectors(oracle)
    losses = [count(scenarios) / sum(oracle["n"]) for scenarios in drawn]
    found = {"pool": coverage(losses, drawn, oracle["mean"] / sum(oracle["n"]))}
    for name in REACHED[proposal]:
        truth = oracle["tranche_el_lgd1"][name]
        found[name] = coverage([slice_of(name, loss) for loss in losses], drawn, truth)
    assert all(LOWEST <= share <= COVERED[proposal] for share in found.values()), found


@pytest.mark.shared
@pytest.mark.parametrize("proposal", COVERED)
def test_intervals_of_two_hundred_seeds_cover_the_oracle_of_equal_loans(shared: Path, proposal: Proposal) -> None:
    case = oracle_of(shared, "03_finite_homogeneous_pool.json")["cases"][0]
    drawn = sets(("market",), proposal, 512, {"market": 1.0}, SEEDS)
    count = finite_pool(case)
    losses = [count(scenarios) * case["lgd"] / case["n"] for scenarios in drawn]
    found = {"pool": coverage(losses, drawn, case["mean"] * case["lgd"] / case["n"])}
    for name in ("0-0.03", "0.03-0.07", "0.07-0.1"):
        found[name] = coverage([slice_of(name, loss) for loss in losses], drawn, case["tranche_el"][name])
    assert all(LOWEST <= share <= COVERED[proposal] for share in found.values()), found


@pytest.mark.shared
def test_the_error_falls_with_the_scenarios(shared: Path) -> None:
    """Root mean square error of independent sets halves from 256 to 1,024; that of Sobol-wide sets is below it."""
    oracle = oracle_of(shared, "05_two_sector_three_factor.json")
    names, direction = ("market", "sector:one", "sector:two"), {"market": 0.35, "sector:one": 0.1, "sector:two": 0.3}
    count, truth = two_sectors(oracle), oracle["tranche_el_lgd1"]["0.15-0.3"]

    def error(proposal: Proposal, size: int) -> float:
        gaps = []
        for scenarios in sets(names, proposal, size, direction, SEEDS):
            values = slice_of("0.15-0.3", count(scenarios) / sum(oracle["n"]))
            gaps.append(weighted_mean(values, scenarios.weights)[0] - truth)
        return float(np.sqrt(np.mean(np.square(gaps))))

    few, many = error("plain", 256), error("plain", 1024)
    # A root mean square of 200 has a relative error of 5 %, more with heavy tails: 2 within a quarter.
    assert 1.5 < few / many < 2.67
    assert error("wide", 256) < 0.6 * few


@pytest.mark.shared
@pytest.mark.parametrize("compiled", [True, False])
def test_the_distribution_of_two_sectors_fits_the_oracle(shared: Path, compiled: bool) -> None:
    oracle = oracle_of(shared, "05_two_sector_three_factor.json")
    size = 200_000 if compiled else 40_000
    scenarios = ScenarioSet.draw(size, seed=31, names=("market", "sector:one", "sector:two"), proposal="plain")
    found = two_sectors(oracle, compiled)(scenarios)
    pmf = np.array(oracle["pmf"])
    # The tail in one cell, so that each expects 25 and more.
    last = int(np.flatnonzero(size * pmf >= 25).max())
    expected = np.append(pmf[:last], 1.0 - pmf[:last].sum()) * size
    counted = np.bincount(np.minimum(found, last).astype(np.int64), minlength=last + 1)
    statistic = float(np.sum(np.square(counted - expected) / expected))
    assert 1e-4 < stats.chi2.sf(statistic, last) < 1 - 1e-4, (statistic, last)
    loss = found / sum(oracle["n"])
    for name, truth in oracle["tranche_el_lgd1"].items():
        mean, error = weighted_mean(slice_of(name, loss), scenarios.weights)
        assert abs(mean - truth) <= Z * error, (name, (mean - truth) / error)
    mean, error = weighted_mean(found, scenarios.weights)
    assert abs(mean - oracle["mean"]) <= Z * error


@pytest.mark.shared
@pytest.mark.parametrize("proposal", ["wide", "importance"])
def test_weighted_sets_give_every_class_of_two_sectors(shared: Path, proposal: Proposal) -> None:
    oracle = oracle_of(shared, "05_two_sector_three_factor.json")
    direction = {"market": 0.35, "sector:one": 0.1, "sector:two": 0.3}
    names = ("market", "sector:one", "sector:two")
    scenarios = ScenarioSet.draw(2**16, seed=32, names=names, proposal=proposal, direction=direction)
    loss = two_sectors(oracle)(scenarios) / sum(oracle["n"])
    for name, truth in oracle["tranche_el_lgd1"].items():
        mean, error = weighted_mean(slice_of(name, loss), scenarios.weights)
        assert abs(mean - truth) <= Z * error, (name, (mean - truth) / error)
    # The last is the senior class, of expected loss 4e-4: independent draws in that number would leave twice the error.
    second, _ = weighted_mean(np.square(slice_of(name, loss)), scenarios.weights)
    assert error < 0.5 * math.sqrt((second - truth**2) / len(scenarios))


# ---- Large pools


@pytest.mark.shared
def test_a_large_pool_has_the_quantiles_of_vasicek(shared: Path) -> None:
    loans = 20_000
    for case in oracle_of(shared, "01_vasicek_lhp.json")["cases"]:
        pd, rho = case["pd"], case["rho"]
        model = one_month(pd, asset_correlation=rho)
        scenarios = ScenarioSet.draw(4096, seed=41, names=("market",), proposal="wide", direction={"market": 1.0})
        shares = defaults_of(equal_loans(loans), model)(scenarios) / loans
        for name, expected in case["quantile"].items():
            q = float(name)
            if q > 0.999:
                continue
            found = weighted_quantile(shares, scenarios.weights, q)
            assert abs(found - expected) <= vasicek_tolerance(pd, rho, q, expected, loans, scenarios), (pd, rho, q)


def vasicek_tolerance(pd: float, rho: float, q: float, share: float, loans: int, scenarios: ScenarioSet) -> float:
    """Four errors: of the weighted share below the quantile, over the density there; and of the pool's own defaults,
    which move a share x by sqrt(x (1 - x) / n)."""
    below = scenarios.factor("market") >= ndtri(1 - q)
    share_error = np.sqrt(np.square(scenarios.weights * (below - q)).sum()) / scenarios.weights.sum()
    # d share / d q = phi of the threshold x sqrt(rho / (1 - rho)) / phi(ndtri(q)) (Vasicek, as in copula.py).
    slope = stats.norm.pdf(ndtri(share)) * np.sqrt(rho / (1 - rho)) / stats.norm.pdf(ndtri(q))
    return float(Z * (share_error * slope + np.sqrt(share * (1 - share) / loans)))


# ---- Pairs


def pair(first: float, second: float, **changes: Any) -> tuple[LoanArrays, CreditModel]:
    """Two loans of one month with default probabilities of their own."""
    loans = replace(equal_loans(2), grade=np.array(["A", "B"]), balance=np.array([1.0, 2.0]))
    return loans, one_month(first, second, **changes)


def joint_defaults(loans: LoanArrays, model: CreditModel, size: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """(3,) shares of scenarios in which the first, the second, both default, with their errors."""
    scenarios = ScenarioSet.of_model(model, size, seed=seed, proposal="plain")
    lost = defaults_of(loans, model)(scenarios)
    # Balances 1 and 2: the sum says who defaulted.
    share = np.array([np.isin(lost, (1, 3)).mean(), np.isin(lost, (2, 3)).mean(), (lost == 3).mean()])
    return share, np.sqrt(share * (1 - share) / size)


@pytest.mark.shared
def test_two_loans_default_together_as_the_oracle_says(shared: Path) -> None:
    for number, case in enumerate(oracle_of(shared, "13_pairwise_joint_default.json")["cases"]):
        loans, model = pair(case["pd_a"], case["pd_b"], asset_correlation=case["rho"])
        share, error = joint_defaults(loans, model, 400_000, 50 + number)
        truth = np.array([case["pd_a"], case["pd_b"], case["joint"]])
        assert (np.abs(share - truth) <= Z * error).all(), (case, (share - truth) / error)


def student_joint(first: float, second: float, rho: float, degrees: float) -> float:
    """P(X <= a, Y <= b) of the bivariate Student-t by quadrature of its density (Demarta & McNeil 2005, eq. 1)."""
    a, b = stats.t.ppf([first, second], degrees)
    scale = 1.0 / (2.0 * math.pi * math.sqrt(1.0 - rho**2))

    def density(y: float, x: float) -> float:
        form = (x * x - 2.0 * rho * x * y + y * y) / (degrees * (1.0 - rho**2))
        return float(scale * (1.0 + form) ** (-(degrees + 2.0) / 2.0))

    return float(dblquad(density, -np.inf, a, -np.inf, b, epsabs=1e-9)[0])


@pytest.mark.parametrize(("degrees", "rho"), [(4.0, 0.0), (4.0, 0.2), (10.0, 0.3)])
def test_student_t_loans_default_at_their_own_rate_and_together(degrees: float, rho: float) -> None:
    first, second = 0.03, 0.08
    loans, model = pair(first, second, asset_correlation=rho, copula="student_t", degrees_of_freedom=degrees)
    share, error = joint_defaults(loans, model, 400_000, 61)
    joint = student_joint(first, second, rho, degrees)
    truth = np.array([first, second, joint])
    assert (np.abs(share - truth) <= Z * error).all(), (share - truth) / error
    # Tail dependence: together more often than the Gaussian copula has it (Demarta & McNeil 2005, section 4).
    assert joint > gaussian_joint(first, second, rho) + 8 * error[2]


def gaussian_joint(first: float, second: float, rho: float) -> float:
    return float(stats.multivariate_normal.cdf([ndtri(first), ndtri(second)], cov=[[1.0, rho], [rho, 1.0]]))


def test_the_quadrature_of_the_student_t_is_right() -> None:
    # Median orthant of any elliptical pair: 1/4 + asin(rho) / (2 pi) (Sheppard 1899; the same for Student-t).
    assert student_joint(0.5, 0.5, 0.3, 4.0) == pytest.approx(0.25 + math.asin(0.3) / (2 * math.pi), abs=1e-7)
    # One dimension at a time: a second loan that is certain to default leaves the first's probability.
    assert student_joint(0.03, 1 - 1e-12, 0.2, 10.0) == pytest.approx(0.03, abs=1e-7)


# ---- Tables


def read(rows: FloatArray, place: FloatArray) -> FloatArray:
    """Cubic of each row at its place."""
    j = place.astype(np.int64)
    u = place - j
    return ((rows[j, 3] * u + rows[j, 2]) * u + rows[j, 1]) * u + rows[j, 0]


def hazard_place(tables: Tables, x: FloatArray) -> FloatArray:
    """Where the loops read the hazard of latent x."""
    at = np.arcsinh(x) if tables.stretched else x
    return (at - tables.low) / tables.step


def test_the_probit_table_is_scipys() -> None:
    clock = np.exp(np.random.default_rng(71).uniform(np.log(1e-30), np.log(600.0), 50_000))
    part, power = np.frexp(clock)
    place = (power - layout.FIRST_OCTAVE) * 16 + (part - 0.5) * 32.0
    # Phi^-1(1 - exp(-E)) without cancellation on either side: of the smaller of the two tails.
    exact = np.where(clock < 0.7, ndtri(-np.expm1(-clock)), -ndtri(np.exp(-clock)))
    found = read(lookup("gaussian", 0.0).probit, place)
    # Around the median the probit is zero: there the absolute error counts.
    assert np.max(np.abs(found - exact) / np.maximum(np.abs(exact), 1.0)) < TABLE_TOLERANCE


def test_the_hazard_tables_are_scipys() -> None:
    rng = np.random.default_rng(72)
    x = rng.uniform(-11.9, 11.9, 50_000)
    tables = lookup("gaussian", 0.0)
    gap = np.abs(read(tables.hazard, hazard_place(tables, x)) / -log_ndtr(-x) - 1)
    # Down to a hazard of 6e-16, which no loan has; beyond it the tail's slope alone, see steepest().
    assert gap[x > -8].max() < TABLE_TOLERANCE
    assert gap.max() < steepest(12.0)
    for degrees in (3.0, 4.0, 10.0):
        tables = lookup("student_t", degrees)
        x = np.sinh(rng.uniform(-12.0, 12.0, 50_000))
        exact = np.where(x < 0, -np.log1p(-stats.t.cdf(np.minimum(x, 0.0), degrees)), -np.log(stats.t.sf(x, degrees)))
        gap = np.abs(read(tables.hazard, hazard_place(tables, x)) / exact - 1)
        assert gap.max() < max(TABLE_TOLERANCE, steepest(degrees)), degrees


def steepest(slope: float) -> float:
    """Largest relative error of a cubic Hermite in exp(slope x) between nodes 1 / 64 apart: (slope h)**4 / 384 (error
    of Hermite interpolation, e.g. Stoer & Bulirsch, Introduction to Numerical Analysis, 2.1.5), and a tenth."""
    return 1.1 * (slope / layout.NORMAL_NODES) ** 4 / 384.0


def test_the_student_hazards_exact_side_is_the_integral_of_its_density() -> None:
    # The reference itself at one point in each tail, by quadrature of the density.
    for x, degrees in ((-5.0, 4.0), (5.0, 4.0), (-20.0, 3.0)):
        low, high = (-np.inf, x) if x < 0 else (x, np.inf)
        mass = quad(lambda t, v=degrees: stats.t.pdf(t, v), low, high, epsabs=1e-14)[0]
        hazard = -math.log1p(-mass) if x < 0 else -math.log(mass)
        tables = lookup("student_t", degrees)
        found = read(tables.hazard, hazard_place(tables, np.array([x])))[0]
        assert found == pytest.approx(hazard, rel=TABLE_TOLERANCE)
