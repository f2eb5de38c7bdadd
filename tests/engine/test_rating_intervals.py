"""Model intervals against conditional figures that are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from rating.engine.curves import documented_model
from rating.engine.intervals import model_interval, parameter_factors
from rating.engine.scenarios import ScenarioSet

RHO, HAZARD = 0.08, 0.10
NAMES = ("pd_level",)
END = 1.959964  # Phi^-1(0.975)
LOSS_BIAS, TAIL_BIAS = 0.03, 0.10  # stated in the docstring of model_interval


def _pd(z: np.ndarray | float, sigma: float) -> np.ndarray:
    """Default probability given the level z: 1 - exp(-h exp(sigma z - sigma**2 / 2))."""
    return -np.expm1(-HAZARD * np.exp(sigma * np.asarray(z) - sigma**2 / 2))


def _losses(scenarios: ScenarioSet, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Loss of an infinite pool (Vasicek 2002, Loan portfolio value): Phi((Phi^-1(p) - sqrt(rho) G) / sqrt(1 - rho))."""
    level, market = scenarios.factor("pd_level"), scenarios.factor("market")
    loss = ndtr((ndtri(_pd(level, sigma)) - np.sqrt(RHO) * market) / np.sqrt(1 - RHO))
    return loss, level[:, None]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sigma", [0.2, 0.35])
def test_the_interval_of_vasicek_s_expected_loss_is_that_of_its_default_probability(seed: int, sigma: float) -> None:
    # E[loss | level] is the default probability at that level, whatever the correlation.
    scenarios = ScenarioSet.draw(2048, seed=seed)
    loss, level = _losses(scenarios, sigma)
    found = model_interval(loss, scenarios.weights, level, NAMES)
    assert found is not None
    assert found.low == pytest.approx(_pd(-END, sigma), rel=LOSS_BIAS)
    assert found.high == pytest.approx(_pd(END, sigma), rel=LOSS_BIAS)
    assert found.low < found.mean < found.high


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("attachment", [0.15, 0.2, 0.3])
def test_the_high_end_of_a_class_s_default_probability_is_near_its_closed_form(seed: int, attachment: float) -> None:
    # P(L > a | level) = Phi((Phi^-1(p) - sqrt(1 - rho) Phi^-1(a)) / sqrt(rho)), the same source.
    scenarios = ScenarioSet.draw(4096, seed=seed)
    loss, level = _losses(scenarios, 0.2)
    hit = (loss > attachment).astype(float)
    found = model_interval(hit, scenarios.weights, level, NAMES)
    known = float(ndtr((ndtri(_pd(END, 0.2)) - np.sqrt(1 - RHO) * ndtri(attachment)) / np.sqrt(RHO)))
    assert found is not None
    assert found.high == pytest.approx(known, rel=TAIL_BIAS)
    assert 0.0 <= found.low < found.mean


def test_a_quadratic_figure_without_noise_is_found_exactly() -> None:
    rng = np.random.default_rng(3)
    z = rng.standard_normal((500, 2))
    y = 0.3 + 0.05 * z[:, 0] - 0.02 * z[:, 1] + 0.01 * z[:, 0] * z[:, 1] + 0.004 * (z[:, 0] ** 2 - 1)
    found = model_interval(y, np.ones(500), z, ("pd_level", "correlation"))
    assert found is not None
    ordered = np.sort(y)
    # Smallest values with 2.5 % and 97.5 % of 500 equal weights at or below them: the 13th and the 488th.
    assert [found.low, found.high] == pytest.approx([ordered[12], ordered[487]], rel=1e-9)
    assert found.shrink == pytest.approx(1.0)
    assert found.explained == pytest.approx(1.0)


def test_a_figure_that_does_not_depend_on_the_parameters_has_a_narrow_interval() -> None:
    # Coin flips: the fit sees noise of sd sqrt(terms) x 0.5 / sqrt(n) = 0.027 in the mean over all; shrinking pulls it
    # in, so that on average over seeds less than half of what an uncorrected fit would show is left.
    widths, raw = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        z, y = rng.standard_normal((1000, 3)), (rng.random(1000) < 0.5).astype(float)
        found = model_interval(y, np.ones(1000), z, ("a", "b", "c"))
        assert found is not None
        widths.append(found.high - found.low)
        raw.append(2 * END * 0.5 * np.sqrt(9 / 1000))
    assert np.mean(widths) < 0.5 * np.mean(raw)


def test_without_parameter_uncertainty_the_interval_has_no_width() -> None:
    model = documented_model()
    scenarios = ScenarioSet.of_model(model, 256, seed=1)
    assert parameter_factors(model, scenarios)[0] == ("pd_level", "correlation", "severity_level")
    names, draws = parameter_factors(model.without_parameter_uncertainty(), scenarios)
    assert (names, draws.shape) == ((), (256, 0))
    found = model_interval(scenarios.factor("market") < 0, scenarios.weights, draws, names)
    assert found is not None
    assert found.low == found.mean == found.high


def test_too_few_scenarios_give_none_and_bad_input_is_named() -> None:
    z = np.linspace(-1, 1, 10)[:, None]
    assert model_interval(np.arange(10.0), np.ones(10), z, NAMES) is None  # 3 terms need 15
    assert model_interval(np.arange(40.0), np.ones(40), np.zeros((40, 0)), (), within=np.zeros(40)) is None
    with pytest.raises(ValueError, match=r"parameters: shape \(10, 1\), expected \(10, 2\)"):
        model_interval(np.arange(10.0), np.ones(10), z, ("a", "b"))
    with pytest.raises(ValueError, match="weights: must be finite, >= 0 and not all zero"):
        model_interval(np.arange(10.0), np.zeros(10), np.zeros((10, 0)), ())


def test_loss_given_default_is_judged_where_the_class_fails() -> None:
    # Where z > 0 the class fails and loses 0.2 + 0.1 z; elsewhere its "loss" must not matter.
    rng = np.random.default_rng(5)
    z = rng.standard_normal(4000)
    failed = (z > 0).astype(float)
    loss = np.where(z > 0, 0.2 + 0.1 * z, 0.9)
    found = model_interval(loss, np.ones(4000), z[:, None], NAMES, within=failed)
    assert found is not None
    ordered = np.sort(z[z > 0])
    low, high = ordered[int(np.ceil(0.025 * len(ordered))) - 1], ordered[int(np.ceil(0.975 * len(ordered))) - 1]
    assert found.low == pytest.approx(0.2 + 0.1 * low, rel=1e-9)
    assert found.high == pytest.approx(0.2 + 0.1 * high, rel=1e-9)
