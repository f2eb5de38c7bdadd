"""Compiled loops of the exact engine: candidates for default found by jumping along the hazard line, and their cash.

One function a way of drawing, over scenarios of one stream group; results do not depend on how scenarios are cut.
Not here: what the arrays mean (portfolio.py) and who calls this (exact.py); the same law in NumPy is fallback.py.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from rating.engine.layout import (
    BAND,
    BATCH,
    BY_ID,
    COUPON,
    CURVE,
    DEFAULT,
    EARLIEST,
    FIRST_OCTAVE,
    FIRST_ROW,
    GUIDES,
    INTEREST,
    LEFT,
    LN2_HIGH,
    LN2_LOW,
    LOG1,
    LOG2,
    LOG3,
    LOG4,
    LOG5,
    LOG6,
    LOG7,
    MISSED,
    NORMAL_NODES,
    NORMAL_REACH,
    OPENING,
    PREPAYMENT,
    PROFILE,
    RECOVERED,
    REMAINING,
    RESIDUE,
    ROOT_HALF,
    SCHEDULED,
    SECTOR,
    SUMS,
    FloatArray,
    IntArray,
)


class Work(NamedTuple):
    """Scratch of one scenario: its candidates, and their sums by profile, by rate and by month.

    loan, clock, uniform, month: (n,) by candidate: its row, the time its clock rang, the draw of its prepayment, and
    the month of its default. touched: (F,) profiles and rates: (A,) rates that a candidate has, `used` of each;
    held: (F, 3) count, balance and slope of a profile's candidates; own: (A, T + 1) slope of a rate's by the payments
    that they really make, own_used: (A,) whether that row is in use; own_sum: (T + 1, 3) balance, annual coupon on it
    and slope of all; own_part: (T, 2) what they have repaid, and the coupon on that. hazard: (B,) of the
    buckets. gone, gone_coupon: (P, T + 2) what the candidates would owe if nothing happened, and its annual coupon;
    gone_count: (P, T + 2) their number.
    """

    loan: IntArray
    clock: FloatArray
    uniform: FloatArray
    month: IntArray
    used: IntArray
    touched: IntArray
    rates: IntArray
    held: FloatArray
    own: FloatArray
    own_used: FloatArray
    own_sum: FloatArray
    own_part: FloatArray
    hazard: FloatArray
    gone: FloatArray
    gone_coupon: FloatArray
    gone_count: FloatArray


@njit(inline="always")
def _words(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Two uniforms in (0, 1) of 52 bits from one block of Philox4x32-10, see philox.py."""
    mask = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for _ in range(10):
        low = c0 * np.uint64(0xD2511F53)
        high = c2 * np.uint64(0xCD9E8D57)
        c0 = (high >> shift) ^ c1 ^ k0
        c1 = high & mask
        c2 = (low >> shift) ^ c3 ^ k1
        c3 = low & mask
        k0 = (k0 + np.uint64(0x9E3779B9)) & mask
        k1 = (k1 + np.uint64(0xBB67AE85)) & mask
    six, up = np.uint64(6), np.uint64(26)
    a = ((c0 >> six) << up) | (c1 >> six)
    b = ((c2 >> six) << up) | (c3 >> six)
    return (np.float64(a) + 0.5) * 2.0**-52, (np.float64(b) + 0.5) * 2.0**-52


@njit(nogil=True, cache=True, error_model="numpy")
def _bucket_hazards(s, loans, draws, tables, work):  # type: ignore[no-untyped-def]
    """Conditional default hazard to maturity of the top of each bucket: -ln(1 - Phi((threshold w - score) / own))."""
    if draws.path.shape[0] > 0:
        work.hazard[:] = draws.top[s]
        return
    normal, score = tables.normal, draws.score[s]
    threshold = draws.top[s if draws.top.shape[0] > 1 else 0]
    own, mixing = draws.latents[s, 0], draws.latents[s, 1]
    last = np.float64(len(normal)) - 1e-9
    for b in range(len(threshold)):
        at = ((threshold[b] * mixing - score[loans.bucket_sector[b]]) / own + NORMAL_REACH) * NORMAL_NODES
        at = min(max(at, 0.0), last)
        j = int(at)
        u = at - j
        work.hazard[b] = ((normal[j, 3] * u + normal[j, 2]) * u + normal[j, 1]) * u + normal[j, 0]


