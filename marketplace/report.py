"""The deal report: one object from the stored rows of a listing, and its plain-text form for a structurer.

Everything here is read from the database; nothing is computed again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        "residual": pricing["residual"],
        "sources_and_uses": _sources_and_uses(listing.sources_and_uses),
        "auction": [_auction(auction) for auction in listing.auctions.order_by("seniority")],
        "realised": realised_beside(pool.realised_loss, rating),
        "settlement": _settlement(listing),
        "manifest": listing.manifest,
    }


def _money(cents: int) -> float:
    return cents / 100


def _model(payload: Mapping[str, Any]) -> Report:
    keys = "name fallbacks asset_correlation pd_level_sigma severity_mean severity_sigma charge_off_lag recovery_lag"
    return {key: payload[key] for key in keys.split()}


def _tranche(row: Mapping[str, Any], price: Mapping[str, Any] | None) -> Report:
    keys = (
        "name attach detach coupon rating rating_interval pd pd_se expected_loss expected_loss_se wal_years target"
    ).split()
    priced = {key: price[key] if price else None for key in ("price", "yield", "spread_bp", "modified_duration")}
    return {"balance": _money(row["balance"])} | {key: row.get(key) for key in keys} | priced


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


def realised_beside(loss: Any, rating: Mapping[str, Any]) -> Report | None:
    """A known realised loss with its quantile of the predicted distribution; None where it is not known."""
    if loss is None:
        return None
    realised, distribution = float(loss), rating["simulation"]
    losses, masses = distribution["histogram"]["edges"], distribution["histogram"]["mass"]
    below = 0.0
    for left, right, mass in zip(losses[:-1], losses[1:], masses, strict=True):
        share = 1.0 if right <= realised else max(0.0, (realised - left) / (right - left)) if left < realised else 0.0
        below += mass * share
    return {"loss": realised, "quantile_of_prediction": min(1.0, below)}


def _settlement(listing: Listing) -> Report:
    trades = Trade.objects.filter(allocation__auction__listing=listing)
    return {
        "state": listing.state,
        "allocations": Allocation.objects.filter(auction__listing=listing).count(),
        "trades": trades.count(),
        "cash": _money(sum(trades.values_list("cash", flat=True))),
        "ledger_imbalance": ledger_imbalance(),
    }


def render(report: Report) -> str:
    """The report as text, 110 columns, aligned, units in the headings."""
    tape, pool, simulation = report["tape"], report["pool"], report["simulation"]
    quantiles = "  ".join(f"{float(p):.1%} {q:.2%}" for p, q in sorted(simulation["loss_quantiles"].items()))
    lines = [
        f"TAPE        {tape['rows']:,} rows = {tape['accepted']:,} accepted + {tape['rejected']:,} rejected"
        f"   Merkle root {tape['root'][:16]}…",
        *(f"              {reason}: {count:,}" for reason, count in sorted(tape["reasons"].items())),
        f"POOL        {pool['loans']:,} loans, {pool['excluded']:,} excluded, balance {pool['balance']:,.2f},"
        f" WAC {pool['wac']:.2%}, WAM {pool['wam_months']:.1f} months",
        f"              {pool['label']}",
        f"MODEL       {report['model']['name']}: asset correlation {report['model']['asset_correlation']:.1%},"
        f" severity {report['model']['severity_mean']:.1%}",
        *(f"              fallback: {sentence}" for sentence in report["model"]["fallbacks"]),
        f"SIMULATION  {simulation['scenarios']:,} scenarios (effective {simulation['effective_scenarios']:,.0f}),"
        f" seed {simulation['seed']}, {simulation['engine']}",
        f"              expected loss {simulation['expected_loss']:.3%} ± {simulation['expected_loss_se']:.3%} (SE);"
        f" quantiles {quantiles}",
        "",
        *_table(
            "CLASS  BALANCE         ATTACH  DETACH  COUPON  RATING  INTERVAL   PD        EL        EL SE     WAL y"
            "  PRICE     YIELD   SPREAD bp",
            [_class_line(row) for row in report["tranches"]],
        ),
        "",
    ]
    if report["sources_and_uses"]:
        for side in ("sources", "uses"):
            items = "; ".join(f"{k.replace('_', ' ')} {v:,.2f}" for k, v in report["sources_and_uses"][side].items())
            lines.append(f"{side.upper():<12}{items}")
        lines.append(f"{'':<12}total {report['sources_and_uses']['total']:,.2f}")
    for row in report["auction"]:
        cleared = "not cleared" if row["clearing_yield"] is None else f"clears at {row['clearing_yield']:.3%}"
        cover = "" if row["bid_to_cover"] is None else f", cover {row['bid_to_cover']:.2f}×"
        allotted = f"allotted {row['allotted'] or 0:,.2f}"
        lines.append(f"AUCTION {row['tranche']:<4}{row['bids']} bids, {cleared}, {allotted}{cover}")
    settlement, realised = report["settlement"], report["realised"]
    lines.append(
        f"SETTLEMENT  {settlement['trades']} trades, cash {settlement['cash']:,.2f},"
        f" ledger imbalance {settlement['ledger_imbalance']}"
    )
    if realised:
        lines.append(
            f"REALISED    {realised['loss']:.3%} of balance, at the {realised['quantile_of_prediction']:.1%} quantile of"
            " the prediction; one correlated draw, never an input to the rating"
        )
    return "\n".join(lines)


def _table(heading: str, rows: Sequence[str]) -> list[str]:
    return [heading, "─" * len(heading), *rows]


def _class_line(row: Mapping[str, Any]) -> str:
    def cell(value: Any, form: str, width: int) -> str:
        return f"{'—' if value is None else format(value, form):<{width}}"

    interval = None if row["rating_interval"] is None else "–".join(row["rating_interval"])
    return "".join(
        [
            cell(row["name"], "", 7),
            cell(row["balance"], ",.2f", 16),
            cell(row["attach"], ".2%", 8),
            cell(row["detach"], ".2%", 8),
            cell(row["coupon"], ".3%", 8),
            cell(row["rating"], "", 8),
            cell(interval, "", 11),
            cell(row["pd"], ".2e", 10),
            cell(row["expected_loss"], ".2e", 10),
            cell(row["expected_loss_se"], ".2e", 10),
            cell(row["wal_years"], ".2f", 7),
            cell(row["price"], ".4f", 10),
            cell(row["yield"], ".3%", 8),
            cell(row["spread_bp"], ".0f", 9),
        ]
    ).rstrip()
