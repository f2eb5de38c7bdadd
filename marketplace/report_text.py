"""The deal report as plain text for a structurer's terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from marketplace.report import Report


def render(report: Report) -> str:
    """The report as text, aligned, units in the headings."""
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
            "CLASS  BALANCE         ATTACH  DETACH  COUPON  RATING* INTERVAL   PD        EL        EL SE     BREAK-EVEN"
            "  WAL y  PRICE     YIELD   SPREAD bp",
            [_class_line(row) for row in report["tranches"]],
        ),
        *_notes(report),
        "",
        *_table(
            "CLASS  BY EL   BY PD   BY MULTIPLE  EL, MODEL 95 %        LGD      WAL SD y  BREAK-EVEN CDR  DEFAULTS  "
            "LOSS   NEEDED   CUSHION",
            [_grade_line(row) for row in report["tranches"] if row["rating"] is not None],
        ),
        "  Three rules on one scale, the worst stands. Model: what the uncertainty of level, correlation and severity"
        " moves.",
        "  Break-even: flat CDR, default rate and multiple of base-case loss that first hurt the class; needed: the"
        " default rate at the grade's probability.",
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
            f"REALISED    {realised['loss']:.3%} of balance, at the {realised['quantile_of_prediction']:.1%} quantile"
            " of the prediction; one correlated draw, never an input to the rating"
        )
    return "\n".join(lines)


def _notes(report: Report) -> list[str]:
    """What the columns mean, and what did not come out as asked."""
    structure, pricing = report["structure"], report["pricing"]
    lines = [
        f"* indicative, on the project's own scale {structure['scale']}; interval: simulation error only, and classes"
        " are priced as its worse end.",
        "  Break-even: pool loss that first hurts the class, as a multiple of the expected one. R is retained.",
        f"PRICES      market of {pricing['as_of']} ({pricing['snapshot']}), {pricing['speed']};",
        f"              {pricing['compounding']}; spread over the {pricing['spread_over']}",
    ]
    if not structure["converged"]:
        lines.append(f"STRUCTURE   not converged: {structure['reason']}")
    lines += [f"DROPPED     {sentence}" for sentence in structure["dropped"].values()]
    lines += [f"LOWERED     {row['lowered']}" for row in report["tranches"] if row["lowered"]]
    loose = [row["name"] for row in report["tranches"] if row["converged"] is False]
    if loose:
        lines.append(f"              the interval of {', '.join(loose)} spans grades: more scenarios narrow it")
    return lines


def _table(heading: str, rows: Sequence[str]) -> list[str]:
    return [heading, "─" * len(heading), *rows]


def cell(value: Any, form: str, width: int) -> str:
    """A value in its column, a dash for nothing."""
    return f"{'—' if value is None else format(value, form):<{width}}"


def _grade_line(row: Mapping[str, Any]) -> str:
    model, even = (row["interval"] or {}).get("expected_loss"), row["break_even"] or {}
    needed = row["scenario_default_rate"]
    return "".join(
        [
            cell(row["name"], "", 7),
            cell(row["grade_by_loss"], "", 8),
            cell(row["grade_by_pd"], "", 8),
            cell(row["grade_by_multiple"], "", 13),
            cell(model and f"{model['low']:.2e} to {model['high']:.2e}", "", 22),
            cell(row["lgd"], ".2%", 9),
            cell(row["wal_sd"], ".2f", 10),
            cell(even.get("cdr"), ".2%", 16),
            cell(even.get("scaled_default_rate"), ".2%", 10),
            cell(even.get("multiple"), ".2f", 7),
            cell(needed and needed["value"], ".2%", 9),
            cell(row["cushion"], ".2%", 7),
        ]
    ).rstrip()


def _class_line(row: Mapping[str, Any]) -> str:
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
            cell(row["break_even_multiple"], ".2f", 12),
            cell(row["wal_years"], ".2f", 7),
            cell(row["price"], ".4f", 10),
            cell(row["yield"], ".3%", 8),
            cell(row["spread_bp"], ".0f", 9),
        ]
    ).rstrip()
