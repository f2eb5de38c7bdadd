"""The default deal: senior A, mezzanine B and C, residual certificate R over a pool of consumer loans."""

from __future__ import annotations

import datetime as dt

from pooling.engine.deal.classes import Note
from pooling.engine.deal.codec import decode
from pooling.engine.deal.features import AnnualPercentageFee, CollectionAccount, ReserveAccount
from pooling.engine.deal.parts import Conventions, Dates, Overcollateralisation, Residual
from pooling.engine.deal.rules import CollectionRule, WaterfallStep
from pooling.engine.deal.spec import DealSpec

TARGET_GRADES = {
    "A": "AA",
    "B": "A",
    "C": "BBB",
}  # within reach of unsecured loans that lose a tenth of their balance
SERVICING_FEE = 0.01
RESERVE = "1% * pool.initial_balance"


def default_template(
    *,
    name: str,
    currency: str,
    cut_off: dt.date | str,
    closing: dt.date | str,
    first_payment: dt.date | str,
    legal_final: dt.date | str,
) -> DealSpec:
    """A deal whose class balances and coupons are still to be solved.

    Order of payments: servicing fee (1 % a year), interest A, B, C, principal A, B, C one after another up
    to the principal distribution amount, reserve (1 % of the cut-off balance, funded at closing), residual.
    The target overcollateralisation is what the solved balances leave at closing. Dates as dt.date or
    "YYYY-MM-DD".

    Raises SpecError naming the date at fault.
    """
    given = Dates(
        cut_off=_day("cut_off", cut_off),
        closing=_day("closing", closing),
        first_payment=_day("first_payment", first_payment),
        legal_final=_day("legal_final", legal_final),
    )
    classes = tuple(TARGET_GRADES)
    return DealSpec(
        schema_version=2,
        name=name,
        currency=currency,
        dates=given,
        payment_frequency="monthly",
        tranches=tuple(
            Note(name=key, kind="note", target_grade=grade, interest_deferrable=key != classes[0])
            for key, grade in TARGET_GRADES.items()
        ),
        residual=Residual(name="R"),
        fees=(
            AnnualPercentageFee(name="servicing", kind="annual_percentage", rate=SERVICING_FEE, base="pool.balance"),
        ),
        accounts=(
            CollectionAccount(name="collection", kind="collection"),
            ReserveAccount(
                name="reserve",
                kind="reserve",
                initial=RESERVE,
                target=RESERVE,
                excess="released",
                release="notes_repaid",
            ),
        ),
        collections=(CollectionRule(source="all", into="collection"),),
        overcollateralisation=Overcollateralisation(),
        loss_coverage="principal_distribution_amount",
        waterfall=_order_of_payments(classes),
        conventions=Conventions(
            event_order="default_first",
            interest_day_count="30/360",
            accrual_dates="unadjusted",
            business_day_rule="unadjusted",
            calendar="none",
            shortfall_interest="note_rate",
            rounding="HALF_EVEN",
        ),
        closing_expenses=0,
    )


def _day(key: str, value: dt.date | str) -> dt.date:
    day: dt.date = decode(dt.date, value, f"dates.{key}") if isinstance(value, str) else value
    return day


def _order_of_payments(classes: tuple[str, ...]) -> tuple[WaterfallStep, ...]:
    support = ("reserve",)
    return (
        WaterfallStep(pay="fee", to=("servicing",), support=support),
        *(WaterfallStep(pay="interest", to=(key,), support=support) for key in classes),
        WaterfallStep(pay="principal", to=classes, support=support, support_when="period.is_final"),
        WaterfallStep(pay="reserve", to=("reserve",)),
        WaterfallStep(pay="residual", to=("R",)),
    )
