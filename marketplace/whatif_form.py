"""The form of the what-if: class sizes in percent of the pool or target grades, PD multiplier, severity in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from pricing.whatif import PD_RANGE, Question, Rated
from rating.engine.scale import GRADES
from rating.engine.sizing import UNIT_CENTS

MODES = (("kept", "as solved"), ("sizes", "the sizes given"), ("targets", "sized to the targets"))
_NUMBER = {"inputmode": "decimal", "class": "num", "autocomplete": "off"}


class WhatIfForm(forms.Form):
    """Fields size_0, target_0, size_1, … by seniority, mode, pd, severity. What the address leaves out is as rated."""

    mode = forms.ChoiceField(label="Classes", choices=MODES)
    pd = forms.FloatField(
        label="PD, times", min_value=PD_RANGE[0], max_value=PD_RANGE[1], widget=forms.TextInput(attrs=_NUMBER)
    )
    severity = forms.FloatField(
        label="Severity, %", min_value=0.0, max_value=100.0, widget=forms.TextInput(attrs=_NUMBER)
    )

    def __init__(self, given: Mapping[str, str], *, deal: Rated) -> None:
        self.deal, self.names = deal, list(deal.balances)
        known = {"mode": "kept", "pd": "1", "severity": f"{100 * deal.severity:.2f}"}
        for slot, name in enumerate(self.names):
            known[f"size_{slot}"] = f"{100 * deal.balances[name] / deal.pool:.3f}"
            known[f"target_{slot}"] = deal.targets.get(name, "")
        # Only what the form has: other words of the address mean nothing to it.
        super().__init__(
            {name: given.get(name) or value for name, value in known.items()}, auto_id="whatif_%s", label_suffix=""
        )
        self.known = known
        for slot, name in enumerate(self.names):
            self.fields[f"size_{slot}"] = forms.FloatField(
                label=f"Size of {name}", min_value=0.0, max_value=100.0, widget=forms.TextInput(attrs=_NUMBER)
            )
            self.fields[f"target_{slot}"] = forms.ChoiceField(
                label=f"Target of {name}", required=False, choices=[("", "—"), *((each, each) for each in GRADES)]
            )

    def rows(self) -> list[tuple[str, Any, Any]]:
        """(class, size field, target field), senior first."""
        return [(name, self[f"size_{slot}"], self[f"target_{slot}"]) for slot, name in enumerate(self.names)]

    @property
    def refusal(self) -> str:
        """Its first error, as one sentence with the name of its field."""
        for name, errors in self.errors.items():
            label = self.fields[name].label if name in self.fields else ""
            return f"{label}: {errors[0]}".removeprefix(": ")
        return ""

    def question(self) -> Question:
        """What is asked; a field as the rating has it asks nothing. Sizes to whole thousands, downwards."""
        values, mode = self.cleaned_data, self.cleaned_data["mode"]
        sizes: dict[str, int] = {}
        targets: dict[str, str] = {}
        for slot, name in enumerate(self.names):
            if mode == "sizes" and self.data[f"size_{slot}"] != self.known[f"size_{slot}"]:
                cents = values[f"size_{slot}"] / 100.0 * self.deal.pool
                sizes[name] = int(cents / UNIT_CENTS + 1e-9) * UNIT_CENTS
            if mode == "targets" and values[f"target_{slot}"]:
                targets[name] = values[f"target_{slot}"]
        same = self.data["severity"] == self.known["severity"]
        return Question(sizes, targets, values["pd"], None if same else values["severity"] / 100.0)
