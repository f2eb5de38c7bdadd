"""Batched reads of ratings for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.graphql.loaders import Loader, RowLoader
from pooling.models import DealVersion
from rating.models import CreditModelVersion, RatingReport, RatingRun


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


class _InputOfReportLoader(Loader[Any, Any]):
    """One input of a visible report's rating run, by report: whoever sees the report may make it again, though the
    run stays with its originator.
    """

    column: str
    model: type[CreditModelVersion] | type[DealVersion]

    def read(self, keys: Sequence[Any]) -> Mapping[Any, Any]:
        pairs = self.context.rows(RatingReport).filter(pk__in=keys).values_list("pk", f"rating_run__{self.column}")
        wanted = dict(pairs)
        rows = self.model._default_manager.in_bulk(set(wanted.values()))
        return {report: rows[key] for report, key in wanted.items()}


class CreditModelOfReportLoader(_InputOfReportLoader):
    """The credit model behind a report."""

    column, model = "credit_model", CreditModelVersion


class TemplateOfReportLoader(_InputOfReportLoader):
    """The deal version a report was solved from."""

    column, model = "template", DealVersion


class CreditModelLoader(Loader[str, CreditModelVersion]):
    """A credit model by digest, for rows whose viewer may see what they were made from."""

    def read(self, keys: Sequence[str]) -> Mapping[str, CreditModelVersion]:
        return CreditModelVersion.objects.in_bulk(keys)
