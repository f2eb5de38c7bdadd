"""What falls due with time: coupons, fees, facility and hedge amounts, account income. Runs when a date opens."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pooling.engine.deal.classes import (
    AccrualNote,
    FloatingCoupon,
    InterestOnly,
    SimpleCoupon,
    StepCoupon,
    TriggeredCoupon,
)
from pooling.engine.deal.features import (
    AnnualPercentageFee,
    DatedFee,
    FormulaFee,
    OneOffFee,
    PerLoanFee,
    RecurringFee,
    Swap,
)
from pooling.engine.waterfall.arithmetic import sum_of
from pooling.engine.waterfall.collateral import WHOLE_POOL

if TYPE_CHECKING:
    from pooling.engine.waterfall.run import Run

FloatArray = NDArray[np.float64]

CENTS = 100.0
MONTHS_A_YEAR = 12


class Accruals:
    """Accrues into a Run. Balances are read as the previous date left them."""

    def __init__(self, run: Run) -> None:
        self.run, self.spec, self.calendar = run, run.spec, run.program.calendar
        conventions = self.spec.conventions
        self.day_count = conventions.interest_day_count
        # compile_deal has refused a class without coupon.
        self.coupons = [tranche.coupon for tranche in self.spec.tranches if tranche.coupon is not None]
        self.compound = conventions.shortfall_interest == "note_rate"
        ends = self.calendar.nominal if conventions.accrual_dates == "unadjusted" else self.calendar.dates
        self.starts, self.ends = (self.calendar.closing, *ends[:-1]), ends

    def on_date(self) -> None:
        """Accrue the period that ends on this date."""
        run = self.run
        # Commitments and notionals are those of the period's start, read before its cash has moved anything.
        self._income()
        self._classes()
        self._fees()
        self._facilities()
        self._hedges()
        if run.stress.servicer_default is not None and run.stress.servicer_default.period == run.number:
            self._transition(run.stress.servicer_default.transition_cost)

    # --------------------------------------------------------------------------------------------------------- coupons
    def fraction(self, day_count: str | None, accrual_dates: str | None = None) -> float:
        """Year fraction of the period by a day count between dates as named; None is the deal's."""
        key = (day_count or self.day_count, accrual_dates or self.spec.conventions.accrual_dates)
        return float(self.calendar.fractions[key][self.run.number - 1])

    def _start(self) -> dt.date:
        return self.starts[self.run.number - 1]

    def rate(self, coupon: SimpleCoupon) -> FloatArray | float:
        """Annual rate of the period: a number, or (S,) where the index differs by scenario."""
        if isinstance(coupon, FloatingCoupon):
            rate = self.run.index(coupon.index) + coupon.margin
            if coupon.floor is not None:
                rate = np.maximum(rate, coupon.floor)
            return rate if coupon.cap is None else np.minimum(rate, coupon.cap)
        if isinstance(coupon, StepCoupon):
            first, *others = self._stepped(coupon)
            return sum((rate * share for rate, share in others), first[0] * first[1])
        return coupon

    def _stepped(self, coupon: StepCoupon) -> list[tuple[FloatArray | float, float]]:
        """(rate, share of the period by actual days): one where no step lies inside the period or counts there."""
        start, end = self._start(), self.ends[self.run.number - 1]
        rate: FloatArray | float = coupon.rate
        inside: list[tuple[dt.date, FloatArray | float]] = []
        for step in coupon.steps:
            if step.first_accrual <= start:
                rate = self.rate(step.rate)
            elif coupon.within_period == "day_weighted" and step.first_accrual < end:
                inside.append((step.first_accrual, self.rate(step.rate)))
        days = [start, *(day for day, _ in inside), end]
        rates = [rate, *(later for _, later in inside)]
        return [(part, (b - a).days / (end - start).days) for part, (a, b) in zip(rates, pairwise(days), strict=True)]

    def coupon_rate(self, k: int) -> FloatArray | float:
        """Annual rate of class k in the period, at least zero: where an index is that low, holders owe nothing."""
        coupon = self.coupons[k]
        if isinstance(coupon, TriggeredCoupon):
            holds = self.run.holds(self.spec.formulas[f"tranches[{k}].coupon.when"])
            before, after = self.rate(coupon.before), self.rate(coupon.after)
            rate = (after if holds else before) if isinstance(holds, bool) else np.where(holds, after, before)
        else:
            rate = self.rate(coupon)
        return max(rate, 0.0) if isinstance(rate, float | int) else np.maximum(rate, 0.0)

    def _classes(self) -> None:
        run = self.run
        run.period_rate = []
        run.interest_accrued = []
        for k, tranche in enumerate(self.spec.tranches):
            fraction = self.fraction(tranche.day_count, tranche.accrual_dates)
            run.period_rate.append(self.coupon_rate(k) * fraction)
            if isinstance(tranche, InterestOnly):
                base = np.maximum(run.evaluate(self.spec.formulas[f"tranches[{k}].notional"]), 0.0)
            else:
                base = run.balance[k]
            earning = base + run.interest_shortfall[k] if self.compound else base
            accrued = self._accrued(k, earning, fraction)
            if isinstance(tranche, AccrualNote):
                accretes = run.holds(self.spec.formulas[f"tranches[{k}].accretes_while"])
                added = np.where(accretes, accrued, 0.0)
                run.balance[k] = run.balance[k] + added
                run.accreted[k] = run.accreted[k] + added
                accrued = accrued - added
            run.interest_accrued.append(accrued)
            run.interest_shortfall[k] = run.interest_shortfall[k] + accrued

    def _accrued(self, k: int, earning: FloatArray, fraction: float) -> FloatArray:
        """Interest of the period; where the rate steps inside it, each part accrues, and is rounded, by itself."""
        run, coupon = self.run, self.coupons[k]
        if not isinstance(coupon, StepCoupon):
            return run.arithmetic.born(earning * run.period_rate[k])
        parts = [run.arithmetic.born(earning * (rate * (fraction * share))) for rate, share in self._stepped(coupon)]
        return np.maximum(sum_of(parts), 0.0)

    def make_whole(self) -> list[FloatArray]:
        """Premium of each class at a call: its coupon above the reference rate, month by month until the date that ends
        it, on the outstanding balance, discounted at the reference rate (monthly)."""
        run, call = self.run, self.spec.call
        if call is None or call.make_whole is None:
            return []
        terms, today = call.make_whole, self.calendar.dates[run.number - 1]
        months = max(0, (terms.until.year - today.year) * MONTHS_A_YEAR + terms.until.month - today.month)
        monthly = terms.reference_rate / MONTHS_A_YEAR
        annuity = months if monthly == 0.0 else (1.0 - (1.0 + monthly) ** -months) / monthly
        return [
            run.arithmetic.born(
                run.balance[k] * np.maximum(self.coupon_rate(k) - terms.reference_rate, 0.0) / MONTHS_A_YEAR * annuity
            )
            for k in run.notes
        ]

    # ------------------------------------------------------------------------------------------------------------ fees
    def _fees(self) -> None:
        run = self.run
        months = run.number * self.spec.months_between
        new_year = (months - 1) // MONTHS_A_YEAR != (months - self.spec.months_between - 1) // MONTHS_A_YEAR
        failure = run.stress.servicer_default
        step_up = 1.0 + failure.fee_step_up if failure is not None and run.number >= failure.period else 1.0
        for f in range(len(self.spec.fees)):
            if new_year:
                run.fee_paid_in_year[f] = run.zero
            due = self._fee(f, step_up)
            if run.to_call:
                due = np.where(run.called_before, 0.0, due)
            run.fee_shortfall[f] = run.fee_shortfall[f] + due

    def _fee(self, f: int, step_up: float) -> FloatArray:
        run, fee = self.run, self.spec.fees[f]
        if isinstance(fee, AnnualPercentageFee):
            base = np.maximum(run.evaluate(self.spec.formulas[f"fees[{f}].base"]), 0.0)
            return run.arithmetic.born(base * (fee.rate * step_up * self.fraction(fee.day_count)))
        if isinstance(fee, FormulaFee):
            return np.maximum(run.evaluate(self.spec.formulas[f"fees[{f}].amount"]), 0.0)
        if isinstance(fee, PerLoanFee):
            return run.arithmetic.born(
                run.pool(WHOLE_POOL, "count") * (fee.amount_per_loan / CENTS * run.arithmetic.scale)
            )
        return run.arithmetic.born(np.full(run.width, self._cents(f) / CENTS * run.arithmetic.scale))

    def _cents(self, f: int) -> int:
        """What a fee of whole cents adds on this date."""
        fee, number = self.spec.fees[f], self.run.number
        if isinstance(fee, RecurringFee):
            return fee.amount if number >= fee.first and (number - fee.first) % fee.every == 0 else 0
        day = self.calendar.dates[number - 1]
        before = self.calendar.dates[number - 2] if number > 1 else dt.date.min
        if isinstance(fee, OneOffFee):
            falls = number == 1 if fee.due is None else before < fee.due <= day
            return fee.amount if falls else 0
        amounts = fee.amounts if isinstance(fee, DatedFee) else ()
        return sum(part.amount for part in amounts if before < part.date <= day)

    def _transition(self, cost: float) -> None:
        """The cost of a new servicer is taken from collections before anything else is paid."""
        run = self.run
        left = run.arithmetic.born(np.full(run.width, cost * run.arithmetic.scale))
        for place in range(len(run.accounts)):
            if place in run.incoming:
                taken = np.minimum(left, run.accounts[place])
                run.accounts[place] = run.accounts[place] - taken
                run.outflow = run.outflow + taken
                left = left - taken
                run.book_opening(f"transition:{run.program.account_names[place]}", taken)

    # ----------------------------------------------------------------------------- facilities, hedges, account income
    def _facilities(self) -> None:
        run = self.run
        run.commitment = []
        for d, facility in enumerate(self.spec.facilities):
            commitment = np.maximum(run.evaluate(self.spec.formulas[f"facilities[{d}].commitment"]), 0.0)
            run.commitment.append(commitment)
            fraction = self.fraction(None)
            undrawn = np.maximum(commitment - run.drawn[d], 0.0)
            fee = undrawn * (facility.commitment_fee * fraction)
            interest = run.drawn[d] * (self.rate(facility.rate) * fraction)
            due = run.arithmetic.born(np.maximum(fee + interest, 0.0))
            run.facility_due[d] = run.facility_due[d] + (np.where(run.called_before, 0.0, due) if run.to_call else due)

    def _hedges(self) -> None:
        run = self.run
        gone = run.stress.hedge_loss_period
        for h, hedge in enumerate(self.spec.hedges):
            if gone is not None and run.number >= gone:
                run.hedge_due[h] = run.zero
                continue
            notional = np.maximum(run.evaluate(self.spec.formulas[f"hedges[{h}].notional"]), 0.0)
            if isinstance(hedge, Swap):
                rate = np.asarray(self.rate(hedge.receives)) - self.rate(hedge.pays)
            else:
                rate = np.maximum(run.index(hedge.index) - hedge.strike, 0.0)
            net = run.arithmetic.born(notional * (rate * self.fraction(hedge.day_count)))
            received = np.maximum(net, 0.0)
            run.receive(run.program.account_names.index(hedge.into), received, f"receive:{hedge.name}")
            run.hedge_net[h] = received
            run.hedge_due[h] = run.hedge_due[h] + np.maximum(-net, 0.0)

    def _income(self) -> None:
        run = self.run
        for place, account in enumerate(self.spec.accounts):
            if account.yield_rate > 0.0:
                earned = run.arithmetic.born(run.opening_cash[place] * (account.yield_rate * self.fraction(None)))
                run.receive(place, earned, f"income:{account.name}")
