"""The payments of one date: each function carries out one kind of step over all scenarios of the slice at once.

A step never looks at single scenarios: every payment is min(cash, due) over all of them, conditions are masks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pooling.engine.waterfall.arithmetic import less, sum_of
from pooling.engine.waterfall.collateral import BOUGHT
from pooling.engine.waterfall.program import Step
from pooling.engine.waterfall.run import Run, Truth

FloatArray = NDArray[np.float64]


def pay(run: Run, step: Step) -> None:
    """Carry out one step where its order of payments and its condition hold."""
    mask: Truth = run.branch[step.branch]
    if step.when is not None:
        # Looked at once for the whole line: paying its first payee must not change whether the second is paid.
        if step.first or step.line not in run.line_when:
            run.line_when[step.line] = run.holds(step.when)
        mask = np.logical_and(mask, run.line_when[step.line])
    if mask is False or (mask is not True and not np.any(mask)):
        return
    if mask is not True and np.all(mask):
        mask = True
    _PAY[step.pay](run, step, mask)


# ------------------------------------------------------------------------------------------------------- the primitive
def _settle(run: Run, step: Step, full: list[FloatArray], mask: Truth) -> tuple[list[FloatArray], list[FloatArray]]:
    """Pay what is due from the step's accounts, then from its support. Returns paid and still due, per payee."""
    wanted = _wanted(run, step, full, mask)
    paid, left = _from_accounts(run, step, wanted)
    if step.support:
        paid, left = _from_support(run, step, paid, left)
    if step.limit is not None:
        run.line_limit[step.line] = less(run.line_limit[step.line], paid)
    if wanted is not full:
        # What was not wanted now stays due; a debt that was wanted and paid in full leaves exactly zero.
        left = [(due - ask) + rest for due, ask, rest in zip(full, wanted, left, strict=True)]
    return paid, left


def _wanted(run: Run, step: Step, full: list[FloatArray], mask: Truth) -> list[FloatArray]:
    """What the step asks for of what is due: nothing where it is not carried out, and no more than its limit."""
    wanted = full if mask is True else [np.where(mask, due, 0.0) for due in full]
    if step.limit is not None:
        if step.first or step.line not in run.line_limit:
            run.line_limit[step.line] = np.maximum(run.evaluate(step.limit), 0.0)
        wanted, _ = run.arithmetic.share(wanted, run.line_limit[step.line])
    return wanted


def _from_accounts(run: Run, step: Step, wanted: list[FloatArray]) -> tuple[list[FloatArray], list[FloatArray]]:
    paid: list[FloatArray] = []
    left = wanted
    for number, place in enumerate(step.sources):
        part, left = run.arithmetic.share(left, run.accounts[place])
        run.accounts[place] = less(run.accounts[place], part)
        _book(run, step, number, part)
        paid = part if not paid else [a + b for a, b in zip(paid, part, strict=True)]
    return paid, left


def _from_support(
    run: Run, step: Step, paid: list[FloatArray], left: list[FloatArray]
) -> tuple[list[FloatArray], list[FloatArray]]:
    allowed = run.holds(step.support_when)
    for number, (kind, place) in enumerate(step.support, start=len(step.sources)):
        if allowed is False or not any(part.any() for part in left):
            break
        cash = run.accounts[place] if kind == "account" else np.maximum(run.commitment[place] - run.drawn[place], 0.0)
        if allowed is not True:
            cash = np.where(allowed, cash, 0.0)
        part, left = run.arithmetic.share(left, cash)
        if kind == "account":
            run.accounts[place] = less(run.accounts[place], part)
        else:
            drawn = sum_of(part)
            run.drawn[place] = run.drawn[place] + drawn
            run.drawn_now = run.drawn_now + drawn
        _book(run, step, number, part)
        paid = [a + b for a, b in zip(paid, part, strict=True)]
    return paid, left


