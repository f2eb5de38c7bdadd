"""What a loan product fixes, as data: amortisation, accrual, rounding, grace. And the schedule that comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Amortisation = Literal["level", "step", "equal_principal", "bullet", "flat", "given"]
Accrual = Literal["period", "30/360", "30E/360", "ACT/360", "ACT/365F", "ACT/ACT"]
Rounding = Literal["half_even", "half_up", "down", "up"]
Frequency = Literal["weekly", "fortnightly", "monthly", "quarterly", "half_yearly", "yearly"]
GraceInterest = Literal["deferred", "waived", "capitalised"]

PERIODS_PER_YEAR: dict[str, int] = {
    "weekly": 52,
    "fortnightly": 26,
    "monthly": 12,
    "quarterly": 4,
    "half_yearly": 2,
    "yearly": 1,
}
LARGEST_MULTIPLE = 10_000  # cents; larger ones could leave 64 bits
RATE_UNITS = 10**8  # whole hundred-millionths, so that interest is an exact fraction before rounding


@dataclass(frozen=True)
class ScheduleTerms:
    """What the product fixes beside the loan itself.

    amortisation: "level" instalments; "step" instalments, level within `step_every` periods and then times 1 +
    `step_rate`; "equal_principal"; "bullet" (interest, then all principal at the end); "flat" (interest on the original
    principal, equal principal, so equal instalments); "given" (principal of each period comes with the loan).
    frequency: length of a period. day_count: "period" charges the annual rate / periods per year whatever the days;
    else the day count between the dates given (pooling.engine.daycount), the instalment still coming from the period
    rate. rounding: to the nearest, a tie to the even neighbour ("half_even") or away
    from zero ("half_up"); or always towards zero ("down", as some servicing systems truncate) or away from it ("up").
    instalment_rounding: that of the instalment of "level" and "step" where it differs, else None (LendingClub: "up").

    What is rounded, each to a multiple in cents: instalment_multiple the instalment of "level" and "step" (100: whole
    units), principal_multiple the equal principal of "equal_principal" and "flat", interest_multiple the interest of a
    period. The last instalment absorbs what is left. smoothing: one adjustment of the level instalment, see `schedule`.

    principal_grace: first periods without principal (interest-only). interest_grace: first periods in which no interest
    is paid either; grace_interest says what becomes of it: "deferred" accrues unpaid, without interest on interest, and
    falls due with the first period after, on top of the instalment; "waived" is not charged; "capitalised" is added to
    principal each period (a payment holiday).

    Raises ValueError naming the parameter.
    """

    amortisation: Amortisation = "level"
    day_count: Accrual = "period"
    rounding: Rounding = "half_even"
    instalment_rounding: Rounding | None = None
    instalment_multiple: int = 1
    principal_multiple: int = 1
    interest_multiple: int = 1
    smoothing: bool = False
    frequency: Frequency = "monthly"
    principal_grace: int = 0
    interest_grace: int = 0
    grace_interest: GraceInterest = "deferred"
    step_rate: float = 0.0
    step_every: int = 12

    def __post_init__(self) -> None:
        choices: dict[str, Any] = {
            "amortisation": Amortisation,
            "day_count": Accrual,
            "rounding": Rounding,
            "frequency": Frequency,
            "grace_interest": GraceInterest,
        }
        if self.instalment_rounding is not None:
            choices["instalment_rounding"] = Rounding
        for name, allowed in choices.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name}: {getattr(self, name)!r} is none of {', '.join(get_args(allowed))}")
        for name in ("instalment_multiple", "principal_multiple", "interest_multiple", "step_every"):
            if not 1 <= getattr(self, name) <= LARGEST_MULTIPLE:
                raise ValueError(f"{name}: {getattr(self, name)} must be from 1 to {LARGEST_MULTIPLE}")
        for name in ("principal_grace", "interest_grace"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} must not be negative")
        if not -0.5 <= self.step_rate <= 1.0:
            raise ValueError(f"step_rate: {self.step_rate} must be from -0.5 to 1; 0.05 raises the instalment by 5 %")
        self._check_combinations()

    def _check_combinations(self) -> None:
        """Refuse what has no meaning together, rather than ignore it."""
        if self.smoothing and self.amortisation != "level":
            raise ValueError(f"smoothing: means nothing for {self.amortisation!r}; it adjusts a level instalment")
        if self.instalment_rounding and self.amortisation not in ("level", "step"):
            raise ValueError(f"instalment_rounding: means nothing for {self.amortisation!r}; use rounding")
        if self.step_rate and self.amortisation != "step":
            raise ValueError(f"step_rate: means nothing for {self.amortisation!r}; use amortisation 'step'")
        if self.principal_grace and self.amortisation in ("bullet", "given"):
            raise ValueError(f"principal_grace: means nothing for {self.amortisation!r}; remove it")
        if self.interest_grace > self.principal_grace and self.amortisation in ("level", "step"):
            raise ValueError(f"interest_grace: {self.interest_grace} exceeds principal_grace; raise that too")
        if self.interest_grace and self.grace_interest == "capitalised":
            if self.amortisation in ("flat", "given"):
                raise ValueError(f"grace_interest: {self.amortisation!r} cannot capitalise interest; defer or waive it")
            if self.amortisation == "equal_principal" and self.interest_grace > self.principal_grace:
                raise ValueError("interest_grace: exceeds principal_grace; raise that where interest is capitalised")

    @property
    def rounds_instalment(self) -> Rounding:
        """instalment_rounding, or rounding where that is None."""
        return self.instalment_rounding or self.rounding

    @property
    def periods_per_year(self) -> int:
        """52, 26, 12, 4, 2 or 1."""
        return PERIODS_PER_YEAR[self.frequency]


@dataclass(frozen=True)
class Schedule:
    """Scheduled payments in cents, (n_loans, n_periods) int64 each; zero after a loan's last period.

    payment = principal + interest is due; capitalised is interest added to principal instead; balance is what is owed
    after the payment: the balance before + capitalised - principal. Deferred interest shows where it falls due.
    """

    payment: IntArray
    principal: IntArray
    interest: IntArray
    balance: IntArray
    capitalised: IntArray
