"""Weighted scenario sets: the systematic draws that every simulation and every statistic shares.

Not here: loan-level draws; those belong to the simulation and are keyed by seed and scenario index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import qmc

from rating.engine.model import CreditModel

FloatArray = NDArray[np.float64]

DEFAULT_FACTORS = ("market", "pd_level", "severity", "prepayment")
WIDE_MEAN, WIDE_STD = -1.2, 1.6
SHIFT = -2.0
# Share of each factor in the direction along which losses fall, where the pool's own is not given. Market and default
# level move losses about equally in our models; any direction is exact, a fitting one has smaller errors.
LOSS_DIRECTION: Mapping[str, float] = MappingProxyType({"market": 1.0, "pd_level": -1.0})
SOBOL_BITS = 30
MAX_SEED = 2**63 - 1

Proposal = Literal["plain", "antithetic", "normal", "wide", "importance"]
PROPOSALS: tuple[Proposal, ...] = ("plain", "antithetic", "normal", "wide", "importance")


@dataclass(frozen=True, eq=False)
class ScenarioSet:
    """Draws of the systematic factors with their probability weights.

    seed: integer in [0, 2**63). first: index of the first scenario in the whole set.
    names: F factor names. factors: (S, F) values on the standard normal scale.
    weights: (S,) density ratios >= 0, mean 1 over the WHOLE set (a slice keeps its own part).
    proposal: how they were drawn, see draw().

    Signs: a LOW market or sector is bad (more defaults); a high pd_level, correlation, severity or prepayment means
    more defaults, more correlation, heavier losses, faster prepayment.

    Raises ValueError naming the field and its value.
    """

    seed: int
    first: int
    names: tuple[str, ...]
    factors: FloatArray
    weights: FloatArray
    proposal: str = "normal"

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= MAX_SEED:
            raise ValueError(f"seed: {self.seed} is outside [0, 2**63)")
        if self.first < 0:
            raise ValueError(f"first: {self.first} is negative")
        if len(set(self.names)) != len(self.names) or not self.names:
            raise ValueError(f"names: {self.names} are empty or repeated")
        if self.factors.ndim != 2 or self.factors.shape[1] != len(self.names) or not len(self.factors):
            raise ValueError(f"factors: shape {self.factors.shape}, expected (scenarios >= 1, {len(self.names)})")
        if self.weights.shape != self.factors.shape[:1]:
            raise ValueError(f"weights: shape {self.weights.shape}, expected {self.factors.shape[:1]}")
        if not np.isfinite(self.factors).all():
            raise ValueError("factors: hold a value that is not finite")
        if not np.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.sum() > 0:
            raise ValueError("weights: must be finite, >= 0 and not all zero")

    def __len__(self) -> int:
        return len(self.weights)

    @classmethod
    def draw(
        cls,
        n: int,
        *,
        seed: int,
        names: tuple[str, ...] = DEFAULT_FACTORS,
        proposal: Proposal = "wide",
        direction: Mapping[str, float] = LOSS_DIRECTION,
    ) -> ScenarioSet:
        """n >= 1 scenarios of the named factors.

        plain: independent normal draws (Philox, one stream a set). antithetic: each draw and its mirror image, n even.
        normal: scrambled Sobol points mapped to normal scale, n best a power of two; scrambling: Owen (1998).
        wide: the same, with the coordinate c along the loss direction from N(-1.2, 1.6**2) instead of N(0, 1) and each
        scenario weighted by the exact ratio of the two densities, phi(c) / (phi((c + 1.2) / 1.6) / 1.6), normalised to
        mean 1, so that one set serves the senior as well as the junior class (importance sampling, Glasserman,
        Monte Carlo Methods in Financial Engineering, 2003, 4.6). importance: c from N(-2, 1), the ratio
        exp(2 c + 2): the tail alone; it spoils junior classes. The first Sobol coordinate is c: a Householder
        reflection turns it into the loss direction (the same book, 5.5).
        direction: factor name -> how losses FALL with it, of any length; names not drawn count for nothing.
        A set of n points is not a prefix of a larger set's normalisation: only slices share weights.
        """
        if n < 1:
            raise ValueError(f"n: {n} scenarios, expected at least 1")
        if proposal not in PROPOSALS:
            raise ValueError(f"proposal: {proposal!r} is none of {', '.join(PROPOSALS)}")
        if not 0 <= seed <= MAX_SEED:
            raise ValueError(f"seed: {seed} is outside [0, 2**63)")
        if proposal == "antithetic" and n % 2:
            raise ValueError(f"n: {n} scenarios, an antithetic set needs an even number")
        if proposal in ("plain", "antithetic"):
            factors, weights = _independent(n, seed, len(names), proposal == "antithetic"), np.ones(n)
            return cls(seed=seed, first=0, names=names, factors=factors, weights=weights, proposal=proposal)
        sampler = qmc.Sobol(len(names), scramble=True, bits=SOBOL_BITS, rng=np.random.Generator(np.random.PCG64(seed)))
        uniform = sampler.random_base2((n - 1).bit_length())[:n]
        # Points lie on a grid that includes 0; half a step inwards keeps every quantile finite.
        factors = ndtri(uniform + 0.5 ** (SOBOL_BITS + 1))
        weights = np.ones(n)
        if proposal != "normal":
            mean, std = (WIDE_MEAN, WIDE_STD) if proposal == "wide" else (SHIFT, 1.0)
            z = factors[:, 0].copy()
            factors[:, 0] = mean + std * z
            # Up to a constant that the normalisation removes.
            log_ratio = 0.5 * (z**2 - factors[:, 0] ** 2)
            factors = _reflect(factors, loss_direction(names, direction))
            weights = np.exp(log_ratio)
            weights /= weights.mean()
        return cls(seed=seed, first=0, names=names, factors=factors, weights=weights, proposal=proposal)

    @classmethod
    def of_model(
        cls,
        model: CreditModel,
        n: int,
        *,
        seed: int,
        proposal: Proposal = "wide",
        direction: Mapping[str, float] = LOSS_DIRECTION,
    ) -> ScenarioSet:
        """The set that draws every factor of the model, see draw()."""
        return cls.draw(n, seed=seed, names=model.factor_names, proposal=proposal, direction=direction)

    def slice(self, start: int, stop: int) -> ScenarioSet:
        """Scenarios start..stop-1 of this set with their own weights, still keyed by their index in the whole."""
        if not 0 <= start < stop <= len(self):
            raise ValueError(f"slice: [{start}, {stop}) is not within [0, {len(self)})")
        return ScenarioSet(
            seed=self.seed,
            first=self.first + start,
            names=self.names,
            factors=self.factors[start:stop],
            weights=self.weights[start:stop],
            proposal=self.proposal,
        )

    def factor(self, name: str) -> FloatArray:
        """(S,) values of one factor; zeros (its median) where the set does not draw it."""
        if name in self.names:
            return self.factors[:, self.names.index(name)]
        return np.zeros(len(self))

    @property
    def effective_size(self) -> float:
        """Kish's effective sample size, (sum w)**2 / sum w**2."""
        return float(self.weights.sum() ** 2 / np.square(self.weights).sum())

    def describe(self) -> Mapping[str, Any]:
        """What a manifest stores, JSON-able."""
        return {
            "seed": self.seed,
            "first": self.first,
            "scenarios": len(self),
            "names": list(self.names),
            "proposal": self.proposal,
            "effective_size": self.effective_size,
        }


