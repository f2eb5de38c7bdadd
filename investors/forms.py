"""The form of a mandate: what an institution may buy."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.pages import ActionForm, AmountField
from rating.engine.scale import GRADES

ASSET_TYPES = [("unsecured_consumer", "Unsecured consumer loans"), ("prime_auto", "Prime auto loans")]


def _decimal(label: str, initial: str, **options: Any) -> forms.DecimalField:
    widget = forms.TextInput(attrs={"inputmode": "decimal", "class": "num"})
    return forms.DecimalField(label=label, initial=initial, max_digits=9, decimal_places=4, widget=widget, **options)


class MandateForm(ActionForm):
    name = forms.CharField(max_length=120)
    rating_floor = forms.ChoiceField(
        label="Worst indicative rating", choices=[(grade, grade) for grade in GRADES], initial="BBB"
    )
    wal_min = _decimal("Shortest average life, years", "0", min_value=0)
    wal_max = _decimal("Longest average life, years", "5", min_value=0)
    yield_floor = _decimal("Lowest yield, % a year", "0")
    asset_types = forms.MultipleChoiceField(
        label="Asset types", choices=ASSET_TYPES, widget=forms.CheckboxSelectMultiple, initial=["unsecured_consumer"]
    )
    budget_cents = AmountField(label="Budget, USD")
    ticket_cents = AmountField(label="Ticket, USD", help_text="Every amount is a multiple of it.")
    max_share = _decimal("Largest share of one class, %", "50", min_value=0, max_value=100)

    def terms(self) -> dict[str, Any]:
        """The terms as the service takes them: shares and yields as fractions, money in cents."""
        values = self.cleaned_data
        return {
            "name": values["name"],
            "rating_floor": values["rating_floor"],
            "wal_min": float(values["wal_min"]),
            "wal_max": float(values["wal_max"]),
            "yield_floor": float(values["yield_floor"] / 100),
            "asset_types": values["asset_types"],
            "budget_cents": values["budget_cents"],
            "ticket_cents": values["ticket_cents"],
            "max_share": float(values["max_share"] / 100),
        }
