"""PoolFlows from loans and assumptions: one recursion over months, cohorts and scenarios at once.

Loans of one group and, where a speed goes by age, of one age share every rate, so that one survival factor scales their
scheduled balance: a cohort is a scheduled balance, its interest and its number of loans.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.assumptions.speeds import YEAR_DAYS, abs_to_smm, monthly_rate, period_rate, psa_to_cpr, sda_to_cdr
from pooling.engine.assumptions.terms import PREPAYS_BEFORE_INTEREST, Amortisation, Assumptions
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.schedules import level_balance_factors

FloatArray = NDArray[np.float64]

_LOANS_AT_ONCE = 8192  # bounds memory at some 20 MB of amortisation factors
_HAIR = 1e-7  # of a cent: a product this near below a whole cent is that cent
_FLOWS = (
    "interest",
    "scheduled_principal",
    "prepayment",
    "default",
    "charge_off",
    "recovery",
    "performing",
    "defaulted",
)


@dataclass(frozen=True)
class _Cohort:
    """(T + 1,) each: scheduled balance, interest of the next month on it, loans alive; age of its loans at cut-off."""

    group: str
    age: int
    term: int
    balance: FloatArray
    interest: FloatArray
    alive: FloatArray


def assumed_flows(
    loans: LoanArrays,
    assumptions: Assumptions,
    *,
    horizon: int | None = None,
    amortisation: Amortisation = "level",
    amortisation_term: int | None = None,
    interest_only_months: int = 0,
) -> PoolFlows:
    """Flows of the pool under assumptions; groups as in the loans, S scenarios as wide as the widest rate.

    horizon: T months; None covers the longest loan and all lags. amortisation: "level" instalments, "linear" equal
    principal, "bullet", "interest_only" for interest_only_months and level after, "balloon": level over
    amortisation_term
    months, the rest at maturity. A defaulted loan pays nothing from its default on, unless the servicer advances.

    Raises ValueError naming the input.
    """
    tail = assumptions.charge_off_lag + assumptions.recovery_lag + len(assumptions.recovery_timing) - 1
    months = int(loans.remaining_term.max()) + tail if horizon is None else horizon
    if months < 1:
        raise ValueError(f"horizon: {months} must be at least 1")
    if (amortisation == "balloon") != (amortisation_term is not None):
        raise ValueError("amortisation_term: give it for a balloon, and only for one")
    shape = _Shape(amortisation, amortisation_term, interest_only_months)
    names = tuple(str(name) for name in np.unique(loans.group))
    by_age = assumptions.prepayment.by_age or assumptions.default.by_age
    by_age = by_age or assumptions.prepayment.kind in ("psa", "abs") or assumptions.default.kind == "sda"
    # A loss is never more than what an advanced loan still owes: that is asked of each loan's own schedule.
    by_age = by_age or (assumptions.severity_of == "default" and assumptions.advances != "none")
    cohorts = _cohorts(loans, names, months, shape, by_age or assumptions.default.none_in_last > 0, assumptions)
    recursion = _Recursion(assumptions, cohorts, months, levelled=amortisation not in ("linear", "bullet"))
    columns = recursion.run()
    place = np.array([names.index(cohort.group) for cohort in cohorts])
    opening = np.array([loans.balance[loans.group == name].sum() for name in names])
    return _joined(names, opening, place, columns, recursion)


@dataclass(frozen=True)
class _Shape:
    amortisation: Amortisation
    term: int | None
    interest_only: int


def _cohorts(
    loans: LoanArrays, names: tuple[str, ...], months: int, shape: _Shape, apart: bool, assumptions: Assumptions
) -> list[_Cohort]:
    found = []
    for name in names:
        mine = loans.take(loans.group == name)
        keys = sorted(set(zip(mine.age.tolist(), mine.remaining_term.tolist(), strict=True))) if apart else [(0, 0)]
        for age, term in keys:
            part = mine.take((mine.age == age) & (mine.remaining_term == term)) if apart else mine
            found.append(_scheduled(part, name, months, shape, assumptions.rate_decimals))
    return found


def _scheduled(loans: LoanArrays, group: str, months: int, shape: _Shape, decimals: int | None) -> _Cohort:
    balance, interest, alive = np.zeros(months + 1), np.zeros(months + 1), np.zeros(months + 1)
    month = np.arange(months + 1)
    monthly = loans.rate / 12.0
    if decimals is not None:
        monthly = np.floor(monthly * 10.0**decimals + 1e-9) / 10.0**decimals
    for start in range(0, len(loans), _LOANS_AT_ONCE):
        part = slice(start, start + _LOANS_AT_ONCE)
        factors = _factors(monthly[part] * 12.0, loans.remaining_term[part], months, shape)
        balance += loans.balance[part] @ factors
        interest += (loans.balance[part] * monthly[part]) @ factors
        alive += (loans.remaining_term[part, None] > month[None, :]).sum(axis=0)
    return _Cohort(group, int(loans.age[0]), int(loans.remaining_term.max()), balance, interest, alive)


def _factors(rate: FloatArray, term: NDArray[np.int64], months: int, shape: _Shape) -> FloatArray:
    """(n, T + 1) share of the balance outstanding after each month, without defaults and prepayments."""
    month = np.arange(months + 1)
    left = term[:, None] > month[None, :]
    if shape.amortisation == "linear":
        return np.asarray(np.maximum(1.0 - month[None, :] / term[:, None], 0.0))
    if shape.amortisation == "bullet":
        return np.asarray(left.astype(np.float64))
    if shape.amortisation == "balloon":
        if shape.term is None or np.any(term > shape.term):
            raise ValueError(f"amortisation_term: {shape.term} is shorter than a loan's term of {int(term.max())}")
        level = level_balance_factors(rate, np.full_like(term, shape.term), months)
        return np.asarray(np.where(left, level, 0.0))
    if shape.amortisation == "interest_only":
        first = shape.interest_only
        if np.any(term <= first):
            raise ValueError(f"interest_only_months: {first} leave a loan of {int(term.min())} months no time to repay")
        level = level_balance_factors(rate, term - first, max(months - first, 1))
        return np.asarray(np.concatenate([np.ones((len(term), min(first, months))), level], axis=1)[:, : months + 1])
    return level_balance_factors(rate, term, months)


class _Recursion:
    """Months one after another; every array is (C, S) for C cohorts."""

    def __init__(self, assumptions: Assumptions, cohorts: list[_Cohort], months: int, *, levelled: bool) -> None:
        self.given, self.cohorts, self.months, self.levelled = assumptions, cohorts, months, levelled
        self.scenarios = self._width()
        self.schedule = np.stack([cohort.balance for cohort in cohorts])
        self.interest = np.stack([cohort.interest for cohort in cohorts])
        self.alive = np.stack([cohort.alive for cohort in cohorts])
        self.smm, self.mdr = self._smm(), self._mdr()
        self.severity = self._vector("severity", assumptions.severity)
        self.amounts = self._amounts()

    def _width(self) -> int:
        given = self.given
        sizes = {
            np.asarray(rate).shape[1]
            for rate in (given.prepayment.speed, given.default.rate, given.severity)
            if np.ndim(rate) == 2
        }
        sizes.discard(1)
        if len(sizes) > 1:
            raise ValueError(
                f"severity: rates of {', '.join(map(str, sorted(sizes)))} scenarios; give one number of them"
            )
        return sizes.pop() if sizes else 1

    def _vector(self, name: str, value: ArrayLike) -> FloatArray:
        """(T, S) of a rate."""
        given = np.asarray(value, dtype=np.float64)
        if given.ndim == 1:
            given = given[:, None]
        if given.ndim > 2 or (given.ndim == 2 and given.shape[0] != self.months):
            raise ValueError(
                f"{name}: shape {np.shape(value)}, expected one number, ({self.months},) or ({self.months}, scenarios)"
            )
        return np.broadcast_to(given, (self.months, self.scenarios))

    def _ages(self) -> FloatArray:
        """(C, T, 1) age of each cohort's loans at the end of each month."""
        first = np.array([cohort.age for cohort in self.cohorts], dtype=np.float64)
        return np.asarray(first[:, None, None] + np.arange(1, self.months + 1)[None, :, None])

    def _by_cohort(self, name: str, value: ArrayLike, by_age: bool) -> FloatArray:
        """(C, T, S): the vector of the deal's months, or of the loans' ages (its last value goes on)."""
        if not by_age or np.ndim(value) == 0:
            return np.broadcast_to(self._vector(name, value), (len(self.cohorts), self.months, self.scenarios))
        vector = np.asarray(value, dtype=np.float64)
        if vector.ndim != 1:
            raise ValueError(f"{name}: a vector by age is (ages,), not {vector.shape}")
        at = np.minimum(self._ages()[..., 0].astype(int) - 1, len(vector) - 1)
        return np.asarray(np.broadcast_to(vector[at][..., None], (len(self.cohorts), self.months, self.scenarios)))

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
            return monthly_rate(psa_to_cpr(speed, self._ages()))
        if given.kind == "abs":
            return abs_to_smm(speed, self._ages())
        return self._monthly(speed) if given.kind == "cpr" else speed

    def _mdr(self) -> FloatArray:
        given = self.given.default
        if given.kind in ("amount", "loss_curve"):
            return np.zeros((len(self.cohorts), self.months, self.scenarios))
        rate = self._by_cohort("default.rate", given.rate, given.by_age)
        if given.kind == "sda":
            rate = monthly_rate(np.minimum(sda_to_cdr(rate, self._ages()), 1.0))
        elif given.kind == "cdr":
            rate = self._monthly(rate)
        if given.none_in_last:
            last = np.array([cohort.term for cohort in self.cohorts])[:, None] - given.none_in_last
            rate = np.where((np.arange(self.months)[None, :] < last)[..., None], rate, 0.0)
        return rate

    def _amounts(self) -> FloatArray | None:
        """(T, S) currency units to default over all cohorts, or None where a rate drives default."""
        given = self.given.default
        if given.kind == "amount":
            return self._vector("default.rate", given.rate)
        if given.kind != "loss_curve":
            return None
        timing = np.zeros(self.months)
        shares = np.asarray(given.timing, dtype=np.float64)
        if len(shares) > self.months:
            raise ValueError(f"default.timing: {len(shares)} shares, but only {self.months} months")
        timing[: len(shares)] = shares
        pool = float(self.schedule[:, 0].sum())
        loss = np.asarray(given.rate, dtype=np.float64).reshape(1, -1) * timing[:, None] * pool
        if np.any((self.severity <= 0.0) & (loss > 0.0)):
            raise ValueError("severity: a loss curve needs a severity above 0 wherever it loses")
        return np.divide(loss, self.severity, out=np.zeros((self.months, self.scenarios)), where=self.severity > 0.0)

    # -------------------------------------------------------------------------------------------------------- the
    # months
    def _cut(self, amount: FloatArray) -> FloatArray:
        return np.floor(amount * 100.0 + _HAIR) / 100.0 if self.given.floor_cents else amount

    def _defaults(self, t: int, performing: FloatArray) -> FloatArray:
        if self.amounts is None:
            return self._cut(performing * self.mdr[:, t])
        total = performing.sum(axis=0)
        share = np.divide(np.minimum(self.amounts[t], total), total, out=np.zeros_like(total), where=total > 0.0)
        return self._cut(performing * share)

    def run(self) -> dict[str, FloatArray]:
        """Columns (C, T, S), delinquent (C, B, T, S)."""
        given, lag = self.given, self.given.charge_off_lag
        shape = (len(self.cohorts), self.months, self.scenarios)
        out = {
            name: np.zeros(shape) for name in (*_FLOWS, "advanced_interest", "advanced_principal", "survival", "lost")
        }
        out["delinquent"] = np.zeros((shape[0], len(DELINQUENT_BUCKETS), *shape[1:]))
        performing = np.repeat(self.schedule[:, :1], self.scenarios, axis=1)
        waiting: list[FloatArray] = []  # defaulted balances, the oldest first
        original: list[FloatArray] = []  # what each of them was when it defaulted
        for t in range(self.months):
            before, after = self.schedule[:, t, None], self.schedule[:, t + 1, None]
            kept = np.divide(after, before, out=np.zeros_like(before), where=before > 0.0)
            rate = np.divide(self.interest[:, t, None], before, out=np.zeros_like(before), where=before > 0.0)
            default = self._defaults(t, performing)
            row = self._payments(t, performing, default, kept, rate)
            charge_off, written, waiting, original = self._liquidated(lag, default, waiting, original)
            advanced = given.advances != "none"
            if advanced:
                out["advanced_interest"][:, t] = rate * (
                    default + sum(waiting[:-1] if lag else [], np.zeros_like(default)) + (charge_off if lag else 0.0)
                )
                amortised = [balance * (1.0 - kept) for balance in waiting]
                out["advanced_principal"][:, t] = sum(amortised, np.zeros_like(default))
                waiting = [balance - part for balance, part in zip(waiting, amortised, strict=True)]
            out["default"][:, t], out["charge_off"][:, t] = default, charge_off
            for name, amount in row.items():
                out[name][:, t] = amount
            performing = performing - default - row["scheduled_principal"] - row["prepayment"]
            out["performing"][:, t] = performing
            loss = np.minimum(
                (written if given.severity_of == "default" else charge_off) * self.severity[t], charge_off
            )
            out["lost"][:, t] = loss
            self._recover(out, t, charge_off - loss)
            for age, balance in enumerate(reversed(waiting)):
                out["delinquent"][:, min(age, len(DELINQUENT_BUCKETS) - 1), t] += balance
        out["defaulted"] = np.cumsum(out["charge_off"], axis=1)
        return out

    def _payments(
        self, t: int, performing: FloatArray, default: FloatArray, kept: FloatArray, rate: FloatArray
    ) -> dict[str, FloatArray]:
        """Interest, scheduled principal and prepayment of a month, in the named order."""
        smm, rest = self.smm[:, t], performing - default
        if self.given.event_order in PREPAYS_BEFORE_INTEREST:
            prepayment = self._cut(rest * smm)
            rest = rest - prepayment
            interest = self._cut(rest * rate)
            if self.given.floor_cents:
                # That engine cuts a level instalment to cents, not the principal in it; else the principal.
                whole = self._cut(rest * (rate + 1.0 - kept)) - interest
                scheduled = whole if self.levelled else self._cut(rest * (1.0 - kept))
                scheduled = np.where(kept <= 0.0, rest, np.minimum(scheduled, rest))
            else:
                scheduled = rest * (1.0 - kept)
        else:
            base = performing if self.given.event_order == "BMA" else rest
            interest, scheduled = rest * rate, rest * (1.0 - kept)
            prepayment = np.minimum(base * kept * smm, rest - scheduled)
        return {"interest": interest, "scheduled_principal": scheduled, "prepayment": prepayment}

    @staticmethod
    def _liquidated(
        lag: int, default: FloatArray, waiting: list[FloatArray], original: list[FloatArray]
    ) -> tuple[FloatArray, FloatArray, list[FloatArray], list[FloatArray]]:
        """(charged off now, its balance at default, those that wait on, their balances at default)."""
        if lag == 0:
            return default, default, [], []
        charge_off = written = np.zeros_like(default)
        if len(waiting) == lag:
            charge_off, written, waiting, original = waiting[0], original[0], waiting[1:], original[1:]
        return charge_off, written, [*waiting, default], [*original, default]

    def _recover(self, out: dict[str, FloatArray], t: int, amount: FloatArray) -> None:
        for number, share in enumerate(self.given.recovery_timing):
            at = t + self.given.recovery_lag + number
            if at < self.months:
                out["recovery"][:, at] += self._cut(amount * share)


