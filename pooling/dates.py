"""The dates of a deal over a pool: cut-off, closing, first payment, legal final."""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import TypedDict

from django.db.models import Max

from pooling.models import Pool

# Longest loan, then charge-off and recovery; what is unpaid after that is reported as unpaid at legal final.
TAIL_MONTHS = 24


class DealDates(TypedDict):
    cut_off: date
    closing: date
    first_payment: date
    legal_final: date


def months_after(day: date, months: int) -> date:
    """The same day of the month, or that month's last."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def deal_dates(pool: Pool, closing: date) -> DealDates:
    """Closing as given; cut-off at the end of the month before; first payment a month after closing."""
    longest = pool.loans.aggregate(longest=Max("remaining_term"))["longest"]
    first_of_month = closing.replace(day=1)
    before = months_after(first_of_month, -1)
    return DealDates(
        cut_off=before.replace(day=monthrange(before.year, before.month)[1]),
        closing=closing,
        first_payment=months_after(closing, 1),
        legal_final=months_after(closing, longest + TAIL_MONTHS),
    )
