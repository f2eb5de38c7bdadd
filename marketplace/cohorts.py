"""Static pools of an originator: vintages of the tapes behind listed deals whose outcomes are known.

Composition only: what a viewer may see comes from the selectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from accounts.errors import ApplicationError
from marketplace.disclosure import realised_disclosed
from marketplace.models import Listing
from marketplace.selectors import listings_visible
from pooling.collateral import sealed_rows
from pooling.models import TapeVersion
from pooling.selectors import Viewer
from pooling.tapes import OutcomeFrame, outcomes
from rating.engine.cohorts import MEASURES, Outcomes, VintageTriangle, quarters, vintage_triangle, years
from rating.runs import loans_of

BY = {"quarter": "issue quarter", "year": "issue year", "grade": "grade", "term": "term"}
WHAT = {"net_loss": "cumulative net loss", "default": "cumulative default", "prepayment": "cumulative prepayment"}


@dataclass(frozen=True)
class Choice:
    """What the address asks for. stratum: a grade or term to which the loans are narrowed, "" for all."""

    listing: str
    by: str = "quarter"
    measure: str = "net_loss"
    grade: str = ""
    term: str = ""


@lru_cache(maxsize=4)
def _outcomes(tape: str) -> OutcomeFrame | None:
    return outcomes(sealed_rows(TapeVersion.objects.get(pk=tape)))


def _pooled(listing: Listing, frame: OutcomeFrame) -> np.ndarray:
    """(n,) the loans of the listed pool: of the rest of its tape nobody else may know what became."""
    pool = listing.deal.pool
    return np.isin(frame.loan_id, loans_of(pool.loans_path, pool.loans_digest).loan_id)


def histories(viewer: Viewer) -> list[Listing]:
    """Listings whose loans' fates the viewer may know: those whose realised loss is disclosed to it."""
    rows = listings_visible(viewer).select_related("organisation", "deal__pool__tape", "rating_report")[:200]
    return [listing for listing in rows if realised_disclosed(viewer, listing)]


def chosen(viewer: Viewer, asked: Choice) -> tuple[Listing, Choice, VintageTriangle, OutcomeFrame] | None:
    """The triangle that is asked for, of the first history where none is named; None where there is none.

    Raises ApplicationError naming the part of the address that is not to be had.
    """
    found = histories(viewer)
    if not found:
        return None
    listing = next((each for each in found if str(each.pk) == asked.listing), None) if asked.listing else found[0]
    if listing is None:
        raise ApplicationError("listing: no history with known outcomes has this address.", field="listing")
    if asked.by not in BY:
        raise ApplicationError(f"by: {asked.by[:20]!r} is none of {', '.join(BY)}.", field="by")
    if asked.measure not in MEASURES:
        raise ApplicationError(f"measure: {asked.measure[:20]!r} is none of {', '.join(MEASURES)}.", field="measure")
    frame = _outcomes(str(listing.deal.pool.tape_id))
    if frame is None:
        return None
    keep = _pooled(listing, frame)
    if asked.grade:
        keep &= frame.grade == asked.grade
    if asked.term:
        keep &= frame.term.astype(str) == asked.term
    if not keep.any():
        raise ApplicationError("grade, term: no loan of this history has both; choose others.", field="grade")
    return listing, asked, _triangle(frame, keep, asked), frame


def _triangle(frame: OutcomeFrame, keep: np.ndarray, asked: Choice) -> VintageTriangle:
    part = Outcomes(
        issue_month=frame.issue_month[keep],
        term=frame.term[keep],
        balance=frame.balance[keep],
        exit_month=frame.exit_month[keep],
        exit_kind=frame.exit_kind[keep],
        charged_off=frame.charged_off[keep],
        net_recovery=frame.net_recovery[keep],
        data_end=frame.data_end,
    )
    names: dict[str, Sequence[str]] = {
        "quarter": quarters(part.issue_month),
        "year": years(part.issue_month),
        "grade": frame.grade[keep].tolist(),
        "term": [f"{term} months" for term in part.term.tolist()],
    }
    return vintage_triangle(part, names[asked.by], asked.measure)
