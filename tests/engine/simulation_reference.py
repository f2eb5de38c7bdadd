"""The simulation loan by loan and month by month, on the draws of the engine keyed by loan id.

A scalar reference: ordinary amortisation schedules, and for a loan that would not default before maturity its
expectation over the month of its prepayment.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from pooling.engine.flows import COLUMNS
from pooling.engine.loans import LoanArrays
from rating.engine.layout import BY_ID
from rating.engine.model import CreditModel
from rating.engine.philox import philox4x32, uniforms
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import scenario_shocks, sector_index
from rating.engine.simulation import horizon_of

BUCKETS = 4
LOW = 2**32 - 1


def loan_draws(seed: int, scenario: int, loan_id: str) -> tuple[float, float]:
    """The two uniforms of one loan in one scenario."""
    identity = int.from_bytes(hashlib.sha256(loan_id.encode()).digest()[:8], "little")
    counter = [identity & LOW, identity >> 32, scenario & LOW, scenario >> 32]
    first, second = uniforms(philox4x32(counter, [seed & LOW, (seed >> 32) ^ BY_ID]))
    return float(first), float(second)


def reference(loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, s: int) -> dict[str, np.ndarray]:
    """The columns of PoolFlows of one scenario."""
    return _Reference(loans, model, scenarios, s).run()


class _Reference:
    def __init__(self, loans: LoanArrays, model: CreditModel, scenarios: ScenarioSet, s: int) -> None:
        self.loans, self.model = loans, model
        self.names = sorted(set(loans.group))
        self.shocks, self.s = scenario_shocks(model, scenarios), s
        self.seed, self.scenario = scenarios.seed, scenarios.first + s
        months = horizon_of(loans, model)
        self.out = {item: np.zeros((len(self.names), months)) for item in COLUMNS}
        self.out["delinquent"] = np.zeros((len(self.names), BUCKETS, months))
        self.coupon, self.opening = np.zeros((len(self.names), months)), np.zeros((len(self.names), months))

    def run(self) -> dict[str, np.ndarray]:
        for i in range(len(self.loans)):
            self.loan(i)
        where = self.opening > 0
        self.out["coupon"] = np.divide(self.coupon, self.opening, out=np.zeros_like(self.opening), where=where)
        return self.out

    def loan(self, i: int) -> None:
        first, second = loan_draws(self.seed, self.scenario, str(self.loans.loan_id[i]))
        default, prepaid = self.default_month(i, first), self.prepayment_month(i, second)
        g = self.names.index(self.loans.group[i])
        if default is None:
            # Not to default is all that is known: an expectation over the month of prepayment.
            alive = self.survival(i)
            left = int(self.loans.remaining_term[i])
            for month in range(1, left + 1):
                self.pay(i, g, None, month, alive[month - 1] - alive[month])
            self.pay(i, g, None, None, alive[left])
        else:
            self.pay(i, g, default, prepaid, 1.0)

    def hazards(self, table: np.ndarray, i: int) -> np.ndarray:
        """Monthly hazards of the loan from closing to maturity."""
        age, left = int(self.loans.age[i]), int(self.loans.remaining_term[i])
        row = int(self.model.assign(self.loans)[i])
        return table[row, np.minimum(age + np.arange(left), table.shape[1] - 1)]

    def default_month(self, i: int, uniform: float) -> int | None:
        shocks, s, model = self.shocks, self.s, self.model
        sector = int(sector_index(model, self.loans)[i])
        own, mixing, level = shocks.own[s], shocks.mixing[s], shocks.default[s]
        hazard = level * self.hazards(model.default_hazard, i)
        if model.factor_persistence < 1:
            clock, reached = -math.log1p(-uniform), 0.0
            for t, h in enumerate(hazard):
                score = shocks.score[s, sector, min(t // 12, shocks.score.shape[2] - 1)]
                threshold = (self.quantile(-math.expm1(-h)) * mixing - score) / own
                reached += -float(norm.logsf(threshold))
                if reached >= clock:
                    return t + 1
            return None
        latent = (shocks.score[s, sector, 0] + own * norm.ppf(uniform)) / mixing
        clock = -float(self.distribution().logsf(latent))
        months = np.flatnonzero(np.cumsum(hazard) >= clock)
        return int(months[0]) + 1 if len(months) else None

    def distribution(self) -> Any:
        return norm if self.model.copula == "gaussian" else student(self.model.degrees_of_freedom)

    def quantile(self, probability: float) -> float:
        return float(self.distribution().ppf(probability))

    def survival(self, i: int) -> np.ndarray:
        speed = self.shocks.prepayment[self.s] * self.hazards(self.model.prepayment_hazard, i)
        return np.exp(-np.concatenate([[0.0], np.cumsum(speed)]))

    def prepayment_month(self, i: int, uniform: float) -> int | None:
        months = np.flatnonzero(self.survival(i) <= uniform)
        return int(months[0]) if len(months) else None

    def pay(self, i: int, g: int, default: int | None, prepaid: int | None, share: float) -> None:
        """The loan's cash, times share, with a default or a prepayment in the given months."""
        out, r, left = self.out, self.loans.rate[i] / 12, int(self.loans.remaining_term[i])
        balance = self.loans.balance[i]
        payment = balance / left if r == 0 else balance * r / (1 - (1 + r) ** -left)
        for t in range(left):
            self.opening[g, t] += share * balance
            self.coupon[g, t] += share * balance * self.loans.rate[i]
            if default == t + 1:
                self.default(i, g, t, share * balance)
                return
            interest = balance * r
            principal = payment - interest if t < left - 1 else balance
            out["interest"][g, t] += share * interest
            out["scheduled_principal"][g, t] += share * principal
            balance -= principal
            if prepaid == t + 1:
                out["prepayment"][g, t] += share * balance
                return
            out["performing"][g, t] += share * balance
            out["count"][g, t] += share * (t < left - 1)

    def default(self, i: int, g: int, t: int, balance: float) -> None:
        out, model = self.out, self.model
        out["default"][g, t] += balance
        for since in range(model.charge_off_lag):
            out["delinquent"][g, min(since, BUCKETS - 1), t + since] += balance
            out["count"][g, t + since] += 1
        out["charge_off"][g, t + model.charge_off_lag] += balance
        out["defaulted"][g, t + model.charge_off_lag :] += balance
        out["recovery"][g, t + model.charge_off_lag + model.recovery_lag] += balance * (1 - self.severity(i, t))

    def severity(self, i: int, t: int) -> float:
        band = int(self.model.assign_bands(self.loans)[i])
        if self.model.severity_noise == 0:
            return float(self.shocks.severity[self.s, band])
        _, second = loan_draws(self.seed, self.scenario, str(self.loans.loan_id[i]))
        own = norm.ppf(second / self.survival(i)[t])
        return float(norm.cdf(self.shocks.severity_centre[self.s, band] + self.model.severity_noise * own))