def _book(run: Run, step: Step, lender: int, parts: list[FloatArray]) -> None:
    """Write the transfers from one account into the ledger, where one is kept."""
    if run.ledger is not None:
        first = step.booked + lender * len(parts)
        for number, part in enumerate(parts):
            run.ledger[first + number, run.t] = part


def _out(run: Run, paid: list[FloatArray]) -> None:
    """The cash has left the deal."""
    for part in paid:
        run.outflow = run.outflow + part


def _add(known: FloatArray | None, amount: FloatArray) -> FloatArray:
    return amount if known is None else known + amount


# ---------------------------------------------------------------------------------------------------------- the steps
def _pay_fee(run: Run, step: Step, mask: Truth) -> None:
    paid, left = _settle(run, step, [run.fee_shortfall[f] for f in step.targets], mask)
    for f, amount, rest in zip(step.targets, paid, left, strict=True):
        run.fees_paid[f] = _add(run.fees_paid[f], amount)
        run.fee_paid_in_year[f] = run.fee_paid_in_year[f] + amount
        run.fee_shortfall[f] = rest
    _out(run, paid)


def _pay_interest(run: Run, step: Step, mask: Truth) -> None:
    paid, left = _settle(run, step, [run.interest_shortfall[k] for k in step.targets], mask)
    for k, amount, rest in zip(step.targets, paid, left, strict=True):
        run.interest_paid[k] = _add(run.interest_paid[k], amount)
        run.interest_shortfall[k] = rest
    _out(run, paid)


def _pay_principal(run: Run, step: Step, mask: Truth) -> None:
    balances = [run.balance[k] for k in step.targets]
    budget = _budget(run, step)
    if len(balances) == 1:
        due = [run.arithmetic.whole(balances[0], np.minimum(balances[0], budget))]
    else:
        due, _ = run.arithmetic.share(balances, budget)
        due = [run.arithmetic.whole(balance, part) for balance, part in zip(balances, due, strict=True)]
    # What this step asks for and cannot pay stays due to it: the next step gets only the rest of the amount.
    used = _wanted(run, step, due, mask)
    paid, left = _settle(run, step, due, mask)
    if step.amount is None:
        run.principal_due = np.maximum(run.principal_due - sum_of(used), 0.0)
    else:
        run.line_amount[step.line] = np.maximum(budget - sum_of(used), 0.0)
        run.principal_due = np.maximum(run.principal_due - sum_of(paid), 0.0)
    for k, amount, rest, balance, wanted in zip(step.targets, paid, left, balances, due, strict=True):
        run.principal_paid[k] = _add(run.principal_paid[k], amount)
        after = (balance - wanted) + rest
        run.balance[k] = after if mask is True else np.where(mask, after, balance)
    _out(run, paid)


def _budget(run: Run, step: Step) -> FloatArray:
    """Principal that the step may pay: its own amount, shared by the line, or what is left of the deal's principal
    due."""
    if step.amount is None:
        return run.principal_due
    if step.first or step.line not in run.line_amount:
        own = np.maximum(run.evaluate(step.amount), 0.0)
        # Where the deal ends, all principal is due whatever a formula says.
        run.line_amount[step.line] = own if run.ending is False else np.where(run.ending, run.notes_balance, own)
    return run.line_amount[step.line]


def _pay_reserve(run: Run, step: Step, mask: Truth) -> None:
    (place,) = step.targets
    target = run.reserve_target(place)
    gap = np.maximum(target - run.accounts[place], 0.0)
    topped, _ = _settle(run, step, [gap], mask)
    run.accounts[place] = run.accounts[place] + topped[0]
    held = run.accounts[place] if run.spec.accounts[place].excess == "held" else target  # type: ignore[union-attr]
    keep = np.where(run.reserve_released(place), 0.0, held)
    release = np.maximum(run.accounts[place] - keep, 0.0)
    if mask is not True:
        release = np.where(mask, release, 0.0)
    run.accounts[place] = run.accounts[place] - release
    into = step.sources[0]
    run.accounts[into] = run.accounts[into] + release
    if run.ledger is not None:
        run.ledger[step.booked + len(step.sources), run.t] = release


