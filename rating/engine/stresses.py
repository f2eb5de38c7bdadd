"""Named changes of a credit model's assumptions, composable and hashable, each with one exact meaning.

Not here: what they do to a class (sensitivity.py), and the scenarios that a rating draws (scenarios.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pooling.engine.flows import PoolFlows
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import MAX_CORRELATION

FloatArray = NDArray[np.float64]

# Factors that a stressed model needs and the rating's set does not draw come from their own stream of the same seed.
EXTENSION_KEY = 2**62
LAST_KEY = 2**64 - 1


@dataclass(frozen=True)
class Kind:
    """One kind of change. low, high: sizes allowed. neutral: the size that changes nothing. unit: of the size, in
    words. on_model, on_flows: what it does; exactly one of them is set."""

    low: float
    high: float
    neutral: float | None
    unit: str
    on_model: Callable[[CreditModel, float], CreditModel] | None = None
    on_flows: Callable[[PoolFlows, float], PoolFlows] | None = None


def scaled_hazards(model: CreditModel, size: float) -> CreditModel:
    """Every monthly default hazard times size: the cumulative hazard H of every loan, not its PD, is `size` times as
    high; a loan with a small PD has a PD about `size` times as high, one with a large PD less."""
    return replace(model, default_hazard=model.default_hazard * size)


def scaled_prepayments(model: CreditModel, size: float) -> CreditModel:
    """Every monthly prepayment hazard times size; an annual speed CPR becomes 1 - (1 - CPR)**size."""
    return replace(model, prepayment_hazard=model.prepayment_hazard * size)


def added_correlation(model: CreditModel, size: float) -> CreditModel:
    """Asset correlation plus size (0.10: ten points), kept within 0 and 0.95; the sector share stays."""
    return replace(model, asset_correlation=min(max(model.asset_correlation + size, 0.0), MAX_CORRELATION))


def tilted_timing(model: CreditModel, size: float) -> CreditModel:
    """Default hazard moved between early and late months of each cell's term, its lifetime H(T) kept.

    Month a = 1..T of a cell of term T is weighted with 1 + size (1 - (2 a - 1) / T), from 1 + size down to 1 - size,
    and the cell is scaled back to its own H(T). size > 0: front-loaded, < 0: back-loaded. Seasoned loans have passed
    the early months: what is left to them then falls, or rises. Beyond T hazards stay.
    """
    columns = model.default_hazard.shape[1]
    last = max(columns, max(model.terms)) + 1  # one month more, so that the month held beyond stays the old one
    month = np.minimum(np.arange(last), columns - 1)
    table = model.default_hazard[:, month].copy()
    for row in range(len(table)):
        term = model.terms[row % len(model.terms)]
        life = table[row, :term]
        tilted = life * (1.0 + size * (1.0 - (2.0 * np.arange(1, term + 1) - 1.0) / term))
        if tilted.sum() > 0:
            table[row, :term] = tilted * (life.sum() / tilted.sum())
    return replace(model, default_hazard=table)


def persistent(model: CreditModel, size: float) -> CreditModel:
    """The market follows an AR(1) with this year-to-year correlation in place of one draw for the pool's life."""
    return replace(model, factor_persistence=size)


def student_t(model: CreditModel, size: float) -> CreditModel:
    """Student-t copula with this many degrees of freedom; correlation and PDs stay."""
    return replace(model, copula="student_t", degrees_of_freedom=size)


def scaled_recoveries(flows: PoolFlows, size: float) -> PoolFlows:
    """Every recovery times size: a severity s becomes 1 - size (1 - s) in every scenario. Exact, as recoveries touch no
    other flow or stock of the pool. Above 1 cumulative recoveries stop at what was charged off of the group."""
    recovery = flows.recovery * size
    if size > 1.0:
        reached = np.minimum(np.cumsum(recovery, axis=1), flows.defaulted)
        recovery = np.diff(reached, axis=1, prepend=0.0)
    return replace(flows, recovery=recovery)


def scaled_losses(flows: PoolFlows, size: float, *, recovery_lag: int) -> PoolFlows:
    """What is lost of every charge-off times size, 0 to 1: a severity s becomes size * s in every scenario. Exact, as
    scaled_recoveries, and never more than was charged off. recovery_lag: months, of the model of the flows.

    Raises ValueError for a size outside 0 to 1.
    """
    if not 0.0 <= size <= 1.0:
        raise ValueError(f"size: {size} times losses lies outside 0 to 1")
    due = _later(flows.charge_off, recovery_lag)
    return replace(flows, recovery=due - size * (due - flows.recovery))


def later_recoveries(flows: PoolFlows, size: float) -> PoolFlows:
    """Recoveries arrive `size` whole months later, the horizon grows by as many: exactly the flows of a model whose
    recovery lag is longer by `size` months."""
    months = round(size)
    if not months:
        return flows

    def longer(name: str, column: FloatArray) -> FloatArray:
        axis = 2 if name in ("delinquent", "arrears") else 1
        shape = list(column.shape)
        shape[axis] = months
        if name == "recovery":
            return np.concatenate([np.zeros(shape), column], axis=axis)
        tail = column.take([-1], axis=axis).repeat(months, axis=axis) if name == "defaulted" else np.zeros(shape)
        return np.concatenate([column, tail], axis=axis)

    columns: dict[str, Any] = {name: longer(name, column) for name, column in flows.columns.items()}
    return replace(flows, **columns)


