"""The exact engine: every loan, touching only those that default.

Default times, and the exits of loans that would default, are drawn loan by loan; the prepayment of all other loans
enters by its conditional expectation given the scenario and those draws (Rao-Blackwell), so losses have their full
law and prepayment loses only its idiosyncratic noise. Compiled by Numba where it is installed, else NumPy.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, log_ndtr, ndtri, stdtr, stdtrit

from rating.engine import fallback
from rating.engine.layout import FIRST_OCTAVE, LAST_OCTAVE, NORMAL_NODES, NORMAL_REACH, SUMS, Draws, Loans, Tables
from rating.engine.model import CreditModel
from rating.engine.portfolio import Portfolio, StreamGroup
from rating.engine.scenarios import ScenarioSet
from rating.engine.shocks import Shocks

try:
    from rating.engine import kernels
except (ImportError, RuntimeError):  # Numba is not there, or finds no folder for its code: the same law in NumPy
    kernels = None  # type: ignore[assignment]

FloatArray = NDArray[np.float64]

BLOCK = 128  # scenarios whose hazards are held at once
LARGEST_HAZARD = 700.0
STUDENT_REACH = 24.0


def quantile(model: CreditModel, probability: FloatArray) -> FloatArray:
    """The latent variable's quantile under the model's copula."""
    if model.copula == "student_t":
        # scipy answers +inf at a probability of zero.
        found = stdtrit(model.degrees_of_freedom, probability)
        return np.asarray(np.where(np.asarray(probability) > 0, found, -np.inf))
    return np.asarray(ndtri(probability))


@lru_cache(maxsize=8)
def lookup(copula: str, degrees: float) -> Tables:
    """The tables of the loops, cubic Hermite on exact values and slopes.

    Relative error below 1e-6, tested: of the probit everywhere, of normal hazards above x = -8, of a Student-t of 3 and
    4 degrees. It grows as (degrees / 64)**4 / 384 in the far tail of a Student-t of many degrees.
    """
    octave = np.arange(FIRST_OCTAVE, LAST_OCTAVE + 1)
    clock = (np.ldexp(0.5, octave)[:, None] * (1.0 + np.arange(17) / 16.0)).astype(np.float64)
    probit = -ndtri(np.exp(-clock))
    with np.errstate(all="ignore"):
        small = clock < 1e-8
        probit = np.where(small, ndtri(-np.expm1(-clock)), probit)
        probit = np.where(clock > 690, 37.0, probit)
        slope = np.exp(-clock + 0.5 * probit**2) * np.sqrt(2.0 * np.pi)
    slope = np.where(clock > 690, 0.0, slope)
    width = np.diff(clock, axis=1)
    first = _hermite(probit[:, :-1], probit[:, 1:], slope[:, :-1] * width, slope[:, 1:] * width)
    first = first.reshape(-1, 4)
    normal = _normal_hazards()
    if copula == "gaussian":
        return Tables(first, normal, normal, -NORMAL_REACH, 1.0 / NORMAL_NODES, False, 0.0)
    at = np.arange(-STUDENT_REACH, STUDENT_REACH + 0.5 / NORMAL_NODES, 1.0 / NORMAL_NODES)
    x = np.sinh(at)
    above = np.maximum(stdtr(degrees, -x), 1e-300)
    # Where little is above, from above; elsewhere from below, which loses no digits of a small hazard.
    value = -np.where(x < 0, np.log1p(-np.minimum(stdtr(degrees, x), 0.75)), np.log(above))
    change = _student_density(x, degrees) * np.cosh(at) / above / NORMAL_NODES
    second = _hermite(value[:-1], value[1:], change[:-1], change[1:])
    return Tables(first, normal, second, -STUDENT_REACH, 1.0 / NORMAL_NODES, True, degrees)


def _normal_hazards() -> FloatArray:
    at = np.arange(-NORMAL_REACH, NORMAL_REACH + 0.5 / NORMAL_NODES, 1.0 / NORMAL_NODES)
    value = -log_ndtr(-at)
    change = np.exp(-0.5 * at**2 - log_ndtr(-at)) / np.sqrt(2.0 * np.pi) / NORMAL_NODES
    return _hermite(value[:-1], value[1:], change[:-1], change[1:])


def _hermite(start: FloatArray, end: FloatArray, slope: FloatArray, last: FloatArray) -> FloatArray:
    rise = end - start
    return np.stack([start, slope, 3.0 * rise - 2.0 * slope - last, slope + last - 2.0 * rise], axis=-1)


def _student_density(x: FloatArray, degrees: float) -> FloatArray:
    log = gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * np.log(degrees * np.pi)
    return np.asarray(np.exp(log - (degrees + 1) / 2 * np.log1p(x * x / degrees)))


def loops(compiled: bool | None = None) -> ModuleType:
    """The module that holds by_event and by_loan. compiled: None takes Numba where it is installed.

    Raises ValueError where compiled loops are asked for and Numba is not installed.
    """
    if compiled and kernels is None:
        raise ValueError("compiled: Numba is not installed; install it, or take compiled=False")
    return kernels if kernels is not None and compiled is not False else fallback


def exact_sums(
    portfolio: Portfolio,
    model: CreditModel,
    scenarios: ScenarioSet,
    shocks: Shocks,
    *,
    by_loan: bool = False,
    compiled: bool | None = None,
    threads: int = 1,
) -> FloatArray:
    """(S, G, SUMS, T) monthly sums of every scenario and collateral group, see layout.

    by_loan: draws keyed by loan id (common random numbers of what-ifs) instead of by stream group. The bytes do not
    depend on threads, nor on how a scenario set is sliced.
    """
    module = loops(compiled)
    loop = module.by_loan if by_loan else module.by_event
    tables = lookup(model.copula, model.degrees_of_freedom)
    sums = np.zeros((len(scenarios), len(portfolio.collateral), SUMS, portfolio.months))
    laid = [_laid(portfolio, group) for group in portfolio.groups]

    def block(low: int) -> None:
        rows = slice(low, min(low + BLOCK, len(scenarios)))
        path = _path(portfolio, model, shocks, rows)
        for group, arrays in zip(portfolio.groups, laid, strict=True):
            draws = _draws(portfolio, model, scenarios, shocks, group, rows, path)
            loop(arrays, draws, tables, sums[rows, group.collateral])

    starts = range(0, len(scenarios), BLOCK)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(block, starts))
    else:
        for low in starts:
            block(low)
    return sums


def _laid(portfolio: Portfolio, group: StreamGroup) -> Loans:
    marks = (group.remaining, group.sector, group.curve, group.profile, group.band)
    return Loans(
        number=group.number,
        marks=np.ascontiguousarray(np.stack(marks, axis=1)),
        amounts=np.ascontiguousarray(np.stack([group.balance, group.slope], axis=1)),
        identity=group.identity,
        bucket_start=group.bucket_start,
        bucket_sector=group.bucket_sector,
        profiles=group.profiles,
        rate=group.rate,
        growth=group.growth,
        default_curve=portfolio.default_curve,
        open_balance=group.open_balance,
        open_coupon=group.open_coupon,
        open_count=group.open_count,
    )


def _draws(
    portfolio: Portfolio,
    model: CreditModel,
    scenarios: ScenarioSet,
    shocks: Shocks,
    group: StreamGroup,
    rows: slice,
    path: FloatArray,
) -> Draws:
    score, own = shocks.score[rows, :, 0], shocks.own[rows]
    if len(path):
        top = np.minimum(_path_hazard(group, path, score.shape[1]), LARGEST_HAZARD)
    else:
        span, where = np.unique(group.bucket_span, return_inverse=True)
        level = shocks.default[rows, None] if model.pd_level_sigma > 0 else np.ones((1, 1))
        top = quantile(model, -np.expm1(-level * span))[:, where]
    survival = np.exp(-shocks.prepayment[rows, None, None] * portfolio.prepayment_curve[group.speeds])
    return Draws(
        seed=np.uint64(scenarios.seed),
        first=scenarios.first + rows.start,
        top=np.ascontiguousarray(top),
        score=np.ascontiguousarray(score),
        latents=np.stack([own, shocks.mixing[rows], shocks.default[rows]], axis=1),
        alive=survival,
        severity=(shocks.severity_centre if model.severity_noise > 0 else shocks.severity)[rows],
        noise=model.severity_noise,
        path=path,
    )


def _path(portfolio: Portfolio, model: CreditModel, shocks: Shocks, rows: slice) -> FloatArray:
    """(S, C x (1 + K), T + 1) conditional cumulative hazards where the market moves in time, else of size 0.

    The hazard of month t given the factor of its year: -ln(1 - Phi((q(1 - exp(-m h(t))) w - y) / own)), the conditional
    form of the multi-period probit (Gordy & Heitfield 2002), so that each month's unconditional default probability of
    a loan still there is the curve's own.
    """
    if model.factor_persistence == 1.0:
        return np.zeros((0, 0, 0))
    step = portfolio.default_step
    year = np.minimum(np.arange(portfolio.months) // 12, shocks.score.shape[2] - 1)
    level = shocks.default[rows, None, None, None]
    threshold = quantile(model, -np.expm1(-level * step[None, :, None, :])) * shocks.mixing[rows, None, None, None]
    score = shocks.score[rows][:, None][..., year]
    monthly = -log_ndtr(-(threshold - score) / shocks.own[rows, None, None, None])
    size, curves, sectors, months = monthly.shape
    path = np.zeros((size, curves * sectors, months + 1))
    np.cumsum(monthly.reshape(size, -1, months), axis=2, out=path[:, :, 1:])
    return path


def _path_hazard(group: StreamGroup, path: FloatArray, sectors: int) -> FloatArray:
    """(S, B) largest conditional hazard to maturity among the loans of each bucket."""
    bucket = np.repeat(np.arange(len(group.bucket_span)), np.diff(group.bucket_start))
    row = group.curve.astype(np.int64) * sectors + group.sector
    keys = np.stack([bucket, row, group.remaining.astype(np.int64)], axis=1)
    pairs = np.unique(keys, axis=0)
    reached = path[:, pairs[:, 1], pairs[:, 2]]
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    return np.asarray(np.maximum.reduceat(reached, starts, axis=1))