@njit(nogil=True, cache=True, error_model="numpy")
def _batch(jumps, seconds, start, number, scenario, seed):  # type: ignore[no-untyped-def]
    """Unit exponentials and uniforms of a batch of counters, together, so that they share instructions."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = seed & mask, seed >> half
    c1, c2, c3 = np.uint64(number), scenario & mask, scenario >> half
    for k in range(BATCH):
        jumps[k], seconds[k] = _words(np.uint64(start + k), c1, c2, c3, k0, k1)
    _minus_log(jumps)


@njit(nogil=True, cache=True, error_model="numpy")
def _minus_log(values):  # type: ignore[no-untyped-def]
    """-ln of positive normal numbers in place, within one unit in the last place: the method of fdlibm's e_log.c (Sun
    Microsystems 1993) without its branches, so that the processor takes several at once; a library's log takes one."""
    bits = values.view(np.int64)
    for k in range(len(values)):
        # The fraction comes to lie in [sqrt(1/2), sqrt(2)), the exponent is what is left.
        exponent = (bits[k] - np.int64(ROOT_HALF)) >> np.int64(52)
        bits[k] -= exponent << np.int64(52)
        f, power = values[k] - 1.0, np.float64(exponent)
        s = f / (2.0 + f)
        z = s * s
        tail = z * (LOG1 + z * (LOG2 + z * (LOG3 + z * (LOG4 + z * (LOG5 + z * (LOG6 + z * LOG7))))))
        half = 0.5 * f * f
        values[k] = ((half - (s * (half + tail) + power * LN2_LOW)) - f) - power * LN2_HIGH


@njit(nogil=True, cache=True, error_model="numpy")
def _walk(hazards, starts, number, scenario, seed, work):  # type: ignore[no-untyped-def]
    """Candidates of one scenario by exponential jumps along the hazard line; returns how many.

    A unit-rate Poisson process on the line of n loans of hazard h each: the first point in a loan's stretch is the
    time its exponential clock rings, and what is left of a jump at a bucket's end goes on in the next (memoryless).
    """
    loan, clock, uniform = work.loan, work.clock, work.uniform
    jumps, seconds = np.empty(BATCH), np.empty(BATCH)
    _batch(jumps, seconds, 0, number, scenario, seed)
    count, drawn, jump = 0, 0, jumps[0]
    for b in range(len(hazards)):
        hazard = hazards[b]
        if hazard <= 0.0:
            continue
        i, end, inverse = starts[b], starts[b + 1], 1.0 / hazard
        while True:
            ahead = jump * inverse
            if ahead >= end - i:
                jump = max(jump - (end - i) * hazard, 0.0)
                break
            skip = int(ahead)
            i += skip
            loan[count], clock[count] = i, max((ahead - skip) * hazard, EARLIEST)
            uniform[count] = seconds[drawn]
            i += 1
            count += 1
            drawn += 1
            if drawn == BATCH:
                _batch(jumps, seconds, count, number, scenario, seed)
                drawn = 0
            jump = jumps[drawn]
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _screen(hazards, starts, identity, scenario, seed, work):  # type: ignore[no-untyped-def]
    """The same with one draw a loan, keyed by its id."""
    loan, clock, uniform = work.loan, work.clock, work.uniform
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = seed & mask, (seed >> half) ^ np.uint64(BY_ID)
    c2, c3 = scenario & mask, scenario >> half
    count = 0
    for b in range(len(hazards)):
        if hazards[b] <= 0.0:
            continue
        reached = -math.expm1(-hazards[b])
        for i in range(starts[b], starts[b + 1]):
            first, second = _words(identity[i] & mask, identity[i] >> half, c2, c3, k0, k1)
            # Written always, counted where it defaults: no branch to guess.
            loan[count], clock[count], uniform[count] = i, first, second
            count += first < reached
    for c in range(count):
        clock[c] = -math.log1p(-clock[c])
    return count


