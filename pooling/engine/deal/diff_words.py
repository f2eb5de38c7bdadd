"""Words for changes of a deal: money with its currency, rates in percent, dates as they are, formulas in quotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ABSENT = "(absent)"
CENTS = 100

_MONEY = {"balance", "amount", "amount_per_loan", "closing_expenses"}
_FORMULA = {
    "accretes_while", "amount", "base", "commitment", "condition", "criteria", "ends_when", "formula", "initial",
    "limit", "notional", "price", "support_when", "target", "when",
}  # fmt: skip
_NOUNS = {
    "tranches": "Class",
    "fees": "Fee",
    "accounts": "Account",
    "facilities": "Liquidity facility",
    "hedges": "Hedge",
    "triggers": "Trigger",
    "definitions": "Definition",
    "alternatives": "Alternative",
    "collateral": "Collateral group",
    "ledgers": "Deficiency ledger",
    "collections": "Collections of",
}
# Choices of the language, whose words are written with underscores.
_CHOICES = {
    "accrual_dates", "business_day_rule", "deferral", "event_order", "excess", "losses", "loss_coverage", "release",
    "rule", "shortfall_interest", "tested",
}  # fmt: skip
# What null means where it is not simply nothing.
_NULL = {"balance": "to be solved", "coupon": "to be solved", "day_count": "the deal's", "cure_after": "never"}
_NULL |= {"due": "the first payment date", "currency": "the deal's"}
_UNSAID: tuple[tuple[str, Any], ...] = (("deferral", "carried"), ("yield_rate", 0.0), ("source", "all"))
_TITLES = {
    "residual": "Residual certificate",
    "call": "Clean-up call",
    "revolving": "Revolving period",
    "deficiency": "Principal deficiency",
    "waterfall": "Order of payments",
}
_PAYS = {
    "reserve": "top-up of",
    "test": "test of",
    "deficiency": "deficiency of",
    "facility": "repayment of",
    "hedge": "amount due on",
}


class Words:
    """Sentences on what differs between two specs in these currencies."""

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = before, after

    # ------------------------------------------------------------------------------------------------------ sentences
    def became(self, subject: str, key: str, before: Any, after: Any) -> str:
        """One value in place of another; an object that comes or goes is added or removed."""
        if before is None and isinstance(after, Mapping) and key != "coupon":
            return self.added(self.within(subject, key), key, after, "")
        if after is None and isinstance(before, Mapping) and key != "coupon":
            return self.removed(self.within(subject, key))
        label = _label(key)
        if key == "planned_balances":
            return f"{subject}: {label} {_planned(before, after)}."
        head = f"{subject}: {label} " if subject else f"{label[0].upper()}{label[1:]}: "
        return f"{head}{self.shown(key, before, self.before)} became {self.shown(key, after, self.after)}."

    def added(self, noun: str, key: str, item: Mapping[str, Any], place: str) -> str:
        """Somebody or something new, with its terms."""
        return f"{noun} added{place}: {self.described(key, item, self.after)}."

    def removed(self, noun: str) -> str:
        """Somebody or something gone."""
        return f"{noun} removed."

    def replaced(self, noun: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
        """The same name on another kind of thing."""
        was, now = self.described(key, before, self.before), self.described(key, after, self.after)
        return f"{noun}: {was}, became {now}."

    def order(self, subject: str, key: str, before: list[str], after: list[str]) -> str:
        """The same names in another order."""
        title = self.within(subject, key)
        return f"{title}: the order {', '.join(before)} became {', '.join(after)}."

    # ----------------------------------------------------------------------------------------------- subjects of them
    def within(self, subject: str, key: str) -> str:
        """Subject of what stands in the object `key`: "Dates", or "Class B, coupon"."""
        if subject:
            return f"{subject}, {_label(key)}"
        return _TITLES.get(key, f"{_label(key)[0].upper()}{_label(key)[1:]}")

    def member(self, subject: str, key: str, name: str) -> str:
        """Subject of a member of a list: "Class B", or "Fee trustee, amount of 2027-01-01"."""
        noun = _NOUNS.get(key)
        if noun is None:
            return f"{subject}, {_label(key).removesuffix('s')} of {name}"
        if key == "collections":
            name = "every source" if name == "all" else name.replace("_", " ")
        return f"{noun} {name}"

    def place(self, key: str, names: list[str], name: str) -> str:
        """Where a new class stands, since that is its seniority; nothing for other lists."""
        at = names.index(name)
        if key != "tranches":
            return ""
        return f" after {names[at - 1]}" if at else " as the most senior"

    def title(self, subject: str) -> str:
        """Subject of an order of payments, of the deal or of an alternative."""
        return f"{subject}, order of payments" if subject else _TITLES["waterfall"]

    def step(self, step: Mapping[str, Any], terms: bool = False) -> str:
        """A step in words: "fee to trustee"; terms: with what it has beside its payees."""
        pay, names = step["pay"], ", ".join(step["to"])
        text = "purchase of collateral" if pay == "purchase" else f"{_PAYS.get(pay, f'{pay} to')} {names}"
        if not terms:
            return text
        text += " pro rata" if step["rule"] == "pro_rata" else ""
        text += "" if step["source"] == ["collection"] else f", from {', '.join(step['source'])}"
        for key in ("amount", "limit", "when", "support", "support_when"):
            if step[key]:
                text += f", {_label(key)} {self.shown(key, step[key], self.after)}"
        return text

    # --------------------------------------------------------------------------------------------------------- values
    def shown(self, key: str, value: Any, currency: str) -> str:
        """One value by what its key measures."""
        if value is None:
            return _NULL.get(key, "none")
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, int) and key in _MONEY:
            return f"{currency} {value / CENTS:,.2f}"
        if isinstance(value, float):
            return f"{value * 100:.3f} %"
        if isinstance(value, str):
            return f'"{value}"' if key in _FORMULA else value.replace("_", " ") if key in _CHOICES else value
        if isinstance(value, list):
            return self._listed(key, value, currency)
        return self.described(key, value, currency) if isinstance(value, Mapping) else str(value)

    def _listed(self, key: str, value: list[Any], currency: str) -> str:
        if not value:
            return "none"
        if key == "waterfall":
            return "; ".join(self.step(step, terms=True) for step in value)
        if key == "planned_balances":
            return f"{len(value)} dates"
        return ", ".join(self._item(key, item, currency) for item in value)

    def _item(self, key: str, item: Any, currency: str) -> str:
        if not isinstance(item, Mapping):
            return self.shown(key, item, currency)
        if key == "amounts":
            return f"{self.shown('amount', item['amount'], currency)} on {item['date']}"
        terms = self.described(key, item, currency)
        return f"{item['name']} ({terms})" if "name" in item else terms

    def described(self, key: str, item: Mapping[str, Any], currency: str) -> str:
        """What an object says, in the words of its kind, else key by key."""
        kind = item.get("kind")
        way = {
            "floating": self._floating,
            "step": self._stepping,
            "triggered": self._triggered,
            "annual_percentage": self._annual,
            "recurring": self._recurring,
            "one_off": self._one_off,
        }.get(str(kind))
        if way is not None:
            return way(item, currency)
        parts = [str(kind).replace("_", " ")] if kind else []
        for name, value in item.items():
            if name in ("name", "kind") or value is None or value == [] or value is False or (name, value) in _UNSAID:
                continue
            if key == "collections" and name != "into":
                continue
            parts.append(f"{_label(name)} {self.shown(name, value, currency)}")
        return ", ".join(parts) or "no limit"

    def _floating(self, item: Mapping[str, Any], currency: str) -> str:
        text = f"{item['index']} {'-' if item['margin'] < 0 else '+'} {abs(item['margin']) * 100:.3f} %"
        for key in ("floor", "cap"):
            if item[key] is not None:
                text += f", {key} {self.shown(key, item[key], currency)}"
        return text

    def _stepping(self, item: Mapping[str, Any], currency: str) -> str:
        later = (f"from {step['first_accrual']} {self.shown('rate', step['rate'], currency)}" for step in item["steps"])
        return ", ".join([self.shown("rate", item["rate"], currency), *later])

    def _triggered(self, item: Mapping[str, Any], currency: str) -> str:
        first, then = (self.shown(key, item[key], currency) for key in ("before", "after"))
        return f'{first}, and while "{item["when"]}" {then}'

    def _annual(self, item: Mapping[str, Any], currency: str) -> str:
        count = f", {item['day_count']}" if item["day_count"] else ""
        return f'{self.shown("rate", item["rate"], currency)} a year of "{item["base"]}"{count}'

    def _recurring(self, item: Mapping[str, Any], currency: str) -> str:
        often = "on every payment date" if item["every"] == 1 else f"on every {_nth(item['every'])} payment date"
        start = "" if item["first"] == 1 else f" from the {_nth(item['first'])}"
        return f"recurring, {self.shown('amount', item['amount'], currency)} {often}{start}"

    def _one_off(self, item: Mapping[str, Any], currency: str) -> str:
        return f"{self.shown('amount', item['amount'], currency)} once, on {item['due'] or 'the first payment date'}"


def _planned(before: list[int], after: list[int]) -> str:
    dates = max(len(before), len(after))
    rows = [rows + [0] * (dates - len(rows)) for rows in (before, after)]
    return f"changed on {sum(a != b for a, b in zip(*rows, strict=True))} of {dates} dates"


def _label(key: str) -> str:
    return {"to": "payees", "source": "paid from"}.get(key, key.replace("_", " "))


def _nth(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
