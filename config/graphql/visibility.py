"""Which rows: the one selector of each model that the API shows. Which columns and verbs: policy.py."""

from __future__ import annotations

from django.db.models import QuerySet

from accounts.graphql.context import Selectors
from accounts.models import ApiToken, User
from accounts.selectors import tokens_visible
from investors.models import Account, Mandate, Transfer
from investors.selectors import mandates_visible, positions_visible, transfers_visible
from marketplace import disclosure
from marketplace.models import Allocation, Auction, Bid, Listing, Trade
from marketplace.selectors import (
    allocations_visible,
    auctions_visible,
    bids_visible,
    listings_visible,
    trades_visible,
)
from pooling.models import Deal, DealVersion, Loan, Pool, TapeUpload, TapeVersion
from pooling.selectors import tapes_visible, uploads_visible
from pricing.models import PriceReport
from rating.models import RatingReport, RatingRun
from rating.selectors import rating_runs_visible
from runs.models import Run
from runs.selectors import runs_visible


def _runs(viewer: User) -> QuerySet[Run]:
    """Without the bytes of the result, which may have megabytes."""
    return runs_visible(viewer).defer("result", "params")


def _bids(viewer: User) -> QuerySet[Bid]:
    return bids_visible(viewer).select_related("hold")


def _transfers(viewer: User) -> QuerySet[Transfer]:
    return transfers_visible(viewer).select_related("debit", "credit")


SELECTORS: Selectors = {
    ApiToken: tokens_visible,
    Run: _runs,
    TapeUpload: uploads_visible,
    TapeVersion: tapes_visible,
    Pool: disclosure.pools_disclosed,
    Loan: disclosure.loans_disclosed,
    Deal: disclosure.deals_disclosed,
    DealVersion: disclosure.deal_versions_disclosed,
    RatingRun: rating_runs_visible,
    RatingReport: disclosure.rating_reports_disclosed,
    PriceReport: disclosure.price_reports_disclosed,
    Account: positions_visible,
    Transfer: _transfers,
    Mandate: mandates_visible,
    Listing: listings_visible,
    Auction: auctions_visible,
    Bid: _bids,
    Allocation: allocations_visible,
    Trade: trades_visible,
}
