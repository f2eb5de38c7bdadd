"""Writes of the pricing side: market snapshots and price reports."""

from __future__ import annotations

from typing import Any

from pricing.engine.snapshot import MarketSnapshot
from pricing.models import MarketSnapshotVersion, PriceReport
from rating.models import RatingReport


def snapshot_store(snapshot: MarketSnapshot) -> MarketSnapshotVersion:
    """Keep a snapshot under its content hash; the same content is kept once."""
    stored, _ = MarketSnapshotVersion.objects.get_or_create(
        pk=snapshot.content_hash(), defaults={"as_of": snapshot.as_of, "payload": snapshot.to_json()}
    )
    return stored


def price_report_create(
    *, rating_report: RatingReport, snapshot: MarketSnapshotVersion, result: dict[str, Any]
) -> PriceReport:
    """Store the prices of a rated deal version, in the caller's transaction."""
    return PriceReport.objects.create(
        deal_version=rating_report.deal_version, rating_report=rating_report, snapshot=snapshot, result=result
    )
