"""Structural stress: what befalls the parties of a deal, not its loans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ServicerDefault:
    """The servicer fails. period: number of the first payment date it touches. transition_cost: currency units, paid
    from collections before everything else. fee_step_up: relative rise of the annual percentage fees from then on
    (0.5: half as much again). collection_dip: fraction of collections missing on each of dip_periods dates; recovered:
    the missing cash arrives on the date after the dip, else it is lost.
    """

    period: int
    transition_cost: float = 0.0
    fee_step_up: float = 0.0
    collection_dip: float = 0.0
    dip_periods: int = 0
    recovered: bool = True


@dataclass(frozen=True)
class StructuralStress:
    """servicer_default: or None. commingling_period, commingling_share: the fraction of that date's collections that
    is lost in the servicer's own estate. dilution: fraction of every date's collections that credit notes take away.
    set_off_period, set_off_share: the fraction of that date's collections that borrowers set off against claims of
    their own. hedge_loss_period: from this date on no hedge pays or is paid, its counterparty being gone.

    Raises ValueError naming the field.
    """

    servicer_default: ServicerDefault | None = None
    commingling_period: int | None = None
    commingling_share: float = 0.0
    dilution: float = 0.0
    set_off_period: int | None = None
    set_off_share: float = 0.0
    hedge_loss_period: int | None = None

    def __post_init__(self) -> None:
        shares = {name: getattr(self, name) for name in ("commingling_share", "dilution", "set_off_share")}
        periods = {name: getattr(self, name) for name in ("commingling_period", "set_off_period", "hedge_loss_period")}
        if self.servicer_default is not None:
            shares["collection_dip"] = self.servicer_default.collection_dip
            periods["period"] = self.servicer_default.period
            for field in fields(ServicerDefault):
                value = getattr(self.servicer_default, field.name)
                if field.name in ("transition_cost", "fee_step_up", "dip_periods") and value < 0:
                    raise ValueError(f"{field.name}: {value} must not be negative")
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"{name}: {share} lies outside 0 to 1")
        for name, period in periods.items():
            if period is not None and period < 1:
                raise ValueError(f"{name}: {period} must be 1 or later: payment dates count from 1")

    def factors(self, periods: int) -> FloatArray:
        """(P,) fraction of each date's collections that arrives, before what a dip hands on to a later date."""
        factor = np.full(periods, 1.0 - self.dilution)
        for period, share in (
            (self.commingling_period, self.commingling_share),
            (self.set_off_period, self.set_off_share),
        ):
            if period is not None and period <= periods:
                factor[period - 1] *= 1.0 - share
        return factor

    def stressed(
        self,
        collections: FloatArray,
        first: int,
        periods: int,
        held: FloatArray,
        rounded: Callable[[FloatArray], FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Collections (T, S) of the dates first + 1 .. first + T as they reach the deal, and what a dip holds back
        after each of them, (T, S).

        periods: dates up to legal final. held: (S,) held back before the first of these dates. rounded: to the units of
        the run.
        """
        result = rounded(collections * self.factors(periods)[first : first + len(collections), None])
        after = np.zeros_like(result)
        failure = self.servicer_default
        if failure is None or not failure.collection_dip or not failure.dip_periods:
            return result, after
        begin = failure.period - 1 - first
        for place in range(len(result)):
            if begin <= place < begin + failure.dip_periods:
                missing = rounded(result[place] * failure.collection_dip)
                result[place] = result[place] - missing
                held = held + missing if failure.recovered else held
            elif place == begin + failure.dip_periods:
                result[place] = result[place] + held
                held = np.zeros_like(held)
            after[place] = held
        return result, after
