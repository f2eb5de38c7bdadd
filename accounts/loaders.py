"""Batched reads of accounts for the API."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.graphql.loaders import RowLoader
from accounts.models import Organisation


class OrganisationLoader(RowLoader):
    """An organisation by id. Names of the market's parties are known to every party; who did what is not."""

    def rows(self) -> QuerySet[Organisation]:
        return Organisation.objects.all()
