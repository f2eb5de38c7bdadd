"""Batched reads of prices for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accounts.graphql.loaders import Loader, RowLoader
from pricing.models import MarketSnapshotVersion, PriceReport


class PriceReportLoader(RowLoader):
    """A price report by id."""

    model = PriceReport


class SnapshotLoader(Loader[str, MarketSnapshotVersion]):
    """A market snapshot by digest: public figures, behind reports that the viewer sees."""

    def read(self, keys: Sequence[str]) -> Mapping[str, MarketSnapshotVersion]:
        return MarketSnapshotVersion.objects.in_bulk(keys)
