"""Due dates of many loans at once."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.calendars import BusinessDayRule, CalendarName, adjust_dates
from pooling.engine.schedules.terms import Frequency

_DAYS = {"weekly": 7, "fortnightly": 14}
_MONTHS = {"monthly": 1, "quarterly": 3, "half_yearly": 6, "yearly": 12}


def due_dates(
    disbursed: ArrayLike,
    first_due: ArrayLike,
    frequency: Frequency,
    periods: int,
    rule: BusinessDayRule = "unadjusted",
    calendar: CalendarName = "none",
) -> NDArray[Any]:
    """(n, periods + 1) datetime64[D]: the disbursement, as given, and the due dates, as `schedule` takes them.

    disbursed, first_due: (n,) dates, the second later. Weeks are counted in days. Months are counted from the first due
    date on its day, or the last of a shorter month, so that short months leave no trace. rule and calendar move due
    dates to business days; where interest does not follow, take the unadjusted dates for interest and pay on these.

    Raises ValueError naming the input and its first bad row.
    """
    if frequency not in get_args(Frequency):
        raise ValueError(f"frequency: {frequency!r} is none of {', '.join(get_args(Frequency))}")
    if periods < 1:
        raise ValueError(f"periods: {periods} must be at least 1")
    start, first = (np.atleast_1d(np.asarray(dates, dtype="datetime64[D]")) for dates in (disbursed, first_due))
    if start.shape != first.shape or start.ndim != 1:
        raise ValueError(f"first_due: shape {first.shape} differs from disbursed's {start.shape}, or is not (n,)")
    bad = np.isnat(start) | np.isnat(first) | ~(first > start)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"first_due: row {row} holds {first[row]}, which is not after its disbursement {start[row]}")
    number = np.arange(periods)[None, :]
    if frequency in _DAYS:
        due = first[:, None] + _DAYS[frequency] * number
    else:
        months = first.astype("datetime64[M]")
        day = (first - months.astype("datetime64[D]")).astype(np.int64)[:, None]
        month = months[:, None] + _MONTHS[frequency] * number
        opening, following = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
        due = opening + np.minimum(day, (following - opening).astype(np.int64) - 1)
    return np.concatenate([start[:, None], adjust_dates(due, rule, calendar)], axis=1)
