"""Forms of the collateral pages; the services judge what is typed."""

from __future__ import annotations

from django import forms

from accounts.pages import ActionForm


class UploadForm(ActionForm):
    file = forms.FileField(
        label="Loan tape",
        allow_empty_file=True,  # the reader of tapes says better what an empty file lacks
        help_text="A CSV in LendingClub's columns, plain or .gz, up to 50 MB. Amount, rate and term are enough.",
    )


class PoolForm(ActionForm):
    name = forms.CharField(max_length=200)
    as_of = forms.CharField(
        label="As of",
        required=False,
        help_text="Empty: balances as the tape has them. A date as YYYY-MM-DD. Or the word origination, which lines"
        " finished loans up at their first day and makes a synthetic pool.",
    )


class DealForm(ActionForm):
    name = forms.CharField(max_length=200)
    spec = forms.CharField(
        label="Deal specification (JSON)",
        required=False,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}),
        help_text="Leave it empty for the default: notes A, B and C sized to AA, A and BBB, a residual certificate, a"
        " reserve account of 1 % and a servicing fee of 1 % a year.",
    )
