"""The grid of a price/yield table: a ladder of prices and the product of lists of speeds, read from plain words.

Not here: what the scenarios pay (yield_flows.py) and what that is worth (yield_table.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from pooling.engine.words import suggestion

FloatArray = NDArray[np.float64]
T = TypeVar("T")

Speed = Literal["cpr", "psa", "abs"]
# "yield": bond-equivalent; "spread": that less the Treasury par yield at the WAL; "discount_margin": over the index.
Measure = Literal["yield", "spread", "discount_margin"]

MOST_PRICES, MOST_SPEEDS, MOST_SCENARIOS = 41, 10, 150
MOST_VALUES, LONGEST_TEXT, MOST_MONTHS = 30, 400, 480
HIGHEST_PRICE, LONGEST_LAG = 300, 120  # per 100 of balance; months
PERCENT = 100.0
# Highest value of each speed as it is written: CPR a year, PSA in percent of the model, ABS in percent a month.
HIGHEST_SPEED: Mapping[str, float] = {"cpr": 100.0, "psa": 2000.0, "abs": 20.0}
CALLS: Mapping[str, tuple[bool, ...]] = {"yes": (True,), "no": (False,), "both": (True, False)}
KEYS = (
    "centre", "step", "number", "prepayment", "speed", "cdr", "severity", "lag", "charge_off_lag", "advance", "call",
    "measure",
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """A rate by month from the cut-off; its last value goes on. values: fractions; text: as it was written."""

    values: tuple[float, ...]
    text: str = field(compare=False)

    def __post_init__(self) -> None:
        if not self.values or not all(math.isfinite(value) and value >= 0.0 for value in self.values):
            raise ValueError(f"curve: {self.values} must be a list of fractions of 0 or more")

    @classmethod
    def flat(cls, value: float) -> Curve:
        """The same fraction in every month."""
        return cls((value,), f"{PERCENT * value:g}")

    @property
    def is_flat(self) -> bool:
        return len(set(self.values)) == 1

    def over(self, months: int) -> FloatArray:
        """(months,) its values."""
        known = np.asarray(self.values, dtype=np.float64)
        return known[np.minimum(np.arange(months), len(known) - 1)]


@dataclass(frozen=True)
class Scenario:
    """One column. prepayment: kind of `speed` (CPR a year, PSA as a multiple, ABS a month); cdr: a year; severity: of
    the balance charged off. recovery_lag: months from charge-off to the recovery; charge_off_lag: from the first missed
    payment to charge-off. advance: share of the defaulted loans on which the servicer advances interest and principal
    until charge-off. to_call: whether the clean-up call is exercised where it may be.

    Raises ValueError naming the field.
    """

    speed: Curve
    cdr: Curve
    severity: Curve
    recovery_lag: int
    charge_off_lag: int
    prepayment: Speed = "cpr"
    advance: float = 0.0
    to_call: bool = False

    def __post_init__(self) -> None:
        if self.prepayment not in get_args(Speed):
            raise ValueError(f"prepayment: {self.prepayment!r} is none of {', '.join(get_args(Speed))}")
        fractions = {"cdr": self.cdr.values, "severity": self.severity.values, "advance": (self.advance,)}
        if self.prepayment != "psa":
            fractions["speed"] = self.speed.values
        for name, values in fractions.items():
            if not all(0.0 <= value <= 1.0 for value in values):
                raise ValueError(f"{name}: {values} must lie between 0 and 1")
        for name in ("recovery_lag", "charge_off_lag"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: {getattr(self, name)} must not be negative")

    @property
    def name(self) -> str:
        """The column in words."""
        return (
            f"CDR {self.cdr.text} %, {self.prepayment.upper()} {self.speed.text} %, severity {self.severity.text} %, "
            f"lag {self.recovery_lag} months, advance {PERCENT * self.advance:g} %, "
            f"{'to call' if self.to_call else 'to maturity'}"
        )


@dataclass(frozen=True)
class Grid:
    """A ladder and lists. centre, step: per 100 of balance; number: of prices. The scenarios are the product of the
    lists, CDR changing fastest, then advance, lag, severity, speed and call.

    Raises ValueError naming the field where a list is empty or the product too large.
    """

    centre: Decimal
    step: Decimal
    number: int
    speeds: tuple[Curve, ...]
    cdrs: tuple[Curve, ...]
    severities: tuple[Curve, ...]
    lags: tuple[int, ...]
    charge_off_lag: int
    prepayment: Speed = "cpr"
    advances: tuple[float, ...] = (0.0,)
    calls: tuple[bool, ...] = (False,)
    measure: Measure = "yield"

    def __post_init__(self) -> None:
        for name, axis in self._axes().items():
            if not axis:
                raise ValueError(f"{name}: the list is empty; give at least one value")
        if not 1 <= self.number <= MOST_PRICES:
            raise ValueError(f"number: {self.number} prices; give 1 to {MOST_PRICES}")
        if len(self.speeds) > MOST_SPEEDS:
            raise ValueError(f"speed: {len(self.speeds)} speeds; give at most {MOST_SPEEDS}")
        if self.columns > MOST_SCENARIOS:
            parts = " × ".join(f"{len(axis)} of {name}" for name, axis in self._axes().items() if len(axis) > 1)
            raise ValueError(
                f"cdr: {parts} make {self.columns} scenarios; shorten the lists to {MOST_SCENARIOS} in all"
            )
        lowest = self.centre - self.step * (self.number // 2)
        if lowest < 0:
            raise ValueError(f"step: the ladder reaches down to {lowest:f}; take fewer prices or a smaller step")

    def _axes(self) -> dict[str, tuple[object, ...]]:
        """Slowest first."""
        return {
            "call": self.calls, "speed": self.speeds, "severity": self.severities, "lag": self.lags,
            "advance": self.advances, "cdr": self.cdrs,
        }  # fmt: skip

    @property
    def columns(self) -> int:
        """Number of scenarios."""
        return math.prod(len(axis) for axis in self._axes().values())

    @property
    def prices_per_100(self) -> tuple[Decimal, ...]:
        """Ascending, the centre in the middle (the upper one of two)."""
        first = self.centre - self.step * (self.number // 2)
        return tuple(first + self.step * i for i in range(self.number))

    @property
    def prices(self) -> FloatArray:
        """(P,) fractions of balance."""
        return np.array([float(price / 100) for price in self.prices_per_100])

    @property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Every column, see above for their order."""
        return tuple(
            Scenario(
                speed=speed,
                cdr=cdr,
                severity=severity,
                recovery_lag=lag,
                charge_off_lag=self.charge_off_lag,
                prepayment=self.prepayment,
                advance=advance,
                to_call=call,
            )
            for call, speed, severity, lag, advance, cdr in itertools.product(
                self.calls, self.speeds, self.severities, self.lags, self.advances, self.cdrs
            )
        )

    @property
    def middle(self) -> int:
        """Place of the scenario in the middle of every list, to call where the grid has that."""
        place = 0
        for name, axis in self._axes().items():
            place = place * len(axis) + (0 if name == "call" else len(axis) // 2)
        return place


# ---------------------------------------------------------------------------------------------------------- from words
def grid_from_query(query: Mapping[str, str], defaults: Mapping[str, str]) -> Grid:
    """The grid of an address: KEYS -> text, what is missing or empty taken from the defaults (all of KEYS).

    Rates in percent (CPR and CDR a year, PSA of the model, ABS a month), prices per 100, lags in months. Lists are
    separated by commas. A rate may move by month: "2 for 12 4 ramp 12 8" is 2 for 12 months, then from 4 in a straight
    line to 8 in the twelfth month from there, and 8 from then on. call: yes, no or both.

    Raises ValueError, one sentence that begins with the key at fault.
    """
    for key in query:
        if key not in KEYS:
            raise ValueError(f"{key[:40]}: unknown{suggestion(key[:40], KEYS)}")
    text = {key: str(query.get(key) or defaults[key]).strip() for key in KEYS}
    for key, value in text.items():
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"{key}: {len(value)} characters are too long; give at most {LONGEST_TEXT}")
    prepayment: Speed = _choice("prepayment", text["prepayment"], get_args(Speed))
    measure: Measure = _choice("measure", text["measure"], get_args(Measure))
    high = HIGHEST_SPEED[prepayment]
    return Grid(
        centre=_price("centre", text["centre"]),
        step=_price("step", text["step"]),
        number=_whole("number", text["number"], 1, MOST_PRICES),
        prepayment=prepayment,
        speeds=_listed("speed", text["speed"], lambda part: _curve("speed", part, high)),
        cdrs=_listed("cdr", text["cdr"], lambda part: _curve("cdr", part, PERCENT)),
        severities=_listed("severity", text["severity"], lambda part: _curve("severity", part, PERCENT)),
        lags=_listed("lag", text["lag"], lambda part: _whole("lag", part, 0, LONGEST_LAG)),
        charge_off_lag=_whole("charge_off_lag", text["charge_off_lag"], 0, LONGEST_LAG),
        advances=_listed("advance", text["advance"], lambda part: _rate("advance", part, PERCENT)),
        calls=CALLS[_choice("call", text["call"], tuple(CALLS))],
        measure=measure,
    )


