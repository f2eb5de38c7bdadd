"""What the loops of the exact engine read and fill, compiled or not: plain tuples of arrays.

Not here: the loops (kernels.py, fallback.py) and where the arrays come from (portfolio.py, exact.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
SmallArray = NDArray[np.int32]

# Rows of the monthly sums that a scenario fills, (SUMS, T).
OPENING, COUPON, DEFAULT, INTEREST, SCHEDULED, PREPAYMENT, LEFT, MISSED, RECOVERED = range(9)
SUMS = 9
REMAINING, SECTOR, CURVE, PROFILE, BAND = range(5)
# A stock left by rounding after every loan of a speed has been taken out.
RESIDUE = 1e-13
# The probit table begins at the octave [2**-131, 2**-130): exponents as frexp gives them, sixteen rows each.
FIRST_OCTAVE, LAST_OCTAVE = -130, 10
FIRST_ROW = (FIRST_OCTAVE - 1 + 1023) * 16
EARLIEST = 2.0**-128
GUIDES = 512
BATCH = 64
NORMAL_REACH, NORMAL_NODES = 12.0, 64.0
# The logarithm of the loops, see kernels._minus_log: the bits of sqrt(1/2), ln 2 in two parts and a polynomial in s**2,
# all from fdlibm's e_log.c.
ROOT_HALF = 0x3FE6A09E667F3BCD
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG1, LOG2, LOG3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
LOG4, LOG5, LOG6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
LOG7 = 1.479819860511658591e-01
BY_ID = 0x6C6F616E  # tag of the streams keyed by loan id: "loan"


class Loans(NamedTuple):
    """A stream group and the curves, as the loops read them; see portfolio.StreamGroup.

    marks: (n, 5) remaining term, sector, curve, profile and band; amounts: (n, 2) balance and slope: what a loop reads
    of one loan lies together. profiles: (F, 3) speed, rate and remaining term.
    """

    number: int
    marks: SmallArray
    amounts: FloatArray
    identity: NDArray[np.uint64]
    bucket_start: IntArray
    bucket_sector: IntArray
    profiles: IntArray
    rate: FloatArray
    growth: FloatArray
    default_curve: FloatArray
    open_balance: FloatArray
    open_coupon: FloatArray
    open_count: FloatArray


class Draws(NamedTuple):
    """What a block of S scenarios does to a stream group.

    seed, first: of the streams. top: of each bucket's loan most at risk, (S or 1, B) the latent threshold of default
    by maturity, or where the factor moves in time (S, B) its conditional hazard to maturity. score: (S, 1 + K), and
    latents: (S, 3) own weight, mixing and default multiplier, see shocks.Shocks. alive: (S, P, T + 1) survival of
    prepayment.
    severity: (S, bands) mean, or probit of a loan without noise where noise > 0. path: (S, C x (1 + K), T + 1)
    conditional cumulative hazards where the factor moves in time, else of size 0 in every direction.
    """

    seed: np.uint64
    first: int
    top: FloatArray
    score: FloatArray
    latents: FloatArray
    alive: FloatArray
    severity: FloatArray
    noise: float
    path: FloatArray


class Tables(NamedTuple):
    """Cubic tables: probit of 1 - exp(-E) by E (16 nodes an octave), hazard -ln(1 - F(x)) by x or asinh x.

    normal: the hazard of the normal distribution by x, 64 nodes a unit on [-12, 12].
    degrees: of freedom of the Student-t copula, stretched there; 0 under the Gaussian.
    """

    probit: FloatArray
    normal: FloatArray
    hazard: FloatArray
    low: float
    step: float
    stretched: bool
    degrees: float
