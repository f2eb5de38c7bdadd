"""The price certificate of a listing: its prices, what they were made from, and the command that makes them again.

It can be kept as a file and compared later: `manage.py reproduce LISTING --certificate FILE` recomputes the prices and
names the first figure of the file that is another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accounts.canonical import digest
from accounts.errors import ApplicationError
from marketplace.models import Listing
from pricing.reproduction import difference

Json = dict[str, Any]
KIND, VERSION = "glasspool price certificate", 1
FIGURES = ("name", "grade", "price", "yield", "spread_bp", "wal_years", "modified_duration")


def certificate_of(listing: Listing) -> Json:
    """The certificate, from the frozen rows of the listing. sha256 covers everything else in it.

    listing: with price_report, its snapshot and rating_report. terms: theta, h, kappa and l behind the views of the
    prices, None where an earlier version did not keep them.
    """
    priced, views = listing.price_report.result, listing.price_report.result.get("views") or {}
    terms = views.get("terms")
    content: Json = {
        "kind": KIND,
        "version": VERSION,
        "listing": str(listing.pk),
        "deal": listing.deal.name,
        "priced_on": listing.price_report.created_at.date().isoformat(),
        "snapshot": {
            "name": priced["snapshot"],
            "digest": listing.price_report.snapshot_id,
            "as_of": priced["as_of"],
        },
        "terms": None if terms is None else {key: value for key, value in terms.items() if key != "sources"},
        "classes": [{key: row.get(key) for key in FIGURES} for row in priced["tranches"]],
        "residual": {
            key: (priced.get("residual") or {}).get(key)
            for key in ("name", "scenario_value", "base_value", "pool_less_classes", "residual_yield")
        },
        "manifest": dict(listing.manifest),
        "build": listing.rating_report.manifest.get("build"),
        "command": f"manage.py reproduce {listing.pk}",
    }
    return content | {"sha256": digest(content)}


def certificate_checked(given: Any, listing: Listing) -> None:
    """Refuse a certificate that is not this listing's, or not what the listing says. given: the parsed file.

    ApplicationError names the first figure that is another one. The listing's own figures are proved elsewhere, by
    running them again.
    """
    if not isinstance(given, Mapping) or given.get("kind") != KIND:
        raise ApplicationError("This is no price certificate.", code="certificate_unreadable", field="certificate")
    if given.get("version") != VERSION:
        raise ApplicationError(
            f"The certificate is of version {given.get('version')!r}; this build reads version {VERSION}.",
            code="certificate_unreadable",
            field="certificate",
        )
    where = difference(certificate_of(listing), dict(given), 0.0)
    if where is not None:
        raise ApplicationError(
            f"The certificate differs from the listing at {where.lstrip('.')}.",
            code="certificate_differs",
            field="certificate",
        )
