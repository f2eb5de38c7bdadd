"""The deal report: one object from the stored rows of a listing; report_text writes it for people.

Everything here is read from the database; nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from investors.selectors import ledger_imbalance
from marketplace.models import Allocation, Auction, BidState, Listing, Trade

Report = dict[str, Any]


def deal_report(listing: Listing) -> Report:
    """The JSON object of `securitize` (without timings) for a listing in any state."""
    rating, pricing = listing.rating_report.result, listing.price_report.result
    pool, tape = listing.deal.pool, listing.deal.pool.tape
    prices = {row["name"]: row for row in pricing["tranches"]}
    return {
        "tape": {
            "rows": tape.rows,
            "accepted": tape.accepted,
            "rejected": tape.rejected,
            "reasons": tape.reasons,
            "root": tape.root,
        },
        "pool": {
            "label": pool.label,
            "synthetic": pool.synthetic,
            "loans": pool.loan_count,
            "excluded": pool.excluded,
            "exclusions": pool.exclusions,
            "balance": _money(pool.balance),
            "wac": float(pool.wac),
            "wam_months": float(pool.wam_months),
        },
        "simulation": {key: value for key, value in rating["simulation"].items() if key != "histogram"},
        "model": _model(listing.rating_report.rating_run.credit_model.payload),
        "tranches": [_tranche(row, prices.get(row["name"])) for row in rating["tranches"]],
        "structure": rating["structure"] | {"scale": rating["scale"]},
        "pricing": {
            "as_of": pricing["as_of"],
            "snapshot": pricing["snapshot"],
            "speed": pricing["speed"],
            "spread_over": "US Treasury par curve, interpolated at the average life",
            **pricing["assumptions"],
        },
        "residual": pricing["residual"],
        "sources_and_uses": _sources_and_uses(listing.sources_and_uses),
        "auction": [_auction(auction) for auction in listing.auctions.order_by("seniority")],
        "realised": listing.rating_report.realised,
        "settlement": _settlement(listing),
        "dates": listing.deal_version.spec["dates"],
        "manifest": listing.rating_report.manifest | listing.manifest,
    }


def _money(cents: int) -> float:
    return cents / 100


def _model(payload: Mapping[str, Any]) -> Report:
    keys = "name fallbacks asset_correlation pd_level_sigma severity_mean severity_sigma charge_off_lag recovery_lag"
    return {key: payload[key] for key in keys.split()}


def _tranche(row: Mapping[str, Any], price: Mapping[str, Any] | None) -> Report:
    """wal_years, price, yield and spread are the base case's; rating_wal_years is the scenario mean of the rating."""
    rated = (
        "name attach detach coupon rating rating_interval converged pd pd_se pd_upper expected_loss expected_loss_se"
        " break_even_multiple target lowered cap grade_by_loss grade_by_pd grade_by_multiple lgd lgd_se wal_sd"
        " interval break_even scenario_default_rate cushion interest_shortfall_probability confidence"
    ).split()
    priced = "wal_years price yield spread_bp modified_duration".split()
    return (
        {"balance": _money(row["balance"])}
        | {key: row.get(key) for key in rated}
        | {key: price[key] if price else None for key in priced}
        | {"priced_as": price["grade"] if price else None, "rating_wal_years": row.get("wal_years")}
    )


def _sources_and_uses(stored: Mapping[str, Any] | None) -> Report | None:
    if stored is None:
        return None
    return {
        side: {name: _money(cents) for name, cents in stored[side].items()} for side in ("sources", "uses")
    } | {"total": _money(sum(stored["sources"].values()))}


def _auction(auction: Auction) -> Report:
    bids = auction.bids.exclude(state__in=[BidState.WITHDRAWN, BidState.CANCELLED])
    return {
        "tranche": auction.tranche,
        "supply": _money(auction.supply),
        "bids": bids.count(),
        "clearing_yield": None if auction.clearing_ticks is None else auction.clearing_ticks / 1e5,
        "allotted": None if auction.allotted is None else _money(auction.allotted),
        "bid_to_cover": None if auction.bid_to_cover is None else float(auction.bid_to_cover),
        "result_digest": auction.result_digest,
    }


def _settlement(listing: Listing) -> Report:
    trades = Trade.objects.filter(allocation__auction__listing=listing)
    return {
        "state": listing.state,
        "allocations": Allocation.objects.filter(auction__listing=listing).count(),
        "trades": trades.count(),
        "cash": _money(sum(trades.values_list("cash", flat=True))),
        "ledger_imbalance": ledger_imbalance(),
    }
