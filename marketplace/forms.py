"""Forms of the market; the services judge what is typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms

from accounts.pages import ActionForm, AmountField
from marketplace.services.prices import TICKS_PER_UNIT
from pooling.selectors import LoanFilters

TICKS_PER_PERCENT = TICKS_PER_UNIT // 100


class YieldField(forms.DecimalField):
    """A yield in percent a year with at most three decimals. cleaned: int ticks of 1e-5."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=7, decimal_places=3, min_value=Decimal("0.001"), **options)
        self.widget = forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off", "class": "num"})

    def clean(self, value: Any) -> int | None:  # ticks leave the form, not a Decimal
        percent = super().clean(value)
        return None if percent is None else int(percent * TICKS_PER_PERCENT)


class BidForm(ActionForm):
    yield_ticks = YieldField(label="Lowest yield you accept, % a year")
    amount = AmountField(label="Amount, USD of original balance")


class ListingForm(ActionForm):
    reserve_spread_bp = forms.IntegerField(
        label="Reserve over the guide yield, basis points",
        initial=150,
        widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "num"}),
        help_text="No bid above the guide yield plus this is accepted.",
    )
    lot = AmountField(label="Lot, USD", initial="1,000.00", help_text="Every bid is a multiple of it.")


class LoanFilterForm(forms.Form):
    """Filters of the loan table; rates are typed in percent."""

    grade = forms.ChoiceField(required=False)
    term = forms.ChoiceField(required=False, label="Term, months")
    state = forms.ChoiceField(required=False)
    purpose = forms.ChoiceField(required=False)
    rate_min = forms.DecimalField(required=False, label="Rate from, %", min_value=0, max_value=1000, decimal_places=4)
    rate_max = forms.DecimalField(required=False, label="Rate to, %", min_value=0, max_value=1000, decimal_places=4)

    def __init__(self, data: Any, choices: dict[str, list[str]]) -> None:
        super().__init__(data, auto_id="loan_%s")
        for name, values in choices.items():
            options = [("", "any"), *((value, value.replace("_", " ")) for value in values)]
            self.fields[name] = forms.ChoiceField(required=False, label=self.fields[name].label, choices=options)
        for name in ("rate_min", "rate_max"):
            self.fields[name].widget = forms.TextInput(attrs={"inputmode": "decimal", "class": "num"})

    def filters(self) -> LoanFilters:
        """The filters as the selector takes them: rates as fractions; what is empty is left out."""
        values = self.cleaned_data
        found = LoanFilters(grade=values["grade"], state=values["state"], purpose=values["purpose"])
        if values["term"]:
            found["term"] = int(values["term"])
        if values["rate_min"] is not None:
            found["rate_min"] = values["rate_min"] / 100
        if values["rate_max"] is not None:
            found["rate_max"] = values["rate_max"] / 100
        return found


class PaymentForm(forms.Form):
    """Which payment is to be explained: fields `class` and `date` (its number, from 1)."""

    def __init__(self, given: Mapping[str, str], *, classes: Sequence[str], dates: Sequence[str]) -> None:
        """given: values of the address; what it leaves out is the first class and the first date. dates: texts of the
        payment dates."""
        choices = {
            "class": [(name, name) for name in classes],
            "date": [(str(number), text) for number, text in enumerate(dates, start=1)],
        }
        data = {name: given.get(name) or options[0][0] for name, options in choices.items()}
        super().__init__(data, auto_id="payment_%s", label_suffix="")
        mends = {
            "class": f"class: %(value)s is no class of this deal; its classes are {', '.join(classes)}.",
            "date": f"date: %(value)s is no payment date of this run; give a number from 1 to {len(dates)}.",
        }
        for name, label in (("class", "Class"), ("date", "Payment date")):
            self.fields[name] = forms.ChoiceField(
                label=label, choices=choices[name], error_messages={"invalid_choice": mends[name]}
            )

    @property
    def refusal(self) -> str:
        """Its first error, as one sentence; "" where there is none."""
        return next((str(errors[0]) for errors in self.errors.values()), "")
