"""The same deal run for one scenario in plain Python numbers, straight from the spec: the reference of the engine.

Written from the sentences of the language, not from the engine: no program, no arrays, one payee at a time. It knows
collection accounts and one reserve, limits, a trigger on cumulative losses with steps that wait for it or for its
absence, and principal deficiency ledgers; of formulas only those few forms that the tests write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pooling.engine.deal import DealSpec
from pooling.engine.flows import PoolFlows

Json = dict[str, Any]


@dataclass
class Books:
    """Running amounts of one scenario, and what was paid each month by (kind, name)."""

    cash: dict[str, float]
    balance: dict[str, float]
    owed: dict[str, float]
    fee_owed: dict[str, float]
    deficiency: dict[str, float]
    breached: bool = False
    principal: float = 0.0
    cumulative_loss: float = 0.0
    paid: list[dict[tuple[str, str], float]] = field(default_factory=list)
    reserves: list[float] = field(default_factory=list)
    deficiencies: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Month:
    """What the pool did in a month."""

    cash: dict[str, float]  # by source
    opening: float
    pool: float
    losses: dict[str, float]  # by measure
    final: bool


def run(spec: DealSpec, cutoff: float, flows: PoolFlows, scenario: int) -> Books:
    """All months of one scenario."""
    deal: Json = spec.to_json()
    reserve = reserve_of(deal)
    balance = {t["name"]: t["balance"] / 100 for t in deal["tranches"]}
    books = Books(
        cash={account["name"]: 0.0 for account in deal["accounts"]},
        balance=balance,
        owed=dict.fromkeys(balance, 0.0),
        fee_owed={f["name"]: 0.0 for f in deal["fees"]},
        deficiency={ledger["name"]: 0.0 for ledger in ledgers_of(deal)},
    )
    if reserve:
        books.cash[reserve["name"]] = round(share_of(reserve["initial"]) * cutoff * 100) / 100
    target = deal["overcollateralisation"]["target"]
    oc = cutoff - sum(balance.values()) if target is None else share_of(target) * cutoff
    opening = cutoff
    for t in range(flows.months):
        at = (slice(None), t, scenario)
        sources = ("interest", "scheduled_principal", "prepayment", "recovery")
        seen = Month(
            cash={name: float(getattr(flows, name)[at].sum()) for name in sources},
            opening=opening,
            pool=float(flows.pool_balance[at].sum()),
            losses={name: float(getattr(flows, name)[at].sum()) for name in ("default", "charge_off")},
            final=t == flows.months - 1,
        )
        month(deal, books, cutoff, oc, seen)
        opening = seen.pool
    return books


def reserve_of(deal: Json) -> Json | None:
    """The deal's one reserve account, if it has one."""
    return next((account for account in deal["accounts"] if account["kind"] == "reserve"), None)


def ledgers_of(deal: Json) -> list[Json]:
    return deal["deficiency"]["ledgers"] if deal["deficiency"] else []


def share_of(formula: str) -> float:
    """The share in a formula "SHARE * pool.initial_balance"; the deals of these tests write no other."""
    share, quantity = formula.split(" * ")
    assert quantity == "pool.initial_balance"
    return float(share)


def month(deal: Json, books: Books, cutoff: float, oc: float, seen: Month) -> None:
    """One payment date."""
    books.paid.append({})
    collect(deal, books, seen)
    accrue(deal, books, seen)
    debit(deal, books, seen)
    look_at_trigger(deal, books, cutoff, seen)
    notes = sum(books.balance.values())
    if seen.final:
        books.principal = notes
    elif deal["loss_coverage"] == "principal_collections":
        returned = sum(amount for name, amount in seen.cash.items() if name != "interest")
        books.principal = min(returned, notes)
    else:
        books.principal = min(max(notes - (seen.pool - oc), 0.0), notes)
    for step in deal["waterfall"]:
        carry_out(deal, books, cutoff, seen.final, step)
    for ledger in ledgers_of(deal):
        if ledger["tranche"]:
            name = ledger["name"]
            books.deficiency[name] = min(books.deficiency[name], books.balance[ledger["tranche"]])
    reserve = reserve_of(deal)
    books.reserves.append(books.cash[reserve["name"]] if reserve else 0.0)
    books.deficiencies.append(dict(books.deficiency))


def collect(deal: Json, books: Books, seen: Month) -> None:
    """Each source goes where its own rule says, else where the rule for all does."""
    into = {rule["source"]: rule["into"] for rule in deal["collections"]}
    for name, amount in seen.cash.items():
        books.cash[into.get(name) or into["all"]] += amount


def accrue(deal: Json, books: Books, seen: Month) -> None:
    for tranche in deal["tranches"]:
        name = tranche["name"]
        earning = books.balance[name]
        if deal["conventions"]["shortfall_interest"] == "note_rate":
            earning += books.owed[name]
        books.owed[name] += earning * tranche["coupon"] / 12
    for fee in deal["fees"]:
        due = seen.opening * fee["rate"] / 12 if fee["kind"] == "annual_percentage" else fee["amount"] / 100
        books.fee_owed[fee["name"]] += due


