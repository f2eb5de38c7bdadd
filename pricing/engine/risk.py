"""How a price moves: durations, convexity and the value of a basis point, of many cash-flow rows at once.

Rows are (K, T) flows per 1 of par, column t paid t + 1 months after settlement plus a delay; prices are fractions of
par. Analytic figures hold the flows still; effective ones take flows that answer to the rate, where they are given.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.conventions import Compounding
from pooling.engine.analytics.values import durations, effective_convexity, effective_duration, price_at_yield
from pricing.engine.curve import TreasuryCurve
from pricing.engine.spreads import flow_times, price_at_z_spread, z_spreads
from pricing.engine.valuation import solve_yields

FloatArray = NDArray[np.float64]

BP = 1e-4


@dataclass(frozen=True)
class RiskMeasures:
    """One entry a row, (K,), NaN where `reasons` says why.

    yields, z_spreads: annual fractions under the compoundings asked for. macaulay, modified: years; convexity: years
    squared, at the yield, flows held still. effective_duration, effective_convexity: the same when every par yield of
    the curve moves by `shift` and the z-spread stays. spread_duration: years, -dP / ds / P when the z-spread moves.
    dv01, cs01: fractions of par that the price loses when the yield, the z-spread, rises by one basis point, central
    differences over one basis point each way. shift: annual fraction.
    """

    yields: FloatArray
    z_spreads: FloatArray
    macaulay: FloatArray
    modified: FloatArray
    convexity: FloatArray
    effective_duration: FloatArray
    effective_convexity: FloatArray
    spread_duration: FloatArray
    dv01: FloatArray
    cs01: FloatArray
    shift: float
    reasons: tuple[str, ...]


def risk_measures(
    flows: ArrayLike,
    prices: ArrayLike,
    curve: TreasuryCurve,
    *,
    yield_compounding: Compounding,
    spread_compounding: Compounding,
    shift: float,
    delay_months: float = 0.0,
    flows_up: ArrayLike | None = None,
    flows_down: ArrayLike | None = None,
) -> RiskMeasures:
    """Sensitivities of flows (K, T) at prices (K,) or one.

    flows_up, flows_down: (K, T) flows when the curve is higher and lower by `shift`, of floaters and of loans that
    prepay; None for flows that do not answer. Raises ValueError naming the input.
    """
    if not 0.0 < shift < 0.1:
        raise ValueError(f"shift: {shift} is no annual fraction between 0 and 0.1; 0.0001 is a basis point")
    if (flows_up is None) != (flows_down is None):
        raise ValueError("flows_up: give it together with flows_down")
    cash = np.atleast_2d(np.asarray(flows, dtype=np.float64))
    solved = solve_yields(cash, prices, compounding=yield_compounding, delay_months=delay_months)
    over = z_spreads(cash, prices, curve, compounding=spread_compounding, delay_months=delay_months)
    positive = np.broadcast_to(np.asarray(prices, dtype=np.float64) > 0.0, solved.yields.shape)
    known = np.isfinite(solved.yields) & np.isfinite(over.values) & positive
    reasons = tuple(
        a or b or ("" if good else "a price that is not above 0 has no duration")
        for a, b, good in zip(solved.reasons, over.reasons, positive, strict=True)
    )
    y, s = np.where(known, solved.yields, 0.0), np.where(known, over.values, 0.0)
    times = flow_times(cash.shape[1], delay_months)
    still = durations(cash.T, times, y, compounding=yield_compounding)

    def at_spread(rows: ArrayLike, spread: FloatArray, on: TreasuryCurve) -> FloatArray:
        return price_at_z_spread(rows, spread, on, compounding=spread_compounding, delay_months=delay_months)

    middle = np.where(known, at_spread(cash, s, curve), 1.0)
    up = at_spread(cash if flows_up is None else flows_up, s, curve.shifted(shift))
    down = at_spread(cash if flows_down is None else flows_down, s, curve.shifted(-shift))
    wide, tight = at_spread(cash, s + BP, curve), at_spread(cash, s - BP, curve)

    def where(values: FloatArray) -> FloatArray:
        return np.where(known, values, np.nan)

    cs01 = (tight - wide) / 2
    return RiskMeasures(
        yields=where(y),
        z_spreads=where(s),
        macaulay=where(still.macaulay),
        modified=where(still.modified),
        convexity=where(still.convexity),
        effective_duration=where(effective_duration(middle, up, down, shift)),
        effective_convexity=where(effective_convexity(middle, up, down, shift)),
        spread_duration=where(cs01 / (middle * BP)),
        dv01=where(_dv01(cash, y, times, yield_compounding)),
        cs01=where(cs01),
        shift=shift,
        reasons=reasons,
    )


def _dv01(cash: FloatArray, y: FloatArray, times: FloatArray, compounding: Compounding) -> FloatArray:
    down, up = (price_at_yield(cash.T, times, y + step, compounding=compounding) for step in (-BP, BP))
    return np.asarray((down - up) / 2)