@njit(nogil=True, cache=True, error_model="numpy")
def _latent_hazards(count, clock, loan, marks, score, own, mixing, level, tables):  # type: ignore[no-untyped-def]
    """Turn each candidate's clock into the hazard of its own curve: H reached = -ln(1 - F(X)) / m, X the latent."""
    probit, hazard, low, inverse = tables.probit, tables.hazard, tables.low, 1.0 / tables.step
    top = np.float64(len(hazard)) - 1e-9
    bits = clock.view(np.int64)
    for c in range(count):
        # The table's row is the exponent and the first four bits of the fraction; the rest is the place within it.
        word = bits[c]
        row = np.uint64((word >> np.int64(48)) - np.int64(FIRST_ROW))
        u = np.float64(word & np.int64(0xFFFFFFFFFFFF)) * 2.0**-48
        normal = ((probit[row, 3] * u + probit[row, 2]) * u + probit[row, 1]) * u + probit[row, 0]
        clock[c] = (score[np.uint64(marks[np.uint64(loan[c]), SECTOR])] + own * normal) / mixing
    if tables.stretched:
        for c in range(count):
            clock[c] = math.asinh(clock[c])
    for c in range(count):
        at = min(max((clock[c] - low) * inverse, 0.0), top)
        j = np.uint64(at)
        u = at - np.float64(j)
        clock[c] = (((hazard[j, 3] * u + hazard[j, 2]) * u + hazard[j, 1]) * u + hazard[j, 0]) / level


@njit(nogil=True, cache=True, error_model="numpy")
def _default_months(count, work, marks, curves, guides, rows_per_curve):  # type: ignore[no-untyped-def]
    """Keep the candidates that default by maturity, with their months; returns how many.

    guides: (rows, GUIDES + 1) first month whose cumulative hazard reaches each even share of the row's last.
    """
    loan, clock, uniform, month = work.loan, work.clock, work.uniform, work.month
    kept, last_column = 0, np.uint64(curves.shape[1] - 1)
    for c in range(count):
        i, value = np.uint64(loan[c]), clock[c]
        row = np.uint64(marks[i, CURVE] * rows_per_curve + (marks[i, SECTOR] if rows_per_curve > 1 else 0))
        if value > curves[row, np.uint64(marks[i, REMAINING])]:
            continue
        t = np.uint64(guides[row, np.uint64(value / curves[row, last_column] * GUIDES)])
        # One step without a branch: more than one is rare, and the processor could not guess it.
        t += np.uint64(curves[row, t] < value)
        while curves[row, t] < value:
            t += np.uint64(1)
        loan[kept], uniform[kept], month[kept] = i, uniform[c], t
        kept += 1
    return kept


@njit(nogil=True, cache=True, error_model="numpy")
def _guide(curves):  # type: ignore[no-untyped-def]
    """(rows, GUIDES + 1): see _default_months; a little too early is right, too late is not."""
    out = np.ones((curves.shape[0], GUIDES + 2), np.int16)
    last = curves.shape[1] - 1
    for row in range(curves.shape[0]):
        t = 1
        for k in range(GUIDES + 1):
            while t < last and curves[row, t] < curves[row, last] * (k / GUIDES) * (1.0 - 1e-12):
                t += 1
            out[row, k] = t
        out[row, GUIDES + 1] = t
    return out


@njit(nogil=True, cache=True, error_model="numpy")
def _cash(count, loans, work, alive, severity, noise, probit, out):  # type: ignore[no-untyped-def]
    """Spread the candidates over the sums of their months: default, or prepayment where that came before."""
    marks, amounts, profiles, rates, growth = loans.marks, loans.amounts, loans.profiles, loans.rate, loans.growth
    loan, uniform, month = work.loan, work.uniform, work.month
    used, touched, rated = work.used, work.touched, work.rates
    held, own, own_used, own_sum = work.held, work.own, work.own_used, work.own_sum
    one = np.uint64(1)
    for c in range(count):
        # Unsigned places: Numba then need not look for a negative one.
        i = np.uint64(loan[c])
        kind = np.uint64(marks[i, PROFILE])
        place, r = np.uint64(profiles[kind, 0]), np.uint64(profiles[kind, 1])
        balance, slope = amounts[i, 0], amounts[i, 1]
        if held[kind, 0] == 0.0:
            touched[used[0]] = kind
            used[0] += 1
        held[kind, 0] += 1.0
        held[kind, 1] += balance
        held[kind, 2] += slope
        if own_used[r] == 0.0:
            own_used[r] = 1.0
            rated[used[1]] = r
            used[1] += 1
            own[r] = 0.0
        paid = np.uint64(month[c]) - one
        survived = alive[place, paid]
        if uniform[c] < survived:
            owed = balance - slope * growth[r, paid]
            out[paid, DEFAULT] += owed
            out[paid, COUPON] += owed * rates[r]
            out[paid, MISSED] += 1.0
            lost = severity[np.uint64(marks[i, BAND])]
            if noise > 0.0:
                # What is left of the draw, given that the loan survived, is uniform again.
                part = min(max(uniform[c] / survived, 2.0**-53), 1.0 - 2.0**-53)
                lost = 0.5 * math.erfc(-(lost + noise * _normal(probit, -math.log1p(-part))) / math.sqrt(2.0))
            out[paid, RECOVERED] += owed * (1.0 - lost)
        else:
            paid = _first_at_most(alive, place, uniform[c])
            out[paid - one, PREPAYMENT] += balance - slope * growth[r, paid]
            out[paid - one, LEFT] += 1.0
        own[r, paid] += slope
        own_sum[paid, 0] += balance
        own_sum[paid, 1] += balance * rates[r]
        own_sum[paid, 2] += slope


