"""Batched reads of the collateral side for the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from accounts.graphql.loaders import ChildrenLoader, FirstChildrenLoader, Loader, RowLoader
from pooling.models import Deal, DealVersion, Loan, Pool, TapeUpload, TapeVersion


class UploadLoader(RowLoader):
    """An upload by id."""

    model = TapeUpload


class TapeLoader(RowLoader):
    """A tape by id."""

    model = TapeVersion


class PoolLoader(RowLoader):
    """A pool by id."""

    model = Pool


class TapeRootLoader(Loader[Any, str]):
    """The Merkle root of the tape behind a visible pool, by pool: whoever sees the pool may check what it is cut from,
    though the tape itself stays with its originator.
    """

    def read(self, keys: Sequence[Any]) -> Mapping[Any, str]:
        return dict(self.context.rows(Pool).filter(pk__in=keys).values_list("pk", "tape__root"))


class DealLoader(RowLoader):
    """A deal by id."""

    model = Deal


class DealOfPoolLoader(RowLoader):
    """The deal over a pool."""

    model = Deal
    field = "pool_id"


class DealVersionLoader(RowLoader):
    """A version of a deal by id."""

    model = DealVersion


class VersionsOfDealLoader(ChildrenLoader):
    """The versions of a deal, oldest first."""

    model = DealVersion
    field = "deal_id"

    def rows(self) -> QuerySet[DealVersion]:
        return super().rows().order_by("deal_id", "number")


class LoansOfPoolLoader(FirstChildrenLoader):
    """The first loans of a pool; the pages of all of them are the root field `loans`."""

    model = Loan
    field = "pool_id"
