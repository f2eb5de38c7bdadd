"""Assumptions as arrays: monthly rates of every cohort, month and scenario, whatever kind they were given as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.assumptions.cohorts import Cohort
from pooling.engine.assumptions.speeds import YEAR_DAYS, abs_to_smm, monthly_rate, period_rate, psa_to_cpr, sda_to_cdr
from pooling.engine.assumptions.terms import Assumptions

FloatArray = NDArray[np.float64]


def width(given: Assumptions) -> int:
    """S: scenarios of the widest rate. Raises ValueError where two rates are of different numbers of them."""
    sizes = {np.shape(rate)[1] for rate in _rates(given) if np.ndim(rate) == 2} - {1}
    if len(sizes) > 1:
        raise ValueError(f"severity: rates of {', '.join(map(str, sorted(sizes)))} scenarios; give one number of them")
    return sizes.pop() if sizes else 1


def scenario_slices(given: Assumptions, scenarios: int, size: int) -> Iterator[Assumptions]:
    """The same assumptions for `size` scenarios at a time, in their order."""
    for first in range(0, scenarios, size):
        part = slice(first, first + size)
        roll = given.roll
        yield replace(
            given,
            prepayment=replace(given.prepayment, speed=_part(given.prepayment.speed, part)),
            default=replace(given.default, rate=_part(given.default.rate, part)),
            severity=_part(given.severity, part),
            roll=None if roll is None else replace(roll, into=_part(roll.into, part)),
        )


def _rates(given: Assumptions) -> list[ArrayLike]:
    rolled: list[ArrayLike] = [] if given.roll is None else [given.roll.into]
    return [given.prepayment.speed, given.default.rate, given.severity, *rolled]


def _part(rate: ArrayLike, part: slice) -> ArrayLike:
    array = np.asarray(rate, dtype=np.float64)
    return array[:, part] if array.ndim == 2 and array.shape[1] > 1 else rate


class Rates:
    """Arrays of one set of assumptions. smm, mdr: (C, T, S) monthly fractions; C, S may be 1 for all. severity, roll:
    (T, S). amounts: (T, S) currency units that default over all cohorts, or None where a rate drives default.

    Raises ValueError naming the input whose shape is wrong.
    """

    def __init__(self, given: Assumptions, cohorts: list[Cohort], months: int) -> None:
        self.given, self.months, self.scenarios = given, months, width(given)
        first = np.array([cohort.age for cohort in cohorts], dtype=np.int64)
        self._ages = first[:, None, None] + np.arange(1, months + 1)[None, :, None]  # (C, T, 1): at the end of a month
        self._terms = np.array([cohort.term for cohort in cohorts], dtype=np.int64)
        self._pool = float(sum(cohort.balance[0] for cohort in cohorts))
        self.severity = self._vector("severity", given.severity)
        self.roll = None if given.roll is None else self._vector("roll.into", given.roll.into)
        self.smm, self.mdr = self._smm(), self._mdr()
        self.amounts = self._amounts()

    def _vector(self, name: str, value: ArrayLike) -> FloatArray:
        """(T, S) of a rate by month."""
        given = np.asarray(value, dtype=np.float64)
        if given.ndim == 1:
            given = given[:, None]
        if given.ndim > 2 or (given.ndim == 2 and given.shape[0] != self.months):
            wanted = f"one number, ({self.months},) or ({self.months}, scenarios)"
            raise ValueError(f"{name}: shape {np.shape(value)}, expected {wanted}")
        return np.broadcast_to(given, (self.months, self.scenarios))

    def _by_cohort(self, name: str, value: ArrayLike, by_age: bool) -> FloatArray:
        """(C or 1, T, S): the vector of the deal's months, or of the loans' ages (its last value goes on)."""
        if not by_age or np.ndim(value) == 0:
            return self._vector(name, value)[None]
        vector = np.asarray(value, dtype=np.float64)
        if vector.ndim != 1:
            raise ValueError(f"{name}: a vector by age is (ages,), not {vector.shape}")
        return np.asarray(vector[np.minimum(self._ages - 1, len(vector) - 1)])

    def _monthly(self, annual: FloatArray) -> FloatArray:
        if self.given.days is None:
            return monthly_rate(annual)
        days = np.asarray(self.given.days, dtype=np.float64)
        if days.shape != (self.months,):
            raise ValueError(f"days: shape {days.shape}, expected ({self.months},)")
        return period_rate(annual, days[None, :, None] / YEAR_DAYS)

    def _smm(self) -> FloatArray:
        given = self.given.prepayment
        speed = self._by_cohort("prepayment.speed", given.speed, given.by_age)
        if given.kind == "psa":
            return monthly_rate(np.minimum(psa_to_cpr(speed, self._ages), 1.0))
        if given.kind == "abs":
            return abs_to_smm(speed, self._ages)
        return self._monthly(speed) if given.kind == "cpr" else speed

    def _mdr(self) -> FloatArray:
        given = self.given.default
        if given.kind in ("amount", "loss_curve"):
            return np.zeros((1, self.months, 1))
        rate = self._by_cohort("default.rate", given.rate, given.by_age)
        if given.kind == "sda":
            rate = monthly_rate(np.minimum(sda_to_cdr(rate, self._ages), 1.0))
        elif given.kind == "cdr":
            rate = self._monthly(rate)
        if given.none_in_last:
            last = self._terms[:, None] - given.none_in_last
            rate = np.where((np.arange(self.months)[None, :] < last)[..., None], rate, 0.0)
        return rate

    def _amounts(self) -> FloatArray | None:
        given = self.given.default
        if given.kind == "amount":
            return self._vector("default.rate", given.rate)
        if given.kind != "loss_curve":
            return None
        shares = np.asarray(given.timing, dtype=np.float64)
        if len(shares) > self.months:
            raise ValueError(f"default.timing: {len(shares)} shares, but only {self.months} months")
        timing = np.zeros(self.months)
        timing[: len(shares)] = shares
        loss = np.broadcast_to(
            np.asarray(given.rate, dtype=np.float64).reshape(1, -1) * timing[:, None] * self._pool,
            (self.months, self.scenarios),
        )
        # The severity is that of the month in which the default is charged off.
        written = np.minimum(np.arange(self.months) + self.given.charge_off_lag, self.months - 1)
        severity = self.severity[written]
        if np.any((severity <= 0.0) & (loss > 0.0)):
            raise ValueError("severity: a loss curve needs a severity above 0 wherever it loses")
        return np.divide(loss, severity, out=np.zeros((self.months, self.scenarios)), where=severity > 0.0)