@njit(inline="always")
def _normal(table, clock):  # type: ignore[no-untyped-def]
    """Phi^-1(1 - exp(-clock)) of one value from the table."""
    part, power = math.frexp(clock)
    at = (part - 0.5) * 32.0
    j = int(at)
    u = at - j
    row = (power - FIRST_OCTAVE) * 16 + j
    return ((table[row, 3] * u + table[row, 2]) * u + table[row, 1]) * u + table[row, 0]


@njit(inline="always")
def _first_at_most(alive, place, uniform):  # type: ignore[no-untyped-def]
    """Smallest t >= 1 whose survival is no longer above the uniform; the caller knows that there is one."""
    # Without branches, which the processor could only guess; always over all months, so that it can guess the length.
    low, length = np.uint64(1), alive.shape[1] - 1
    while length > 1:
        half = length >> 1
        low += np.uint64(half * (alive[place, low + np.uint64(half - 1)] > uniform))
        length -= half
    return low + np.uint64(alive[place, low] > uniform)


@njit(nogil=True, cache=True, error_model="numpy")
def _finish(loans, alive, work, out):  # type: ignore[no-untyped-def]
    """Sum up the candidates, add what all other loans pay in expectation over prepayment, and close the sums."""
    months = out.shape[0]
    growths, held, own, own_sum, own_part = loans.growth, work.held, work.own, work.own_sum, work.own_part
    gone, gone_coupon, gone_count = work.gone, work.gone_coupon, work.gone_count
    open_balance, open_coupon, open_count = loans.open_balance, loans.open_coupon, loans.open_count
    for k in range(work.used[0]):
        kind = work.touched[k]
        place, r, last = loans.profiles[kind, 0], loans.profiles[kind, 1], loans.profiles[kind, 2]
        count, balance, slope, rate = held[kind, 0], held[kind, 1], held[kind, 2], loans.rate[r]
        for t in range(last):
            owed = balance - slope * growths[r, t]
            gone[place, t + 1] += owed
            gone_coupon[place, t + 1] += owed * rate
            gone_count[place, t + 1] += count
        held[kind] = 0.0
    for k in range(work.used[1]):
        r = work.rates[k]
        rate, slope = loans.rate[r], 0.0
        for t in range(months, 0, -1):
            slope += own[r, t]
            repaid = slope * growths[r, t - 1]
            own_part[t - 1, 0] += repaid
            own_part[t - 1, 1] += repaid * rate
        work.own_used[r] = 0.0
    balance, coupon, slope = 0.0, 0.0, 0.0
    for t in range(months, 0, -1):
        balance += own_sum[t, 0]
        coupon += own_sum[t, 1]
        slope += own_sum[t, 2]
        out[t - 1, OPENING] += balance - own_part[t - 1, 0]
        out[t - 1, INTEREST] += coupon - own_part[t - 1, 1]
        # Principal of month t is slope (1 + r)**(t - 1) = slope (1 + r s(t - 1)).
        out[t - 1, SCHEDULED] += slope + own_part[t - 1, 1] / 12.0
    for t in range(months):
        out[t, OPENING] += out[t, DEFAULT]
        out[t, COUPON] += out[t, INTEREST]
        out[t, LEFT] += out[t, MISSED]
    for place in range(gone.shape[0]):
        for t in range(1, months + 1):
            before, after = alive[place, t - 1], alive[place, t]
            start = open_balance[place, t] - gone[place, t]
            end = open_balance[place, t + 1] - gone[place, t + 1]
            start = start if start > RESIDUE * open_balance[place, t] else 0.0
            end = end if end > RESIDUE * open_balance[place, t + 1] else 0.0
            end = min(end, start)
            count = open_count[place, t] - gone_count[place, t]
            later = open_count[place, t + 1] - gone_count[place, t + 1]
            out[t - 1, OPENING] += before * start
            if start > 0.0:
                coupon = before * (open_coupon[place, t] - gone_coupon[place, t])
                out[t - 1, COUPON] += coupon
                out[t - 1, INTEREST] += coupon
            out[t - 1, SCHEDULED] += before * (start - end)
            out[t - 1, PREPAYMENT] += (before - after) * end
            out[t - 1, LEFT] += before * count - after * later
    for t in range(months):
        out[t, INTEREST] /= 12.0


