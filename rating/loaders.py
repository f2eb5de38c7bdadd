"""Batched reads of ratings for the API."""

from __future__ import annotations

from accounts.graphql.loaders import RowLoader
from rating.models import RatingReport, RatingRun


class RatingRunLoader(RowLoader):
    """A rating run by id."""

    model = RatingRun


class RatingReportLoader(RowLoader):
    """A rating report by id."""

    model = RatingReport


class ReportOfRunLoader(RowLoader):
    """What a rating run found; None while it is under way."""

    model = RatingReport
    field = "rating_run_id"
