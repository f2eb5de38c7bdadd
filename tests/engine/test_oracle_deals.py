"""H02, H07, H08, H09: deals of another engine, run in ours on its own pool tables, every class, fee and account on
every date.

That engine is a witness. It cuts each amount down to whole cents: the deals name that rounding, DOWN; with HALF_EVEN
the balances drift by 0.05 to 0.06 within nine months. It also keeps loan period rates to six decimals (8 % / 12 is
0.006666 there: on 2,200 of loans 0.0015 a month), which is inside its pool tables, our input. Its two known defects (a
negated trigger, a percentage fee that stops accruing with the pool) touch none of these deals and are not imitated.
Conventions: ACT/365F on the balance since the last payment, unpaid interest earns the note rate, turbo, support in
order.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pooling.engine.calendars import add_months
from pooling.engine.deal import DealSpec
from pooling.engine.waterfall import DealFlows, compile_deal, execute
from tests.engine.oracle_deals import oracle, pool_flows, rows_by_date, spec

FLOW, BALANCE = 0.02, 0.05


def run(deal: DealSpec, case: dict[str, Any], payments: int, **options: Any) -> DealFlows:
    flows = pool_flows(case, payments)
    cents = round(float(flows.opening_balance.sum()) * 100)
    return execute(compile_deal(deal, cents), flows, ends=False, mode="cents", **options)


def payments_of(case: dict[str, Any]) -> int:
    return len(case["expected"]["bonds"]["B"]["index"])


def check_class(result: DealFlows, name: str, table: dict[str, Any], *, residual: bool = False) -> int:
    """Every row the witness printed, and nothing paid on the dates it left out. Returns the rows compared."""
    k, rows = result.names.index(name), rows_by_date(table)
    for t, day in enumerate(result.dates):
        cents = {
            "balance": result.balance[k, t, 0],
            "interest": result.interest[k, t, 0] + (result.residual[t, 0] if residual else 0),
            "principal": result.principal[k, t, 0],
            "intDue": result.interest_shortfall[k, t, 0],
        }
        ours = {column: amount / 100 for column, amount in cents.items()}
        printed = rows.get(day)
        if printed is None:
            assert ours["interest"] + ours["principal"] < BALANCE, (name, day)
            continue
        for column, figure in ours.items():
            tolerance = BALANCE if column in ("balance", "intDue") else FLOW
            assert figure == pytest.approx(printed[column], abs=tolerance + 1e-9), (name, day, column)
    return len(rows)


def check_fee(result: DealFlows, name: str, table: dict[str, Any]) -> None:
    f, rows = result.fee_names.index(name), rows_by_date(table)
    assert len(rows) == len(result.dates)
    for t, day in enumerate(result.dates):
        assert result.fees[f, t, 0] / 100 == pytest.approx(rows[day]["payment"], abs=FLOW), day
        assert result.fee_shortfall[f, t, 0] / 100 == pytest.approx(rows[day]["balance"], abs=BALANCE), day


@pytest.mark.shared
@pytest.mark.parametrize("name", ["no_stress", "cdr2_cpr10_rec30_lag6", "cdr75"])
def test_two_classes_in_sequence(shared: Path, name: str) -> None:
    """H02. A1's first interest: 102 days at 7 %."""
    case = oracle(shared, "H02_two_tranche_sequential")["runs"][name]
    result = run(spec(), case, payments_of(case))

    assert check_class(result, "A1", case["expected"]["bonds"]["A1"]) >= 9
    assert check_class(result, "B", case["expected"]["bonds"]["B"], residual=True) >= 27
    assert result.interest[0, 0, 0] == 1956
    assert result.conservation_error == 0.0


def month_ends(first: dt.date, count: int) -> list[dt.date]:
    return [add_months(first, months, 31) for months in range(count)]