def _pay_deficiency(run: Run, step: Step, mask: Truth) -> None:
    paid, left = _settle(run, step, [run.deficiency[i] for i in step.targets], mask)
    into = run.deficiency_into
    for i, amount, rest in zip(step.targets, paid, left, strict=True):
        run.deficiency[i] = rest
        run.accounts[into] = run.accounts[into] + amount
        run.principal_due = (
            np.minimum(run.principal_due + amount, run.notes_balance) if _adds(run) else run.principal_due
        )


def _adds(run: Run) -> bool:
    """Where principal due is what was collected, a deficiency made good from interest adds to it."""
    return run.spec.loss_coverage == "principal_collections"


def _pay_facility(run: Run, step: Step, mask: Truth) -> None:
    for d in step.targets:
        paid, left = _settle(run, step, [run.facility_due[d] + run.drawn[d]], mask)
        # Fee and interest first, then what was drawn.
        charges = np.minimum(run.facility_due[d], paid[0])
        run.facility_due[d] = run.facility_due[d] - charges
        run.drawn[d] = np.minimum(left[0], np.maximum(run.drawn[d] - (paid[0] - charges), 0.0))
        _out(run, paid)


def _pay_hedge(run: Run, step: Step, mask: Truth) -> None:
    paid, left = _settle(run, step, [run.hedge_due[h] for h in step.targets], mask)
    for h, amount, rest in zip(step.targets, paid, left, strict=True):
        run.hedge_due[h] = rest
        run.hedge_net[h] = run.hedge_net[h] - amount
    _out(run, paid)


def _pay_transfer(run: Run, step: Step, mask: Truth) -> None:
    if step.amount is None:
        due = sum_of([run.accounts[place] for place in step.sources])
    else:
        due = np.maximum(run.evaluate(step.amount), 0.0)
    paid, _ = _settle(run, step, [due], mask)
    (into,) = step.targets
    run.accounts[into] = run.accounts[into] + paid[0]


def _pay_purchase(run: Run, step: Step, mask: Truth) -> None:
    """Buy collateral with what the accounts hold, at the price of the revolving period; it pays from the next date
    on."""
    if run.revolving is False or run.spec.revolving is None:
        return
    if run.bought is None or run.replacement is None:
        raise ValueError("replacement: the deal revolves; give the flows of the collateral that is bought")
    active = np.logical_and(mask, run.revolving)
    criteria = run.spec.formulas.get("revolving.criteria")
    if criteria is not None:
        active = np.logical_and(active, run.holds(criteria))
    due = np.where(active, sum_of([run.accounts[place] for place in step.sources]), 0.0)
    paid, _ = _settle(run, step, [due], True)
    _out(run, paid)
    balance = run.arithmetic.born(paid[0] / run.spec.revolving.price)
    run.bought[BOUGHT.index("balance"), run.t] += balance
    months = min(run.replacement.shape[1], run.periods - run.t - 1)
    if months > 0:
        added = run.replacement[:, :months] * balance
        run.bought[:, run.t + 1 : run.t + 1 + months] += run.arithmetic.born(added)


def _test(run: Run, step: Step, mask: Truth) -> None:
    run.test_masked(step.targets, mask)


def _pay_residual(run: Run, step: Step, mask: Truth) -> None:
    total = sum_of([run.accounts[place] for place in step.sources])
    paid, _ = _settle(run, step, [total], mask)
    run.residual_paid = run.residual_paid + paid[0]
    _out(run, paid)


_PAY: dict[str, Callable[[Run, Step, Truth], None]] = {
    "fee": _pay_fee,
    "interest": _pay_interest,
    "principal": _pay_principal,
    "reserve": _pay_reserve,
    "deficiency": _pay_deficiency,
    "facility": _pay_facility,
    "hedge": _pay_hedge,
    "transfer": _pay_transfer,
    "purchase": _pay_purchase,
    "test": _test,
    "residual": _pay_residual,
}