KINDS: Mapping[str, Kind] = {
    "pd": Kind(0.01, 100.0, 1.0, "times default hazards", on_model=scaled_hazards),
    "recovery": Kind(0.0, 100.0, 1.0, "times recoveries", on_flows=scaled_recoveries),
    "correlation": Kind(-1.0, 1.0, 0.0, "added to the asset correlation", on_model=added_correlation),
    "prepayment": Kind(0.0, 100.0, 1.0, "times prepayment hazards", on_model=scaled_prepayments),
    "lag": Kind(0.0, 60.0, 0.0, "months later recoveries", on_flows=later_recoveries),
    "timing": Kind(-1.0, 1.0, 0.0, "tilt of default timing, early positive", on_model=tilted_timing),
    "persistence": Kind(0.0, 1.0, None, "year-to-year correlation of the market", on_model=persistent),
    "student_t": Kind(2.01, 1000.0, None, "degrees of freedom of a Student-t copula", on_model=student_t),
}


@dataclass(frozen=True)
class Change:
    """One change: kind of KINDS and its size. Raises ValueError naming the kind, or a size outside the kind's range."""

    kind: str
    size: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r} is none of {', '.join(KINDS)}")
        found = KINDS[self.kind]
        if not found.low <= self.size <= found.high:
            raise ValueError(f"size: {self.size} of {self.kind} lies outside {found.low:g} to {found.high:g}")
        if self.kind == "lag" and self.size != round(self.size):
            raise ValueError(f"size: a lag of {self.size} is no whole number of months")


