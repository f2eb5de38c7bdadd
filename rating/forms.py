"""The request for a rating."""

from __future__ import annotations

from django import forms

from accounts.pages import ActionForm

SCENARIO_CHOICES = [(count, f"{count:,}") for count in (256, 512, 1024, 2048, 4096, 8192, 16384)]


class RatingForm(ActionForm):
    scenarios = forms.TypedChoiceField(
        choices=SCENARIO_CHOICES, coerce=int, initial=2048, help_text="More scenarios narrow the interval of a rating."
    )
    seed = forms.IntegerField(
        min_value=0, initial=7, widget=forms.TextInput(attrs={"inputmode": "numeric", "class": "num"}),
        help_text="The same seed gives the same figures.",
    )  # fmt: skip