def debit(deal: Json, books: Books, seen: Month) -> None:
    """Losses go to the ledgers in their order, each up to the balance of its class."""
    books.cumulative_loss += seen.losses["charge_off"] - seen.cash["recovery"]
    if not deal["deficiency"]:
        return
    measure = deal["deficiency"]["losses"]
    net = seen.losses["charge_off"] - seen.cash["recovery"]
    left = max(net if measure == "charge_off_less_recovery" else seen.losses[measure], 0.0)
    for ledger in ledgers_of(deal):
        room = left
        if ledger["tranche"]:
            room = max(books.balance[ledger["tranche"]] - books.deficiency[ledger["name"]], 0.0)
        amount = min(left, room)
        books.deficiency[ledger["name"]] += amount
        left -= amount


def look_at_trigger(deal: Json, books: Books, cutoff: float, seen: Month) -> None:
    """The one trigger, breached for good: "pool.cumulative_loss_rate > SHARE"."""
    for trigger in deal["triggers"]:
        quantity, limit = trigger["condition"].split(" > ")
        assert (quantity, trigger["cure_after"]) == ("pool.cumulative_loss_rate", None)
        books.breached = books.breached or books.cumulative_loss / cutoff > float(limit)


def carry_out(deal: Json, books: Books, cutoff: float, final: bool, step: Json) -> None:
    """One step of the order of payments."""
    if step["when"] is not None and ("not " in step["when"]) == books.breached:
        return
    lenders = [*step["source"], *(step["support"] if step["support_when"] is None or final else [])]
    kind = step["pay"]
    if kind in ("fee", "interest", "deficiency"):
        owed = {"fee": books.fee_owed, "interest": books.owed, "deficiency": books.deficiency}[kind]
        moved = pay(books, step, owed, lenders)
        if kind == "deficiency":
            books.cash[deal["deficiency"]["into"]] += moved
            if deal["loss_coverage"] == "principal_collections":
                books.principal = min(books.principal + moved, sum(books.balance.values()))
    elif kind == "principal":
        pay_principal(books, step, lenders)
    elif kind == "reserve":
        top_up_or_release(deal, books, cutoff, final, step)
    else:
        books.paid[-1]["residual", step["to"][0]] = sum(books.cash[name] for name in step["source"])
        books.cash |= dict.fromkeys(step["source"], 0.0)


def pay_principal(books: Books, step: Json, lenders: list[str]) -> None:
    """What the step asks for counts against the amount due, paid or not; what its limit keeps back does not."""
    due = principal_due(books, step)
    asked = dict(due)
    if step["limit"] is not None:
        budget = float(step["limit"].removeprefix("USD "))
        for group in groups_of(step):
            part = min(1.0, budget / total) if (total := sum(due[name] for name in group)) else 0.0
            asked |= {name: due[name] * part for name in group}
            budget = max(budget - total * part, 0.0)
    books.principal = max(books.principal - sum(asked.values()), 0.0)  # shares may add up to a rounding error more
    left = dict(asked)
    pay(books, step | {"limit": None}, left, lenders)
    for name in step["to"]:
        books.balance[name] -= asked[name] - left[name]


def principal_due(books: Books, step: Json) -> dict[str, float]:
    """What the step's classes may get of the principal due."""
    principal = books.principal
    if step["rule"] == "pro_rata":
        total = sum(books.balance[name] for name in step["to"])
        part = min(1.0, principal / total) if total else 0.0
        return {name: books.balance[name] * part for name in step["to"]}
    due = {}
    for name in step["to"]:
        due[name] = min(books.balance[name], principal)
        principal -= due[name]
    return due


def groups_of(step: Json) -> list[list[str]]:
    """Payees that share, or one after the other."""
    return [step["to"]] if step["rule"] == "pro_rata" else [[name] for name in step["to"]]


def pay(books: Books, step: Json, owed: dict[str, float], lenders: list[str]) -> float:
    """Pay what is owed from the lenders in turn, in all no more than the limit; owed is reduced. Returns the sum."""
    budget = float("inf") if step["limit"] is None else float(step["limit"].removeprefix("USD "))
    moved = 0.0
    for group in groups_of(step):
        for lender in lenders:
            total, have = sum(owed[name] for name in group), min(books.cash[lender], budget)
            part = min(1.0, have / total) if total else 0.0
            for name in group:
                amount = owed[name] * part
                owed[name] -= amount
                key = (step["pay"], name)
                books.paid[-1][key] = books.paid[-1].get(key, 0.0) + amount
            books.cash[lender] = max(books.cash[lender] - total * part, 0.0)
            budget, moved = max(budget - total * part, 0.0), moved + total * part
    return moved


def top_up_or_release(deal: Json, books: Books, cutoff: float, final: bool, step: Json) -> None:
    """Bring the reserve to its target."""
    reserve = reserve_of(deal)
    assert reserve is not None
    keep = reserve["release"] == "final" or any(b > 0.005 for b in books.balance.values())
    target = share_of(reserve["target"]) * cutoff if keep and not final else 0.0
    (account,) = step["source"]
    moved = min(target - books.cash[reserve["name"]], books.cash[account])
    books.cash[reserve["name"]] += moved
    books.cash[account] -= moved
