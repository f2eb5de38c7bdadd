"""A generated tape in LendingClub's column format: no real borrower, the same bytes for a seed.

Only uniform draws of Python's own Mersenne Twister are used, whose stream is fixed across versions. The
shares, rates and slopes below are round figures of our own after public statistics of marketplace loans; no
row, and no outcome, is taken from any data set.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

from pooling.tapes.dates import month_name, month_number

COLUMNS = (
    "id", "member_id", "loan_amnt", "funded_amnt", "funded_amnt_inv", "term", "int_rate", "installment",
    "grade", "sub_grade", "emp_title", "emp_length", "home_ownership", "annual_inc", "verification_status",
    "issue_d", "loan_status", "pymnt_plan", "purpose", "title", "zip_code", "addr_state", "dti",
    "fico_range_low", "fico_range_high", "initial_list_status", "out_prncp", "out_prncp_inv",
    "total_pymnt", "total_rec_prncp", "total_rec_int", "total_rec_late_fee", "recoveries",
    "collection_recovery_fee", "last_pymnt_d", "next_pymnt_d", "application_type",
)  # fmt: skip

# grade: share of loans, rate of the best sub-grade, step per sub-grade, share of 60 months, typical score
_GRADES = {
    "A": (0.24, 0.0560, 0.0055, 0.08, 735),
    "B": (0.30, 0.0890, 0.0055, 0.22, 710),
    "C": (0.26, 0.1250, 0.0065, 0.35, 695),
    "D": (0.14, 0.1650, 0.0090, 0.40, 688),
    "E": (0.04, 0.2150, 0.0100, 0.60, 684),
    "F": (0.015, 0.2650, 0.0065, 0.70, 680),
    "G": (0.005, 0.2980, 0.0025, 0.75, 678),
}
_GRADE_SHARES = {grade: round(1000 * figures[0]) for grade, figures in _GRADES.items()}
_STATES = {
    "CA": 134, "TX": 84, "NY": 80, "FL": 72, "IL": 40, "NJ": 36,
    "PA": 34, "OH": 33, "GA": 33, "NC": 28, "VA": 28, "MI": 26, "AZ": 25, "MD": 24, "MA": 23, "CO": 21,
    "WA": 21, "IN": 17, "MN": 17, "TN": 16, "CT": 16, "MO": 16, "NV": 15, "WI": 13, "AL": 12, "SC": 12,
    "OR": 12, "LA": 11, "KY": 10, "OK": 9, "KS": 8, "AR": 8, "UT": 7, "MS": 6, "NM": 5, "HI": 5, "NH": 5,
    "RI": 4, "WV": 4, "NE": 4, "ID": 3, "ME": 3, "MT": 3, "DE": 3, "AK": 2, "WY": 2, "VT": 2, "SD": 2,
    "ND": 2, "DC": 2,
}  # fmt: skip
_PURPOSES = {
    "debt_consolidation": 52, "credit_card": 24, "home_improvement": 7, "other": 7, "major_purchase": 3,
    "medical": 2, "car": 1, "small_business": 1, "moving": 1, "vacation": 1, "house": 1,
}  # fmt: skip
_HOMES = {"MORTGAGE": 49, "RENT": 39, "OWN": 12}
_EMPLOYMENT = {
    "10+ years": 33, "< 1 year": 9, "1 year": 7, "2 years": 9, "3 years": 8, "4 years": 6, "5 years": 6,
    "6 years": 5, "7 years": 4, "8 years": 4, "9 years": 3, "n/a": 6,
}  # fmt: skip
_JOBS = ("teacher", "driver", "nurse", "manager", "owner, self employed", "engineer", "clerk", "")
_VERIFIED = {"Source Verified": 40, "Not Verified": 36, "Verified": 24}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_VINTAGES = 6


def generate_tape(n: int = 10_000, seed: int = 1, *, cut_off: str = "2025-06") -> Iterator[tuple[str, ...]]:
    """Header and n rows of current loans on schedule, issued in the six months up to cut_off ("YYYY-MM").

    Raises ValueError for n below 1 or a cut_off that is no month.
    """
    if n < 1:
        raise ValueError(f"n: {n} loans; a tape has at least one")
    month = month_number(cut_off)
    random = Random(seed)  # noqa: S311 (test data, not a secret)
    yield COLUMNS
    for number in range(n):
        yield _loan(random, number, month)


def write_generated_tape(path: Path, n: int = 10_000, seed: int = 1, *, cut_off: str = "2025-06") -> None:
    """Write the generated tape as CSV; gzip where the name ends in .gz, without a time stamp."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(generate_tape(n, seed, cut_off=cut_off))
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _pick(random: Random, weights: dict[str, int]) -> str:
    target = random.random() * sum(weights.values())
    for name, reached in zip(weights, accumulate(weights.values()), strict=True):
        if target < reached:
            return name
    return next(reversed(weights))


def _bell(random: Random) -> float:
    """Nearly standard normal: the sum of twelve uniforms less six."""
    return sum(random.random() for _ in range(12)) - 6.0


def _loan(random: Random, number: int, cut_off: int) -> tuple[str, ...]:
    grade = _pick(random, _GRADE_SHARES)
    _, best, step, long_share, typical = _GRADES[grade]
    sub = int(random.random() * 5)
    rate = round(best + step * sub, 4)
    term = 60 if random.random() < long_share else 36
    income = 1_000 * max(12, round(68 * math.exp(0.45 * _bell(random))))
    asked = income * (0.12 + 0.30 * random.random()) * (1.35 if term == 60 else 1.0)
    amount = 25 * round(min(40_000.0, max(1_000.0, asked)) / 25)
    low = 5 * round(min(845.0, max(660.0, typical + 24 * _bell(random))) / 5)
    dti = max(0.0, 18.0 + 8.0 * _bell(random))
    age = int(random.random() * _VINTAGES)
    instalment, balance, principal, interest = _schedule(amount * 100, rate, term, age)
    state = _pick(random, _STATES)
    purpose = _pick(random, _PURPOSES)
    job = _JOBS[int(random.random() * len(_JOBS))]
    listing = "w" if random.random() < 0.7 else "f"
    return (
        str(10_000_001 + number), str(20_000_001 + number), str(amount), str(amount), f"{amount}.0",
        f"{term} months", f"{rate * 100:.2f}%", _money(instalment), grade, f"{grade}{sub + 1}", job,
        _pick(random, _EMPLOYMENT), _pick(random, _HOMES), f"{income}.0", _pick(random, _VERIFIED),
        _written(cut_off - age), "Current", "n", purpose, purpose.replace("_", " ").capitalize(),
        f"{int(random.random() * 1000):03d}xx", state, f"{dti:.2f}", str(low), str(low + 4), listing,
        _money(balance), _money(balance), _money(principal + interest), _money(principal),
        _money(interest), "0.0", "0.0", "0.0", _written(cut_off) if age else "", _written(cut_off + 1),
        "Individual",
    )  # fmt: skip


def _schedule(cents: int, rate: float, term: int, age: int) -> tuple[int, int, int, int]:
    """Instalment, balance, principal and interest paid after age level payments, all integer cents."""
    monthly = rate / 12.0
    instalment = round(cents * monthly / (1.0 - (1.0 + monthly) ** -term))
    balance, interest = cents, 0
    for _ in range(age):
        due = round(balance * monthly)
        interest += due
        balance -= instalment - due
    return instalment, balance, cents - balance, interest


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _written(month: int) -> str:
    name = month_name(month)
    return f"{_MONTHS[int(name[5:]) - 1]}-{name[:4]}"