def _independent(n: int, seed: int, factors: int, mirrored: bool) -> FloatArray:
    stream = np.random.Generator(np.random.Philox(key=np.array([seed, 2**63], dtype=np.uint64)))
    if not mirrored:
        return stream.standard_normal((n, factors))
    half = stream.standard_normal((n // 2, factors))
    return np.stack([half, -half], axis=1).reshape(n, factors)


def loss_direction(names: tuple[str, ...], falls: Mapping[str, float] = LOSS_DIRECTION) -> FloatArray:
    """(F,) unit vector along which a higher value means smaller losses; the first factor where none is known."""
    direction = np.array([falls.get(name, 0.0) for name in names])
    if not direction.any():
        direction[0] = 1.0
    return np.asarray(direction / np.sqrt(np.square(direction).sum()))


def _reflect(factors: FloatArray, direction: FloatArray) -> FloatArray:
    """Householder reflection that carries the first axis into the direction; it keeps lengths and densities."""
    normal = -direction
    normal[0] += 1.0
    length = float(np.square(normal).sum())
    if length == 0.0:
        return factors
    # Sums written out, not a matrix product: the same bytes on any linear-algebra library.
    along = sum((factors[:, k] * normal[k] for k in range(len(normal))), np.zeros(len(factors)))
    return factors - (2.0 / length) * along[:, None] * normal