@pytest.mark.shared
def test_a_date_turns_a_fixed_class_into_a_floater(shared: Path) -> None:
    """H07. On 20 August 2021 A1's 7 % becomes 12 %; at the month's end it resets to SOFR 4 % less 2 %. The witness
    counts
    the days of a period at their own rates: a step coupon, day-weighted, whose second step floats. It cuts the
    interest of
    both parts of each month to cents, we that of the month: A1's last payment is 55.29 there and 55.32 here."""
    file = oracle(shared, "H07_trigger_to_floater")
    case = file["runs"]["sofr4"]
    floater = {"kind": "floating", "index": "SOFR1Y", "margin": -0.02}
    coupon = {
        "kind": "step",
        "rate": 0.07,
        "steps": [
            {"first_accrual": "2021-08-20", "rate": 0.12},
            *({"first_accrual": day.isoformat(), "rate": floater} for day in month_ends(dt.date(2021, 8, 31), 30)),
        ],
        "within_period": "day_weighted",
    }
    result = run(spec(coupon=coupon), case, payments_of(case), rates={"SOFR1Y": 0.04})

    assert check_class(result, "A1", case["expected"]["bonds"]["A1"]) >= 9
    assert check_class(result, "B", case["expected"]["bonds"]["B"], residual=True) >= 27


@pytest.mark.shared
def test_two_reserves_are_drawn_in_order(shared: Path) -> None:
    """H08. Under a CDR of 75 % the interest of A1 is drawn from 10, then from 50, until both are gone."""
    case = oracle(shared, "H08_reserve_support")["runs"]["cdr75"]
    result = run(spec(reserves={"acc02": 1_000, "acc03": 5_000}), case, payments_of(case))

    assert check_class(result, "A1", case["expected"]["bonds"]["A1"]) == 50
    assert check_class(result, "B", case["expected"]["bonds"]["B"], residual=True) == 50
    for account in ("acc02", "acc03"):
        place = result.account_names.index(account)
        rows = rows_by_date(case["expected"]["accounts"][account])
        balances = [float(result.opening_accounts[place, 0]) / 100, *(result.accounts[place, :, 0] / 100).tolist()]
        for t, day in enumerate(result.dates):
            drawn = balances[t] - balances[t + 1]
            printed = rows.get(day)
            assert drawn == pytest.approx(0.0 if printed is None else -printed["change"], abs=FLOW), (account, day)
            if printed is not None:
                assert balances[t + 1] == pytest.approx(printed["balance"], abs=BALANCE), (account, day)


FEES: dict[str, dict[str, Any]] = {
    "H09_fee_test01Fee": {"name": "issuance_fee", "kind": "one_off", "amount": 40_000},
    # 20 at each quarter's end: due on the first payment date on or after it; the first end after closing is 30 June.
    "H09_fee_test02Fee": {
        "name": "test_fee",
        "kind": "dated",
        "amounts": [
            {"date": day.isoformat(), "amount": 2_000}
            for day in (dt.date(y, m, d) for y in range(2021, 2030) for m, d in ((3, 31), (6, 30), (9, 30), (12, 31)))
            if day >= dt.date(2021, 4, 15)
        ],
    },
    "H09_fee_test05Fee": {
        "name": "test_fee",
        "kind": "dated",
        "amounts": [{"date": "2021-08-01", "amount": 10_000}, {"date": "2021-12-20", "amount": 5_000}],
    },
}


@pytest.mark.shared
@pytest.mark.parametrize("name", FEES)
def test_fees_and_what_they_leave_owed(shared: Path, name: str) -> None:
    """H09. A fee of 400 with arrears, 20 a quarter, dated amounts whose shortfall is carried."""
    case = oracle(shared, name)["runs"]["no_stress"]
    fee = FEES[name]
    result = run(spec(fee=fee), case, payments_of(case))

    check_fee(result, fee["name"], case["expected"]["fees"][fee["name"]])
    assert check_class(result, "A1", case["expected"]["bonds"]["A1"]) >= 10
    assert check_class(result, "B", case["expected"]["bonds"]["B"], residual=True) == 27