def _choice(key: str, text: str, known: tuple[T, ...]) -> T:
    """The known word that the text is; so that a literal type stays one."""
    for word in known:
        if word == text:
            return word
    raise ValueError(f"{key}: {text[:40]!r} is none of {', '.join(map(str, known))}")


def _number(key: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ValueError(f"{key}: {text[:40]!r} is not a number; write it like 4 or 4.5")
    return value


def _price(key: str, text: str) -> Decimal:
    value = _number(key, text)
    if not (0 < value <= HIGHEST_PRICE and value == round(value, 6)):
        raise ValueError(
            f"{key}: {text[:40]} is no price; give one above 0 up to {HIGHEST_PRICE} per 100, of at most six decimals"
        )
    return value.normalize()


def _whole(key: str, text: str, low: int, high: int) -> int:
    value = _number(key, text)
    if value != value.to_integral_value() or not low <= value <= high:
        raise ValueError(f"{key}: {text[:40]} is not a whole number from {low} to {high}")
    return int(value)


def _rate(key: str, text: str, high: float) -> float:
    value = _number(key, text)
    if not 0 <= value <= Decimal(str(high)):
        raise ValueError(f"{key}: {text[:40]} lies outside 0 to {high:g} per cent")
    return float(value / 100)


def _curve(key: str, text: str, high: float) -> Curve:
    """A number, or numbers joined by "for MONTHS" and "ramp MONTHS", the last one without either."""
    words = text.lower().split()
    shape = "write one rate, or rates by month such as '2 for 12 4 ramp 12 8'"
    values: list[float] = []
    while len(words) > 1:
        if len(words) < 4 or words[1] not in ("for", "ramp"):
            raise ValueError(f"{key}: {text[:40]!r} is no curve; {shape}")
        rate, months = _rate(key, words[0], high), _whole(key, words[2], 1, MOST_MONTHS)
        end = rate if words[1] == "for" else _rate(key, words[3], high)
        values += np.linspace(rate, end, months).tolist()
        words = words[3:]
    if not words:
        raise ValueError(f"{key}: a value is missing; {shape}")
    values.append(_rate(key, words[0], high))
    if len(values) > MOST_MONTHS:
        raise ValueError(f"{key}: {text[:40]!r} runs over {len(values)} months; at most {MOST_MONTHS} can be given")
    return Curve(tuple(values), " ".join(text.split()))


def _listed(key: str, text: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """A list separated by commas. Raises ValueError where it is too long or names a value twice."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MOST_VALUES:
        raise ValueError(f"{key}: {len(parts)} values; give at most {MOST_VALUES}")
    values = tuple(read(part) for part in parts)
    for place, value in enumerate(values):
        if value in values[:place]:
            raise ValueError(f"{key}: {parts[place][:40]} stands there twice; leave one out")
    return values
