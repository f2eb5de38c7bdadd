"""What the page of required loan rates shows: the form, the stack by grade and term, the loans beside it, the CSV.

Nothing is decided here about who may see it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from django import forms

from pooling.engine.loans import LoanArrays
from pooling.tapes.issues import defused
from pricing.engine.loan_apr import APR_LAYERS, MOST_THETA, RequiredApr
from pricing.engine.loans import RequiredReturn
from pricing.engine.snapshot import MarketSnapshot
from pricing.loan_pricing import LoanAprs, loan_aprs
from rating.engine.model import CreditModel

SHOWN = 20
LAYER_WORDS = {
    "funding": "Funding",
    "expected_loss": "Expected loss",
    "servicing": "Servicing",
    "liquidity": "Liquidity",
    "capital": "Capital",
    "risk": "Price of risk",
    "origination": "Origination",
}
# What the form holds where nobody asks for another; percent but for theta. All are assumptions of the page.
DEFAULTS = {
    "liquidity": 1.5,
    "servicing": 1.0,
    "risk_weight": 75.0,
    "capital_ratio": 10.5,
    "excess_return": 10.0,
    "theta": 0.5,
    "origination": 3.0,
}
_NUMBER = {"inputmode": "decimal", "class": "num", "autocomplete": "off", "size": 6}


def _percent(label: str, high: float) -> forms.FloatField:
    return forms.FloatField(label=label, min_value=0.0, max_value=high, widget=forms.TextInput(attrs=_NUMBER))


class LoanAprForm(forms.Form):
    """The stack of requirements, in the address; what it leaves out is as stated."""

    funding = _percent("Funding yield, %", 30.0)
    liquidity = _percent("Liquidity, %", 20.0)
    servicing = _percent("Servicing, %", 10.0)
    risk_weight = _percent("Risk weight, %", 1250.0)
    capital_ratio = _percent("Capital, % of it", 100.0)
    excess_return = _percent("Return on it, %", 100.0)
    theta = _percent("Price of risk θ", MOST_THETA)
    origination = _percent("Origination, % of balance", 50.0)

    def __init__(self, given: Mapping[str, str], *, funding: float) -> None:
        known = {"funding": f"{100 * funding:.3f}"} | {name: f"{value:g}" for name, value in DEFAULTS.items()}
        super().__init__(
            {name: given.get(name) or value for name, value in known.items()}, auto_id="apr_%s", label_suffix=""
        )

    @property
    def refusal(self) -> str:
        """Its first error, with the name of its field."""
        for name, errors in self.errors.items():
            return f"{self.fields[name].label}: {errors[0]}"
        return ""

    def required(self, correlation: float) -> RequiredApr:
        """What is asked. correlation: of the credit model."""
        part = {name: value / 100.0 for name, value in self.cleaned_data.items()}
        return RequiredApr(
            stack=RequiredReturn(
                funding=part["funding"],
                liquidity=part["liquidity"],
                servicing=part["servicing"],
                risk_weight=part["risk_weight"],
                capital_ratio=part["capital_ratio"],
                excess_return=part["excess_return"],
            ),
            theta=self.cleaned_data["theta"],
            correlation=correlation,
            origination=part["origination"],
        )


def funding_yield(loans: LoanArrays, snapshot: MarketSnapshot) -> float:
    """Treasury par yield and basis at half the pool's mean remaining term, about the life of level-payment loans."""
    years = float(loans.balance @ loans.remaining_term / loans.balance.sum()) / 24.0
    return float(snapshot.curve.par(years)) + snapshot.basis


@dataclass(frozen=True)
class StackRow:
    """Loans of one grade and original term: means weighted by balance, annual fractions."""

    grade: str
    term: int
    loans: int
    balance: float
    layers: tuple[float, ...]
    apr: float
    contract: float

    @property
    def gap(self) -> float:
        return self.contract - self.apr


def stack_rows(loans: LoanArrays, found: LoanAprs) -> list[StackRow]:
    """Rows by grade and term, and what all loans bear together last."""
    rows = []
    kinds = sorted({(str(grade), int(term)) for grade, term in zip(loans.grade, loans.original_term, strict=True)})
    for grade, term in kinds:
        members = (loans.grade == grade) & (loans.original_term == term)
        rows.append(_row(loans, found, members, grade, term))
    return [*rows, _row(loans, found, np.ones(len(loans), dtype=np.bool_), "All", 0)]


def _row(loans: LoanArrays, found: LoanAprs, members: Any, grade: str, term: int) -> StackRow:
    layers = found.mean_layers(loans, members)
    weights = loans.balance[members] / loans.balance[members].sum()
    return StackRow(
        grade=grade,
        term=term,
        loans=int(members.sum()),
        balance=float(loans.balance[members].sum()),
        layers=tuple(layers[name] for name in APR_LAYERS),
        apr=sum(layers.values()),
        contract=float(weights @ loans.rate[members]),
    )


@dataclass(frozen=True)
class LoanRow:
    """One loan against what is asked of it, annual fractions."""

    loan_id: str
    grade: str
    term: int
    balance: float
    contract: float
    apr: float
    gap: float


def extremes(loans: LoanArrays, found: LoanAprs) -> tuple[list[LoanRow], list[LoanRow]]:
    """The cheapest loans (they bear more than is asked) and the dearest, SHOWN of each, ties by id."""
    order = np.lexsort((loans.loan_id, -found.gap))
    return [_loan(loans, found, i) for i in order[:SHOWN]], [_loan(loans, found, i) for i in order[::-1][:SHOWN]]


def _loan(loans: LoanArrays, found: LoanAprs, i: int) -> LoanRow:
    return LoanRow(
        loan_id=str(loans.loan_id[i]),
        grade=str(loans.grade[i]),
        term=int(loans.original_term[i]),
        balance=float(loans.balance[i]),
        contract=float(loans.rate[i]),
        apr=float(found.apr[i]),
        gap=float(found.gap[i]),
    )


def loan_aprs_csv(loans: LoanArrays, found: LoanAprs) -> str:
    """Every loan with its stack, fractions."""
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(["loan_id", "grade", "term", "balance", "contract_rate", *APR_LAYERS, "required_rate", "gap"])
    for i in range(len(loans)):
        layers = [repr(float(found.stack.layers[name][found.cell[i]])) for name in APR_LAYERS]
        words = [defused(str(text)) for text in (loans.loan_id[i], loans.grade[i])]
        head = [*words, int(loans.original_term[i]), f"{loans.balance[i]:.2f}"]
        rates = [repr(float(value)) for value in (loans.rate[i], found.apr[i], found.gap[i])]
        lines.writerow([*head, rates[0], *layers, *rates[1:]])
    return out.getvalue()


def answer(
    given: Mapping[str, str], *, loans: LoanArrays, model: CreditModel, snapshot: MarketSnapshot
) -> tuple[LoanAprForm, LoanAprs | None]:
    """The form as asked, and the rates it gives; None where it is refused."""
    form = LoanAprForm(given, funding=funding_yield(loans, snapshot))
    if not form.is_valid():
        return form, None
    return form, loan_aprs(loans, model, form.required(model.asset_correlation))