@dataclass(frozen=True)
class Stress:
    """Changes applied one after the other. label: for people, not part of the hash.

    The flows of a stress are on_flows(simulate(loans, on_model(model), on_scenarios(scenarios, model))).
    """

    changes: tuple[Change, ...]
    label: str = ""

    @classmethod
    def of(cls, label: str = "", **sizes: float) -> Stress:
        """Stress.of("PD × 1.25", pd=1.25); sizes by kind, applied in the order given."""
        return cls(tuple(Change(kind, float(size)) for kind, size in sizes.items()), label)

    @property
    def needs_simulation(self) -> bool:
        """Whether the loans have to be drawn again; recoveries alone only rescale or shift flows."""
        return any(KINDS[change.kind].on_model is not None for change in self.changes)

    def on_model(self, model: CreditModel) -> CreditModel:
        """The model with every change of it; changes of recoveries wait for on_flows."""
        for change in self.changes:
            act = KINDS[change.kind].on_model
            model = model if act is None else act(model, change.size)
        return model

    def on_flows(self, flows: PoolFlows) -> PoolFlows:
        """The flows with every change of recoveries."""
        for change in self.changes:
            act = KINDS[change.kind].on_flows
            flows = flows if act is None else act(flows, change.size)
        return flows

    def on_scenarios(self, scenarios: ScenarioSet, model: CreditModel) -> ScenarioSet:
        """The set with the factors that only the stressed model needs, all others and the weights unchanged."""
        return extended(scenarios, self.on_model(model).factor_names)

    def __add__(self, other: Stress) -> Stress:
        """This stress, then the other."""
        return Stress((*self.changes, *other.changes), ", ".join(text for text in (self.label, other.label) if text))

    def to_json(self) -> dict[str, Any]:
        """JSON-able: {"label", "changes": [{"kind", "size"}]}."""
        return {"label": self.label, "changes": [{"kind": each.kind, "size": each.size} for each in self.changes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stress:
        """Exact inverse of to_json. Raises ValueError for other keys."""
        if set(data) != {"label", "changes"} or any(set(each) != {"kind", "size"} for each in data["changes"]):
            raise ValueError(f"stress: keys differ from label, changes of kind and size: {sorted(data)}")
        return cls(tuple(Change(each["kind"], float(each["size"])) for each in data["changes"]), str(data["label"]))

    def content_hash(self) -> str:
        """SHA-256 of the canonical JSON of the changes."""
        text = json.dumps(self.to_json()["changes"], sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


BASE = Stress((), "base")
# The tornado of the rating report, worst first within a driver.
STANDARD: tuple[Stress, ...] = (
    Stress.of("PD × 1.5", pd=1.5),
    Stress.of("PD × 1.25", pd=1.25),
    Stress.of("PD × 0.75", pd=0.75),
    Stress.of("recovery −25 %", recovery=0.75),
    Stress.of("recovery −10 %", recovery=0.90),
    Stress.of("correlation + 10 points", correlation=0.10),
    Stress.of("prepayment × 0.5", prepayment=0.5),
    Stress.of("prepayment × 1.5", prepayment=1.5),
    Stress.of("recovery 6 months later", lag=6),
    Stress.of("defaults front-loaded", timing=0.5),
    Stress.of("defaults back-loaded", timing=-0.5),
    Stress.of("market persistence 0.5", persistence=0.5),
    Stress.of("Student-t, 8 degrees", student_t=8),
    Stress.of("PD × 1.25, recovery −25 %", pd=1.25, recovery=0.75),
)


def extended(scenarios: ScenarioSet, names: tuple[str, ...]) -> ScenarioSet:
    """The set with a column for every name it lacks, standard normal and independent of the others.

    Drawn from Philox keyed by the seed and the name, one value a scenario of the whole set, so that slices agree; the
    weights stay, since the proposal of the others does not depend on these factors.
    """
    missing = [name for name in names if name not in scenarios.names]
    if not missing:
        return scenarios
    count, columns = scenarios.first + len(scenarios), [scenarios.factors]
    for name in missing:
        word = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") | EXTENSION_KEY
        stream = np.random.Generator(np.random.Philox(key=np.array([scenarios.seed, word & LAST_KEY], dtype=np.uint64)))
        columns.append(stream.standard_normal(count)[scenarios.first :, None])
    return replace(scenarios, names=(*scenarios.names, *missing), factors=np.hstack(columns))


def reweighted(scenarios: ScenarioSet, model: CreditModel, size: float) -> ScenarioSet | None:
    """The set under default hazards times size, by weights alone; None where the model's PD level is certain.

    The pool-wide multiplier exp(sigma Z - sigma**2 / 2) times size is the same of Z + ln(size) / sigma: flows drawn at
    Z serve under the shifted law with the density ratio exp(d Z - d**2 / 2), d = ln(size) / sigma (importance sampling,
    Glasserman, Monte Carlo Methods in Financial Engineering, 2003, 4.6). Exact in the mean; the further the shift, the
    fewer scenarios carry it: look at effective_size. Raises ValueError for a size that is not positive.
    """
    if not size > 0:
        raise ValueError(f"size: {size} times default hazards is not positive")
    if not model.pd_level_sigma > 0 or "pd_level" not in scenarios.names:
        return None
    shift = np.log(size) / model.pd_level_sigma
    weights = scenarios.weights * np.exp(shift * scenarios.factor("pd_level") - 0.5 * shift * shift)
    return replace(scenarios, weights=weights / weights.mean())


def flows_at_pd(flows: PoolFlows, size: float, *, charge_off_lag: int, recovery_lag: int) -> PoolFlows:
    """An approximation of the flows under default hazards times size, without drawing the loans again.

    Each scenario's monthly default rate q of the performing balance becomes 1 - (1 - q)**size; amortisation, coupon and
    prepayment rates by month and the recovery rate of what was charged off stay. It leaves out that the weak loans go
    first, and that under a copula hazards of a bad scenario grow by less than `size`. Exact at size 1 up to rounding.
    """
    opening = np.concatenate(
        [np.broadcast_to(flows.opening_balance[:, None, None], flows.default[:, :1].shape), flows.performing[:, :-1]],
        axis=1,
    )
    rate = 1.0 - np.power(1.0 - _share(flows.default, opening), size)
    paying = opening - flows.default
    scheduled, interest = _share(flows.scheduled_principal, paying), _share(flows.interest, paying, top=np.inf)
    speed = _share(flows.prepayment, paying - flows.scheduled_principal)
    columns = {name: np.zeros_like(flows.default) for name in ("default", "scheduled_principal", "prepayment")}
    columns |= {name: np.zeros_like(flows.default) for name in ("interest", "performing")}
    left = opening[:, 0]
    for t in range(flows.months):
        default = left * rate[:, t]
        paid = (left - default) * scheduled[:, t]
        prepaid = (left - default - paid) * speed[:, t]
        columns["interest"][:, t] = (left - default) * interest[:, t]
        left = left - default - paid - prepaid
        columns["default"][:, t], columns["performing"][:, t] = default, left
        columns["scheduled_principal"][:, t], columns["prepayment"][:, t] = paid, prepaid
    charge_off = _later(columns["default"], charge_off_lag)
    recovered = _share(flows.recovery, _later(flows.charge_off, recovery_lag), top=np.inf)
    delinquent = np.zeros_like(flows.delinquent)
    for since in range(charge_off_lag):
        delinquent[:, min(since, delinquent.shape[1] - 1)] += _later(columns["default"], since)
    owed = columns["performing"] + delinquent.sum(axis=1)
    changed: dict[str, Any] = columns
    return replace(
        flows,
        charge_off=charge_off,
        recovery=_later(charge_off, recovery_lag) * recovered,
        delinquent=delinquent,
        defaulted=np.cumsum(charge_off, axis=1),
        count=flows.count * _share(owed, flows.performing + flows.delinquent.sum(axis=1), top=np.inf),
        **changed,
    )


def _share(part: FloatArray, whole: FloatArray, top: float = 1.0) -> FloatArray:
    return np.clip(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0), 0.0, top)


def _later(flow: FloatArray, lag: int) -> FloatArray:
    """(G, T, S) the flow `lag` months later, cut at the horizon."""
    moved = np.zeros_like(flow)
    if lag < flow.shape[1]:
        moved[:, lag:] = flow[:, : flow.shape[1] - lag]
    return moved