@njit(nogil=True, cache=True, error_model="numpy")
def _workspace(loans, months):  # type: ignore[no-untyped-def]
    size, speeds = len(loans.amounts) + 1, loans.open_balance.shape[0]
    kinds, rates = len(loans.profiles), len(loans.rate)
    return Work(
        np.empty(size, np.int64),
        np.empty(size),
        np.empty(size),
        np.empty(size, np.int64),
        np.zeros(2, np.int64),
        np.empty(kinds, np.int64),
        np.empty(rates, np.int64),
        np.zeros((kinds, 3)),
        np.empty((rates, months + 1)),
        np.zeros(rates),
        np.empty((months + 1, 3)),
        np.empty((months, 2)),
        np.empty(len(loans.bucket_sector)),
        np.empty((speeds, months + 2)),
        np.empty((speeds, months + 2)),
        np.empty((speeds, months + 2)),
    )


@njit(nogil=True, cache=True, error_model="numpy")
def _scenario(count, s, loans, draws, tables, guides, work, out, sums):  # type: ignore[no-untyped-def]
    """From the candidates of one scenario to its sums."""
    moving = draws.path.shape[0] > 0
    curves = draws.path[s] if moving else loans.default_curve
    if moving:
        count = _default_months(count, work, loans.marks, curves, _guide(curves), draws.score.shape[1])
    else:
        own, mixing, level = draws.latents[s, 0], draws.latents[s, 1], draws.latents[s, 2]
        _latent_hazards(count, work.clock, work.loan, loans.marks, draws.score[s], own, mixing, level, tables)
        count = _default_months(count, work, loans.marks, curves, guides, 1)
    work.used[:] = 0
    work.own_sum[:] = 0.0
    work.own_part[:] = 0.0
    work.gone[:] = 0.0
    work.gone_coupon[:] = 0.0
    work.gone_count[:] = 0.0
    out[:] = 0.0
    _cash(count, loans, work, draws.alive[s], draws.severity[s], draws.noise, tables.probit, out)
    _finish(loans, draws.alive[s], work, out)
    for row in range(SUMS):
        for t in range(out.shape[0]):
            sums[s, row, t] += out[t, row]


@njit(nogil=True, cache=True, error_model="numpy")
def by_event(loans, draws, tables, sums):  # type: ignore[no-untyped-def]
    """Add a stream group to sums (S, SUMS, T), touching only the loans that may default."""
    months = sums.shape[2]
    work, out, guides = _workspace(loans, months), np.empty((months, SUMS)), _guide(loans.default_curve)
    for s in range(sums.shape[0]):
        scenario = np.uint64(draws.first + s)
        _bucket_hazards(s, loans, draws, tables, work)
        count = _walk(work.hazard, loans.bucket_start, loans.number, scenario, draws.seed, work)
        _scenario(count, s, loans, draws, tables, guides, work, out, sums)


@njit(nogil=True, cache=True, error_model="numpy")
def by_loan(loans, draws, tables, sums):  # type: ignore[no-untyped-def]
    """The same law with one draw a loan, keyed by its id: a change of the pool or the model moves no other draw."""
    months = sums.shape[2]
    work, out, guides = _workspace(loans, months), np.empty((months, SUMS)), _guide(loans.default_curve)
    for s in range(sums.shape[0]):
        scenario = np.uint64(draws.first + s)
        _bucket_hazards(s, loans, draws, tables, work)
        count = _screen(work.hazard, loans.bucket_start, loans.identity, scenario, draws.seed, work)
        _scenario(count, s, loans, draws, tables, guides, work, out, sums)
