"""Which column of a tape holds which field, by name.

Not here: units (units.py) and whether a value makes sense (checking.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from accounts.errors import ApplicationError
from pooling.tapes.issues import shorten

REQUIRED = ("amount", "rate", "term")

# Squashed names (letters and digits only, lower case), best first. Where a tape holds several, the first
# wins: the balance is what was funded, not what was asked for; a current balance is an amount only where
# nothing else is. Sources: LendingClub 2007-2010 and 2018 exports, the dotted export, Prosper, ABS-EE names.
SYNONYMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "amount": (
            "fundedamnt", "fundedamount", "amountfunded", "amountfundedbyinvestors", "fundedamntinv",
            "originalbalance", "loanoriginalamount", "originalloanamount", "originalamount",
            "loanamnt", "loanamount", "amount", "principal", "amountrequested", "requestedamount",
            "balance", "currentbalance", "loanbalance",
        ),
        "requested": ("loanamnt", "amountrequested", "requestedamount", "loanamount"),
        "rate": (
            "intrate", "interestrate", "rate", "annualrate", "borrowerrate", "originalinterestrate",
            "coupon", "couponrate", "interestratepercent", "contractrate",
        ),
        "term": (
            "term", "loanlength", "loanterm", "termmonths", "terminmonths", "originalterm", "loantermmonths",
            "months",
        ),
        "loan_id": ("id", "loanid", "loannumber", "loankey", "assetnumber"),
        "obligor": ("memberid", "borrowerid", "obligorid", "memberkey", "customerid"),
        "grade": ("grade", "loangrade", "creditgrade", "prosperratingalpha", "prosperrating"),
        "sub_grade": ("subgrade", "loansubgrade"),
        "score": ("ficorange", "fico", "ficoscore", "creditscore", "score", "obligorcreditscore"),
        "score_low": ("ficorangelow", "creditscorerangelower"),
        "score_high": ("ficorangehigh", "creditscorerangeupper"),
        "issue_date": (
            "issued", "issuedate", "issuemonth", "originationdate", "loanoriginationdate", "dateissued",
            "fundingdate",
        ),
        "state": ("addrstate", "state", "borrowerstate", "region", "obligorgeographiclocation"),
        "purpose": ("purpose", "loanpurpose"),
        "income": ("annualinc", "annualincome", "income", "yearlyincome"),
        "monthly_income": ("monthlyincome", "monthlyinc", "statedmonthlyincome"),
        "dti": ("dti", "debttoincome", "debttoincomeratio"),
        "employment": ("emplength", "employmentlength"),
        "home_ownership": ("homeownership", "housing"),
        "instalment": ("installment", "instalment", "monthlypayment", "monthlyloanpayment", "payment"),
        "outstanding": (
            "outprncp", "outstandingprincipal", "outstandingbalance", "currentbalance", "balance",
        ),
        "status": ("loanstatus", "status"),
        "last_payment_date": ("lastpymntd", "lastpaymentdate", "lastpaymentmonth", "lastpaymentd"),
        "received_principal": ("totalrecprncp", "paidprincipal", "principalpaid"),
        "received_interest": ("totalrecint", "paidinterest", "interestpaid"),
        "recoveries": ("recoveries",),
        "recovery_fee": ("collectionrecoveryfee",),
    }
)  # fmt: skip

# Fields that describe what became of a loan: never an input to eligibility or to the rating of its own pool.
OUTCOME_FIELDS = frozenset(
    {"status", "last_payment_date", "received_principal", "received_interest", "recoveries", "recovery_fee"}
)


def squash(header: str) -> str:
    """Letters and digits of a header in lower case, so that Interest.Rate and interest_rate are one name."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def map_columns(headers: tuple[str, ...], chosen: Mapping[str, str] | None = None) -> dict[str, str]:
    """Field -> header, for every field found.

    chosen: field -> header decided by a person; it wins over the names. Raises ApplicationError with code
    tape_missing_columns (naming what was looked for and what stands close), tape_duplicate_columns (two
    headers that differ only in punctuation compete for a field), or tape_mapping (chosen names what does not
    exist).
    """
    chosen = dict(chosen or {})
    for field, header in chosen.items():
        if field not in SYNONYMS:
            raise ApplicationError(f"There is no field {field!r} to map.", code="tape_mapping", field=field)
        if header not in headers:
            known = _listing(headers)
            sentence = f"The tape has no column {shorten(header)!r} for {field}; its columns are {known}."
            raise ApplicationError(sentence, code="tape_mapping", field=field)
    by_name: dict[str, list[str]] = {}
    for header in headers:
        by_name.setdefault(squash(header), []).append(header)
    mapping = {}
    for field, names in SYNONYMS.items():
        found = chosen.get(field) or _first(by_name, names, field)
        if found is not None:
            mapping[field] = found
    for field in ("requested", "outstanding"):
        if mapping.get(field) == mapping.get("amount") and field not in chosen:
            mapping.pop(field, None)
    missing = [field for field in REQUIRED if field not in mapping]
    if missing:
        raise _missing(missing, headers)
    return mapping


def _first(by_name: dict[str, list[str]], names: tuple[str, ...], field: str) -> str | None:
    for name in names:
        found = by_name.get(name, [])
        if len(found) > 1:
            sentence = f"Columns {_listing(tuple(found))} both look like {field}; rename or drop one."
            raise ApplicationError(sentence, code="tape_duplicate_columns", field=field)
        if found:
            return found[0]
    return None


def _missing(missing: list[str], headers: tuple[str, ...]) -> ApplicationError:
    hints = []
    squashed = {squash(header): header for header in headers}
    for field in missing:
        close = [
            squashed[match]
            for name in SYNONYMS[field]
            for match in difflib.get_close_matches(name, list(squashed), n=1, cutoff=0.75)
        ]
        if close:
            hints.append(f"{shorten(close[0])!r} stands close to {field}")
    wanted = ", ".join(f"{field} (such as {_EXAMPLES[field]})" for field in missing)
    hint = f"; {'; '.join(hints)}" if hints else ""
    known = _listing(headers)
    sentence = f"The tape has no column for {wanted}; its columns are {known}{hint}. Add or rename it."
    return ApplicationError(sentence, code="tape_missing_columns", field=missing[0])


_EXAMPLES = {
    "amount": "funded_amnt or loan_amount",
    "rate": "int_rate or interest_rate",
    "term": "term or loan_length",
}


def _listing(headers: tuple[str, ...]) -> str:
    shown = ", ".join(repr(shorten(header)) for header in headers[:8])
    return shown + (f" and {len(headers) - 8} more" if len(headers) > 8 else "")
