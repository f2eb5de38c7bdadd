"""Sections of the rating report for what stands beside a rating: control, regulatory capital, concentration.

Keys: pricing/controls.py. An absent figure is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from marketplace.report_blocks import NONE, Facts, Grid, Json, Section, Sentences, number, percent, within

LARGEST = (1, 5, 20)  # loans, as concentration.largest counts them


def control_section(found: Json) -> Section:
    """Lifetime defaults without drawing a loan beside the simulated ones."""
    facts = Facts(
        (
            ("Lifetime default rate, control, %", percent(found.get("default_rate"), 3)),
            ("Lifetime default rate, simulated ± SE, %",
             within(found.get("simulated"), found.get("simulated_se"), lambda value: percent(value, 3))),
            ("Difference in standard errors", number(found.get("z"))),
            ("Approximation", str(found.get("approximation") or NONE)),
        )
    )  # fmt: skip
    quantiles = found.get("quantiles") or {}
    grid = Grid(
        "Quantiles of the default rate, %", ("Level, %", "Control", "Simulated"),
        tuple(
            (percent(level, 1), percent(row.get("control"), 3), percent(row.get("simulated"), 3))
            for level, row in sorted(quantiles.items(), key=lambda item: float(item[0]))
        ),
    )  # fmt: skip
    return Section("Semi-analytic control", (facts, grid))


def capital_section(found: Json) -> Section:
    """Risk weights of the classes; SEC-SA decides."""
    grid = Grid(
        "Risk weight, %",
        ("Class", "Attach, %", "Detach, %", "SEC-SA", "SEC-IRBA", "SEC-ERBA", "Look-through cap"),
        tuple(
            (
                row["name"], percent(row.get("attachment")), percent(row.get("detachment")),
                percent(row.get("sec_sa"), 1), percent(row.get("sec_irba"), 1), percent(row.get("sec_erba"), 1),
                "yes" if row.get("capped") else "no",
            )
            for row in found.get("classes", ())
        ),
    )  # fmt: skip
    facts = Facts(
        (
            ("Capital of the pool, standardised, %", percent(found.get("ksa"))),
            ("Capital of the pool, internal ratings, %", percent(found.get("kirb"))),
            ("Delinquent share, %", percent(found.get("delinquent"))),
            ("Reserve, % of the pool", percent(found.get("reserve"))),
            ("Legal maturity, years", number(found.get("maturity_years"))),
        )
    )
    line = "SEC-SA decides: an indicative grade is no external rating, so that SEC-ERBA is an illustration."
    return Section("Regulatory capital", (Sentences((line,)), grid, facts))


def concentration_section(found: Json) -> Section:
    """Largest loans and sectors, apart from the copula."""
    shares, losses = (list(found.get(key, ())) for key in ("largest", "largest_loss"))
    facts = Facts(
        (
            ("Loans, effective number", number(found.get("effective_number"), 1)),
            ("Herfindahl index", number(found.get("hhi"), 6)),
            *(
                (
                    f"Largest {count} loan{'' if count == 1 else 's'}: share; loss if all default, %",
                    f"{percent(share)}; {percent(loss)}",
                )
                for count, share, loss in zip(LARGEST, shares, losses, strict=False)
            ),
        )
    )
    sectors = Grid(
        "By sector", ("Sector", "Share, %"),
        tuple((row.get("name") or "unknown", percent(row.get("share"))) for row in found.get("sectors", ())),
    )  # fmt: skip
    return Section("Concentration", (facts, sectors))


CONTROLS: Mapping[str, Callable[[Json], Section]] = {
    "control": control_section,
    "capital": capital_section,
    "concentration": concentration_section,
}
