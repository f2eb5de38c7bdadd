"""Batched reads of prices for the API."""

from __future__ import annotations

from accounts.graphql.loaders import RowLoader
from pricing.models import PriceReport


class PriceReportLoader(RowLoader):
    """A price report by id."""

    model = PriceReport
