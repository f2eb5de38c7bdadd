"""The same deal run for one scenario in plain Python numbers, straight from the spec: the reference of the
engine.

Written from the sentences of the language, not from the engine: no program, no arrays, one payee at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows


@dataclass
class Books:
    """Running amounts of one scenario, and what was paid each month by (kind, name)."""

    cash: float
    reserve: float
    balance: dict[str, float]
    owed: dict[str, float]
    fee_owed: dict[str, float]
    paid: list[dict[tuple[str, str], float]] = field(default_factory=list)
    reserves: list[float] = field(default_factory=list)


def run(spec: DealSpec, cutoff: float, flows: PoolFlows, scenario: int) -> Books:
    """All months of one scenario."""
    deal: dict[str, Any] = spec.to_json()
    reserve = reserve_of(deal)
    balance = {t["name"]: t["balance"] / 100 for t in deal["tranches"]}
    books = Books(
        cash=0.0,
        reserve=round(share_of(reserve["initial"]) * cutoff * 100) / 100 if reserve else 0.0,
        balance=balance,
        owed=dict.fromkeys(balance, 0.0),
        fee_owed={f["name"]: 0.0 for f in deal["fees"]},
    )
    target = deal["overcollateralisation"]["target"]
    oc = cutoff - sum(balance.values()) if target is None else share_of(target) * cutoff
    opening = cutoff
    for t in range(flows.months):
        pool = float(flows.pool_balance[:, t, scenario].sum())
        books.cash = float(sum(a[:, t, scenario].sum() for a in (flows.interest, flows.principal, flows.recovery)))
        month(deal, books, cutoff, opening, pool, oc, final=t == flows.months - 1)
        opening = pool
    return books


def reserve_of(deal: dict[str, Any]) -> dict[str, Any] | None:
    """The deal's one reserve account, if it has one."""
    return next((account for account in deal["accounts"] if account["kind"] == "reserve"), None)


def share_of(formula: str) -> float:
    """The share in a formula "SHARE * pool.initial_balance"; the deals of these tests write no other."""
    share, quantity = formula.split(" * ")
    assert quantity == "pool.initial_balance"
    return float(share)


def month(
    deal: dict[str, Any], books: Books, cutoff: float, opening: float, pool: float, oc: float, final: bool
) -> None:
    """One payment date."""
    books.paid.append({})
    for tranche in deal["tranches"]:
        name = tranche["name"]
        earning = books.balance[name]
        if deal["conventions"]["shortfall_interest"] == "note_rate":
            earning += books.owed[name]
        books.owed[name] += earning * tranche["coupon"] / 12
    for fee in deal["fees"]:
        due = opening * fee["rate"] / 12 if fee["kind"] == "annual_percentage" else fee["amount"] / 100
        books.fee_owed[fee["name"]] += due
    notes = sum(books.balance.values())
    principal = notes if final else min(max(notes - (pool - oc), 0.0), notes)
    for step in deal["waterfall"]:
        if step["pay"] == "fee":
            pay(books, step, books.fee_owed, bool(step["support"]))
        elif step["pay"] == "interest":
            pay(books, step, books.owed, bool(step["support"]))
        elif step["pay"] == "principal":
            due = principal_due(books, step, principal)
            principal = max(principal - sum(due.values()), 0.0)  # shares may add up to a rounding error more
            wanted = dict(due)
            pay(books, step, due, final and bool(step["support"]))
            for name in step["to"]:
                books.balance[name] -= wanted[name] - due[name]
        elif step["pay"] == "reserve":
            top_up_or_release(deal, books, cutoff, final)
        else:
            books.paid[-1]["residual", step["to"][0]] = books.cash
    books.reserves.append(books.reserve)


def principal_due(books: Books, step: dict[str, Any], principal: float) -> dict[str, float]:
    """What the step's classes may get of the principal distribution amount."""
    if step["rule"] == "pro_rata":
        total = sum(books.balance[name] for name in step["to"])
        part = min(1.0, principal / total) if total else 0.0
        return {name: books.balance[name] * part for name in step["to"]}
    due = {}
    for name in step["to"]:
        due[name] = min(books.balance[name], principal)
        principal -= due[name]
    return due


def pay(books: Books, step: dict[str, Any], owed: dict[str, float], covered: bool) -> None:
    """Pay what is owed from cash, then from the reserve; owed is reduced."""
    groups = [step["to"]] if step["rule"] == "pro_rata" else [[name] for name in step["to"]]
    for group in groups:
        for source in ("cash", "reserve") if covered else ("cash",):
            total, have = sum(owed[name] for name in group), getattr(books, source)
            part = min(1.0, have / total) if total else 0.0
            for name in group:
                amount = owed[name] * part
                owed[name] -= amount
                key = (step["pay"], name)
                books.paid[-1][key] = books.paid[-1].get(key, 0.0) + amount
            setattr(books, source, max(have - total * part, 0.0))


def top_up_or_release(deal: dict[str, Any], books: Books, cutoff: float, final: bool) -> None:
    """Bring the reserve to its target."""
    reserve = reserve_of(deal)
    assert reserve is not None
    keep = reserve["release"] == "final" or any(b > 0.005 for b in books.balance.values())
    target = share_of(reserve["target"]) * cutoff if keep and not final else 0.0
    moved = min(target - books.reserve, books.cash)
    books.reserve += moved
    books.cash -= moved