def _joined(
    names: tuple[str, ...],
    opening: FloatArray,
    place: NDArray[np.int64],
    columns: dict[str, FloatArray],
    recursion: _Recursion,
) -> PoolFlows:
    """Cohorts added up to groups."""

    def grouped(column: FloatArray) -> FloatArray:
        total = np.zeros((len(names), *column.shape[1:]))
        np.add.at(total, place, column)
        return total

    given = recursion.given
    total = {name: grouped(columns[name]) for name in (*_FLOWS, "delinquent")}
    before = np.concatenate(
        [np.broadcast_to(opening[:, None, None], total["performing"][:, :1].shape), total["performing"][:, :-1]], axis=1
    )
    bearing = np.where(
        recursion.schedule[:, :-1] > 0.0,
        recursion.interest[:, :-1] / np.where(recursion.schedule[:, :-1] > 0.0, recursion.schedule[:, :-1], 1.0),
        0.0,
    )
    performing_before = np.concatenate(
        [np.repeat(recursion.schedule[:, :1, None], recursion.scenarios, axis=2), columns["performing"][:, :-1]], axis=1
    )
    coupon = 12.0 * np.divide(
        grouped(performing_before * bearing[..., None]), before, out=np.zeros_like(before), where=before > 0.0
    )
    flows = PoolFlows(
        groups=names,
        opening_balance=opening,
        count=grouped(_counts(columns, recursion)),
        coupon=coupon,
        **total,
    )
    if given.advances != "none":
        flows = replace(flows, **{name: grouped(columns[name]) for name in ("advanced_interest", "advanced_principal")})
    if any(given.arrears):
        shares = np.array(given.arrears)[None, :, None, None]
        flows = replace(flows, arrears=total["performing"][:, None] * shares)
    return flows


def _counts(columns: dict[str, FloatArray], recursion: _Recursion) -> FloatArray:
    """(C, T, S) loans performing or delinquent: of a cohort, as many as of its scheduled balance."""
    schedule, alive = recursion.schedule[:, 1:, None], recursion.alive[:, 1:, None]
    each = np.divide(alive, schedule, out=np.zeros_like(schedule), where=schedule > 0.0)
    counted = columns["performing"] * each
    # A defaulted loan counts until charge-off with the balance it had: by the scheduled balance when it defaulted.
    before, living = recursion.schedule[:, :-1, None], recursion.alive[:, :-1, None]
    number = columns["default"] * np.divide(living, before, out=np.zeros_like(before), where=before > 0.0)
    lag = recursion.given.charge_off_lag
    for age in range(lag):
        counted[:, age:] += number[:, : number.shape[1] - age]
    return counted
