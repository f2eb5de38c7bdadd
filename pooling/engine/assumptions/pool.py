"""PoolFlows from loans and assumptions: one recursion over months, for all cohorts and scenarios at once.

Loans of one group and, where a speed goes by age, of one age share every rate, so that one survival factor scales their
scheduled balance (cohorts.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pooling.engine.assumptions.cohorts import Cohort, cohorts
from pooling.engine.assumptions.rates import Rates, scenario_slices, width
from pooling.engine.assumptions.terms import PREPAYS_BEFORE_INTEREST, Amortisation, Assumptions, LoanShape
from pooling.engine.flows import DELINQUENT_BUCKETS, PoolFlows
from pooling.engine.loans import LoanArrays

FloatArray = NDArray[np.float64]

_NUMBERS_AT_ONCE = 2**22  # of one column, cohorts x months x scenarios: some 600 MB in all
_HAIR = 1e-7  # of a cent: a product this near below a whole cent is that cent
_BUCKETS = len(DELINQUENT_BUCKETS)
_PAID = ("interest", "scheduled_principal", "prepayment")
_FLOWS = (*_PAID, "default", "charge_off", "recovery", "performing")
_ADVANCED = ("advanced_interest", "advanced_principal")


def assumed_flows(
    loans: LoanArrays,
    assumptions: Assumptions,
    *,
    horizon: int | None = None,
    amortisation: Amortisation | LoanShape | Mapping[str, LoanShape] = "level",
    amortisation_term: int | None = None,
    interest_only_months: int = 0,
) -> PoolFlows:
    """Flows of the pool under assumptions; groups as in the loans, S scenarios as wide as the widest rate.

    horizon: T months; None covers the longest loan and all lags. amortisation: a kind of LoanShape with its
    amortisation_term and interest_only_months, a LoanShape, or one for each collateral group. A defaulted loan pays
    nothing from its default on, unless the servicer advances.

    Raises ValueError naming the input.
    """
    tail = assumptions.charge_off_lag + assumptions.recovery_lag + len(assumptions.recovery_timing) - 1
    tail = max(tail, 0 if assumptions.roll is None else _BUCKETS)
    months = int(loans.remaining_term.max()) + tail if horizon is None else horizon
    if months < 1:
        raise ValueError(f"horizon: {months} must be at least 1")
    shapes: LoanShape | Mapping[str, LoanShape]
    if isinstance(amortisation, str):
        shapes = LoanShape(amortisation, amortisation_term, interest_only_months)
    elif amortisation_term is not None or interest_only_months:
        raise ValueError("amortisation_term: a LoanShape holds it already; leave it out")
    else:
        shapes = amortisation
    names = tuple(str(name) for name in np.unique(loans.group))
    parts = cohorts(loans, names, months, shapes, assumptions)
    opening = np.array([loans.balance[loans.group == name].sum() for name in names])
    scenarios = width(assumptions)
    at_once = max(_NUMBERS_AT_ONCE // (len(parts) * months), 1)
    flows = [
        _joined(names, opening, _Recursion(given, parts, months).run(), parts)
        for given in ([assumptions] if scenarios <= at_once else scenario_slices(assumptions, scenarios, at_once))
    ]
    return flows[0] if len(flows) == 1 else PoolFlows.concatenate(flows)


class _Recursion:
    """Months one after another; every array inside a month is (C, S) for C cohorts."""

    def __init__(self, assumptions: Assumptions, parts: list[Cohort], months: int) -> None:
        self.given, self.months = assumptions, months
        self.rates = Rates(assumptions, parts, months)
        self.schedule = np.stack([cohort.balance for cohort in parts])
        self.interest = np.stack([cohort.interest for cohort in parts])
        self.alive = np.stack([cohort.alive for cohort in parts])
        self.levelled = np.array([cohort.levelled for cohort in parts])[:, None]
        self.advances = assumptions.advances != "none"
        self.onward = () if assumptions.roll is None else (*assumptions.roll.onward, 0.0)

    def run(self) -> dict[str, FloatArray]:
        """Columns (C, T, S), delinquent and arrears (C, B, T, S); bearing is what the performing balance earns a
        month.
        """
        shape = (len(self.schedule), self.months, self.rates.scenarios)
        # Recoveries that fall behind the horizon are not received within it.
        out = {name: np.zeros(shape) for name in (*_FLOWS, "count", "bearing")}
        out |= {name: np.zeros(shape) for name in _ADVANCED if self.advances}
        out["delinquent"] = np.zeros((shape[0], _BUCKETS, *shape[1:]))
        if self.given.roll is not None or any(self.given.arrears):
            out["arrears"] = np.zeros_like(out["delinquent"])
        current = np.repeat(self.schedule[:, :1], shape[2], axis=1)
        late = [np.zeros_like(current) for _ in self.onward]
        waiting: list[FloatArray] = []  # defaulted balances, the oldest first
        original: list[FloatArray] = []  # what each of them was when it defaulted
        for t in range(self.months):
            kept, rate = self._schedule_of(t, 1)
            out["bearing"][:, t] = (current + sum(late, np.zeros_like(current))) * rate
            default = self._defaults(t, current)
            missed = (current - default) * self.rates.roll[t] if self.rates.roll is not None else np.zeros_like(current)
            row = self._payments(t, current, current - default - missed, kept, rate)
            current = current - default - missed - row["scheduled_principal"] - row["prepayment"]
            if late:
                returned, late = self._late(t, missed, late, row)
                current = current + returned
            charge_off, written, waiting, original = self._liquidated(default, waiting, original)
            if self.advances:
                waiting = self._advance(out, t, waiting, charge_off if self.given.charge_off_lag else default)
            for name, amount in (*row.items(), ("default", default), ("charge_off", charge_off)):
                out[name][:, t] = amount
            out["performing"][:, t] = current + sum(late, np.zeros_like(current))
            base = written if self.given.severity_of == "default" else charge_off
            self._recover(out, t, charge_off - np.minimum(base * self.rates.severity[t], charge_off))
            for age, balance in enumerate(reversed(waiting)):
                out["delinquent"][:, min(age, _BUCKETS - 1), t] += balance
            self._label(out, t, late)
            self._counted(out, t, current, late, default)
        return out

    # ------------------------------------------------------------------------------------------------- parts of a month
    def _schedule_of(self, t: int, months: int) -> tuple[FloatArray, FloatArray]:
        """(C, 1) of a balance that has missed `months` - 1 instalments by month t and pays all it owes in it: what
        is left of it, and the interest of those months, as fractions of it.
        """
        first = t + 1 - months
        before, after = self.schedule[:, first, None], self.schedule[:, t + 1, None]
        owed = self.interest[:, first : t + 1].sum(axis=1)[:, None]
        nothing = np.zeros_like(before)
        return (
            np.divide(after, before, out=nothing.copy(), where=before > 0.0),
            np.divide(owed, before, out=nothing, where=before > 0.0),
        )

    def _cut(self, amount: FloatArray) -> FloatArray:
        return np.floor(amount * 100.0 + _HAIR) / 100.0 if self.given.floor_cents else amount

    def _defaults(self, t: int, current: FloatArray) -> FloatArray:
        if self.rates.amounts is None:
            return self._cut(current * self.rates.mdr[:, t])
        total = current.sum(axis=0)
        amount = np.minimum(self.rates.amounts[t], total)
        return self._cut(current * np.divide(amount, total, out=np.zeros_like(total), where=total > 0.0))

    def _payments(
        self, t: int, opening: FloatArray, rest: FloatArray, kept: FloatArray, rate: FloatArray
    ) -> dict[str, FloatArray]:
        """Interest, scheduled principal and prepayment of what pays in a month, in the named order."""
        smm = self.rates.smm[:, t]
        if self.given.event_order in PREPAYS_BEFORE_INTEREST:
            prepayment = self._cut(rest * smm)
            rest = rest - prepayment
            interest = self._cut(rest * rate)
            if self.given.floor_cents:
                # That engine cuts a level instalment to cents, not the principal in it; else the principal.
                whole = self._cut(rest * (rate + 1.0 - kept)) - interest
                scheduled = np.where(self.levelled, whole, self._cut(rest * (1.0 - kept)))
                scheduled = np.where(kept <= 0.0, rest, np.minimum(scheduled, rest))
            else:
                scheduled = rest * (1.0 - kept)
        else:
            base = opening if self.given.event_order == "BMA" else rest
            interest, scheduled = rest * rate, rest * (1.0 - kept)
            prepayment = np.minimum(base * kept * smm, rest - scheduled)
        return {"interest": interest, "scheduled_principal": scheduled, "prepayment": prepayment}

    def _late(
        self, t: int, missed: FloatArray, late: list[FloatArray], row: dict[str, FloatArray]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """(balance that performs again, late balances by bucket); what they pay is added to the row.

        With advances everyone late is paid for at once, and repays the servicer when it cures: the trust sees its
        schedule.
        """
        returned, moved = np.zeros_like(missed), [missed]
        for number, balance in enumerate(late):
            cures = balance * (1.0 - self.onward[number])
            moved.append(balance - cures)
            kept, owed = self._schedule_of(t, 1 if self.advances else min(number + 2, t + 1))
            row["interest"] = row["interest"] + cures * owed
            row["scheduled_principal"] = row["scheduled_principal"] + cures * (1.0 - kept)
            returned = returned + cures * kept
        moved.pop()  # nothing stays in the last bucket: its share onward is 0
        if self.advances:
            kept, owed = self._schedule_of(t, 1)
            row["interest"] = row["interest"] + sum(moved, np.zeros_like(missed)) * owed
            row["scheduled_principal"] = row["scheduled_principal"] + sum(moved, np.zeros_like(missed)) * (1.0 - kept)
            moved = [balance * kept for balance in moved]
        return returned, moved

    def _liquidated(
        self, default: FloatArray, waiting: list[FloatArray], original: list[FloatArray]
    ) -> tuple[FloatArray, FloatArray, list[FloatArray], list[FloatArray]]:
        """(charged off now, its balance at default, those that wait on, their balances at default)."""
        lag = self.given.charge_off_lag
        if lag == 0:
            return default, default, [], []
        charge_off = written = np.zeros_like(default)
        if len(waiting) == lag:
            charge_off, written, waiting, original = waiting[0], original[0], waiting[1:], original[1:]
        return charge_off, written, [*waiting, default], [*original, default]

    def _advance(
        self, out: dict[str, FloatArray], t: int, waiting: list[FloatArray], leaving: FloatArray
    ) -> list[FloatArray]:
        """Interest on all that is in default, in its last month too, and principal of what waits on (SF-22)."""
        kept, rate = self._schedule_of(t, 1)
        total = sum(waiting, np.zeros_like(leaving))
        out["advanced_interest"][:, t] = rate * (total + leaving)
        out["advanced_principal"][:, t] = total * (1.0 - kept)
        return [balance * kept for balance in waiting]

    def _recover(self, out: dict[str, FloatArray], t: int, amount: FloatArray) -> None:
        for number, share in enumerate(self.given.recovery_timing):
            at = t + self.given.recovery_lag + number
            if at < self.months:
                out["recovery"][:, at] += self._cut(amount * share)

    def _label(self, out: dict[str, FloatArray], t: int, late: list[FloatArray]) -> None:
        """Balances that are late and cure, by bucket: as they are, or as shares of what performs."""
        if any(self.given.arrears):
            late = [out["performing"][:, t] * share for share in self.given.arrears]
        for bucket, balance in enumerate(late):
            out["arrears"][:, bucket, t] = balance

    def _counted(
        self, out: dict[str, FloatArray], t: int, current: FloatArray, late: list[FloatArray], default: FloatArray
    ) -> None:
        """Loans: of each balance as many as of the scheduled balance it goes by; the defaulted until charge-off."""

        def number(at: int) -> FloatArray:
            balance = self.schedule[:, at, None]
            return np.divide(self.alive[:, at, None], balance, out=np.zeros_like(balance), where=balance > 0.0)

        out["count"][:, t] += current * number(t + 1)
        for bucket, balance in enumerate(late):
            out["count"][:, t] += balance * number(t + 1 if self.advances else max(t - bucket, 0))
        until = t + self.given.charge_off_lag
        if self.given.charge_off_lag:
            out["count"][:, t:until] += (default * number(t))[:, None]


def _joined(
    names: tuple[str, ...], opening: FloatArray, columns: dict[str, FloatArray], parts: list[Cohort]
) -> PoolFlows:
    """Cohorts, which stand in the order of their groups, added up to groups."""
    place = [cohort.group for cohort in parts]
    starts = np.searchsorted(place, np.arange(len(names)))
    total = {name: np.add.reduceat(column, starts, axis=0) for name, column in columns.items()}
    first = np.broadcast_to(opening[:, None, None], total["performing"][:, :1].shape)
    before = np.concatenate([first, total["performing"][:, :-1]], axis=1)
    bearing = 12.0 * total.pop("bearing")
    return PoolFlows(
        groups=names,
        opening_balance=opening,
        coupon=np.divide(bearing, before, out=np.zeros_like(before), where=before > 0.0),
        defaulted=np.cumsum(total["charge_off"], axis=1),
        **total,
    )
