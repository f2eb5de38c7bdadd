"""The rating report as blocks of text: facts, tables, drawings. The page and the PDF both say exactly this.

Not here: layout (rating_pdf.py, templates), and who may see a report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marketplace.model_exhibits import assumption_rows, correlation_rows, severity_rows, shown, uncertainty_rows
from marketplace.rating_controls import CONTROLS
from marketplace.report_blocks import (
    NONE,
    Block,
    Facts,
    Grid,
    Json,
    Plot,
    RatingDocument,
    Section,
    Sentences,
    band,
    estimate,
    flat,
    manifest_rows,
    number,
    percent,
    rare,
    span,
    within,
)
from marketplace.report_sensitivities import sensitivity_section
from pooling.models import Pool
from rating.engine.inventory import INVENTORY
from rating.engine.model import CreditModel
from rating.validation import CheckRow

# Tables of the pool's stratification that the report prints; the listing has the others.
STRATA = ("grade", "term", "state")
MOST_STRATA = 12
# Tops of a rating result that the sections below print; whatever else a result holds is printed as it is.
KNOWN = {"pool", "simulation", "tranches", "scale", "structure", "collateral"}


@dataclass(frozen=True)
class Subject:
    """What a report is about, taken from selectors by the caller. model: None where another version stored it.
    sensitivities: the result of the run, None where none is done."""

    deal: str
    originator: str
    made: str
    result: Json
    manifest: Json
    listing_manifest: Json
    pool: Pool
    model: CreditModel | None
    model_digest: str
    realised: Json | None
    sensitivities: Json | None = None


# ---------------------------------------------------------------------------------------------------------- sections
def rating_document(subject: Subject, checks: Sequence[CheckRow]) -> RatingDocument:
    """The report on one rated deal. Absent figures are dashes, never left out."""
    sections = (
        _summary(subject), _pool(subject), _losses(subject), _classes(subject), *_others(subject),
        sensitivity_section(subject.sensitivities), _assumptions(subject), _limits(subject), _validation(checks),
        _manifest(subject),
    )  # fmt: skip
    return RatingDocument(
        title=f"Rating report: {subject.deal}",
        lead=f"{subject.originator} · {subject.pool.label} · made {subject.made} UTC",
        sections=sections,
        provenance=_provenance(subject),
    )


def _provenance(subject: Subject) -> str:
    found = {**subject.listing_manifest, **subject.manifest}
    names = (("tape_root", "tape"), ("spec_hash", "spec"), ("credit_model", "model"), ("flows_digest", "flows"))
    parts = [f"{label} {str(found[key])[:10]}" for key, label in names if found.get(key)]
    parts += [f"{key} {found[key]}" for key in ("seed", "scenarios") if key in found]
    engine = str(subject.result.get("simulation", {}).get("engine", NONE)).partition(";")[0]
    return " · ".join([*parts, engine])


def _summary(subject: Subject) -> Section:
    simulation, rows = subject.result.get("simulation", {}), subject.result.get("tranches", ())
    header = ("Class", "Balance, USD", "Attach, %", "Detach, %", "Target", "Rating", "± 2 SE", "WAL, years", "EL, %")
    grid = Grid(
        "", header,
        tuple(
            (
                row["name"], number(row["balance"] / 100), percent(row.get("attach")), percent(row.get("detach")),
                row.get("target") or NONE, row.get("rating") or NONE, span(row.get("rating_interval")),
                number(row.get("wal_years")), rare(row.get("expected_loss")),
            )
            for row in rows
        ),
    )  # fmt: skip
    facts = Facts(
        (
            ("Expected loss of the pool, % of the cut-off balance",
             within(simulation.get("expected_loss"), simulation.get("expected_loss_se"), lambda v: percent(v, 3))),
            ("Model interval of it, %", band(simulation.get("interval"), percent)),
            ("Scenarios", f"{number(simulation.get('scenarios'), 0)}, worth "
             f"{number(simulation.get('effective_scenarios'), 0)} equal ones"),
            ("Scale, rules", f"{subject.result.get('scale', NONE)}, {simulation.get('rules', NONE)}"),
        )
    )  # fmt: skip
    plot = Plot("Capital structure, % of the pool", "structure", {"classes": list(rows)})
    return Section("Summary", (grid, facts, plot))


def _pool(subject: Subject) -> Section:
    pool = subject.pool
    facts = Facts(
        (
            ("Loans", number(pool.loan_count, 0)),
            ("Balance at the cut-off, USD", number(pool.balance / 100)),
            ("Weighted average coupon, % a year", percent(pool.wac)),
            ("Weighted average months to maturity", number(float(pool.wam_months), 1)),
            ("As of", pool.as_of or "the tape"),
            ("Loans left out by the eligibility rules", number(pool.excluded, 0)),
            ("Synthetic", "yes: loans are aligned in age, the pool never stood like this" if pool.synthetic else "no"),
            ("Tape, Merkle root", pool.tape.root),
        )
    )
    tables = {table["dimension"]: table["strata"] for table in (pool.stratifications or {}).get("tables", ())}
    grids = tuple(
        Grid(
            f"By {dimension}", ("Stratum", "Loans", "Balance, USD", "Share, %", "Coupon, %", "Months left"),
            tuple(_stratum(row) for row in tables[dimension][:MOST_STRATA]),
        )
        for dimension in STRATA if tables.get(dimension)
    )  # fmt: skip
    return Section("Pool", (facts, *grids))


def _stratum(row: Json) -> tuple[str, ...]:
    return (row["name"], number(row["count"], 0), number(row["balance_cents"] / 100), percent(row["share"]),
            percent(row["wac"]), number(row["wam"], 1))  # fmt: skip


def _losses(subject: Subject) -> Section:
    simulation = subject.result.get("simulation", {})
    errors, shortfalls = simulation.get("loss_quantiles_se", {}), simulation.get("expected_shortfall", {})
    levels = sorted(simulation.get("loss_quantiles", {}) | shortfalls, key=float)
    grid = Grid(
        "Quantiles and expected shortfall, % of the cut-off balance",
        ("Level, %", "Loss not exceeded", "SE", "Mean of the worst beyond it", "SE"),
        tuple(
            (
                percent(level, 1), percent(simulation.get("loss_quantiles", {}).get(level), 3),
                percent(errors.get(level, {}).get("se"), 3), percent(shortfalls.get(level, {}).get("value"), 3),
                percent(shortfalls.get(level, {}).get("se"), 3),
            )
            for level in levels
        ),
    )  # fmt: skip
    base = simulation.get("base_case", {})
    facts = Facts(
        (
            ("Base case: loss, %", percent(base.get("loss"), 3)),
            ("Base case: defaults, %", percent(base.get("default_rate"), 3)),
            ("Base case: prepayment speed, % a year", percent(base.get("cpr"))),
            ("Base case: severity, %", percent(base.get("severity"))),
            ("Lags of charge-off and recovery, months",
             f"{number(base.get('charge_off_lag'), 0)}, {number(base.get('recovery_lag'), 0)}"),
            *(
                (
                    ("Realised loss, %, set beside and never used", percent(subject.realised.get("loss"))),
                    ("Its quantile of the prediction, %", percent(subject.realised.get("quantile_of_prediction"), 1)),
                )
                if subject.realised
                else ()
            ),
        )
    )  # fmt: skip
    plots: list[Block] = []
    if simulation.get("histogram"):
        marks = [(row["name"], row["attach"]) for row in subject.result.get("tranches", ()) if row.get("attach")]
        data = {"histogram": simulation["histogram"], "expected": simulation.get("expected_loss"), "marks": marks}
        plots.append(Plot("Distribution of the pool's loss, with attachment points", "loss", data))
    if simulation.get("by_month"):
        plots.append(Plot("Cumulative loss by month, mean and quantiles", "fan", {"by_month": simulation["by_month"]}))
    if subject.result.get("collateral", {}).get("balances"):
        data = {"collateral": subject.result["collateral"], "classes": list(subject.result.get("tranches", ()))}
        plots.append(Plot("Collateral and notes in the base case, millions", "balances", data))
    return Section("Loss of the pool", (grid, facts, *plots))


# One line a figure, in the order of a reader's questions: what it is, what grade, why, how sure, how much room.
_FIGURES: tuple[tuple[str, Callable[[Json], str]], ...] = (
    ("Coupon, % a year", lambda r: percent(r.get("coupon"), 3)),
    ("Target grade", lambda r: r.get("target") or NONE),
    ("Grade, indicative", lambda r: r.get("rating") or NONE),
    ("Grades within ± 2 simulation errors", lambda r: span(r.get("rating_interval"))),
    ("Converged", lambda r: {True: "yes", False: "no"}.get(r.get("converged"), NONE)),  # type: ignore[arg-type]
    ("Grade by expected loss", lambda r: r.get("grade_by_loss") or NONE),
    ("Grade by default probability", lambda r: r.get("grade_by_pd") or NONE),
    ("Grade by multiple of the base case", lambda r: r.get("grade_by_multiple") or NONE),
    ("Cap of a short history", lambda r: (r.get("cap") or {}).get("grade") or NONE),
    ("Expected loss ± SE, %", lambda r: within(r.get("expected_loss"), r.get("expected_loss_se"))),
    ("Expected loss, model interval, %", lambda r: band((r.get("interval") or {}).get("expected_loss"))),
    ("Default probability ± SE, %", lambda r: within(r.get("pd"), r.get("pd_se"))),
    ("Default probability, upper bound, %", lambda r: rare(r.get("pd_upper"))),
    ("Default probability, model interval, %", lambda r: band((r.get("interval") or {}).get("pd"))),
    ("Loss given default ± SE, %", lambda r: within(r.get("lgd"), r.get("lgd_se"), percent)),
    ("Average life ± SE, years", lambda r: within(r.get("wal_years"), r.get("wal_se"), number)),
    ("Average life, deviation over scenarios, years", lambda r: number(r.get("wal_sd"))),
    ("Interest shortfall, most on a date, %", lambda r: rare(r.get("interest_shortfall"))),
    ("Interest shortfall, probability of any, %", lambda r: rare(r.get("interest_shortfall_probability"))),
    ("Break-even CDR, % a year", lambda r: percent((r.get("break_even") or {}).get("cdr"))),
    ("Break-even loss of the base case scaled, %", lambda r: percent((r.get("break_even") or {}).get("loss"))),
    ("Break-even loss, its multiple", lambda r: number((r.get("break_even") or {}).get("multiple"))),
    ("Break-even multiple in the scenario set", lambda r: number(r.get("break_even_multiple"))),
    ("Multiple that the grade requires", lambda r: number(r.get("required_multiple"))),
    ("Scenario default rate of the grade, %", lambda r: estimate(r.get("scenario_default_rate"))),
    ("Cushion above it, points", lambda r: percent(r.get("cushion"))),
    ("Cushion of the loss, points", lambda r: percent(r.get("cushion_loss"))),
    ("Sized inside its target by, errors", lambda r: number((r.get("confidence") or {}).get("errors"), 1)),
)
_CLASS_KEYS = {
    "name", "balance", "attach", "detach", "lowered", "coupon", "target", "rating", "rating_interval", "converged",
    "grade_by_loss", "grade_by_pd", "grade_by_multiple", "cap", "expected_loss", "expected_loss_se", "interval", "pd",
    "pd_se", "pd_upper", "lgd", "lgd_se", "wal_years", "wal_se", "wal_sd", "wal_quantiles", "interest_shortfall",
    "interest_shortfall_se", "interest_shortfall_probability", "interest_shortfall_probability_se", "break_even",
    "break_even_multiple", "required_multiple", "scenario_default_rate", "scenario_loss", "cushion", "cushion_loss",
    "confidence",
}  # fmt: skip


def _classes(subject: Subject) -> Section:
    rows = list(subject.result.get("tranches", ()))
    header = ("Figure", *(row["name"] for row in rows))
    grid = Grid("", header, tuple((label, *(write(row) for row in rows)) for label, write in _FIGURES))
    sentences = [f"{row['name']}: {row['lowered']}." for row in rows if row.get("lowered")]
    sentences += [f"{row['name']}: capped, {row['cap']['reason']}." for row in rows if row.get("cap")]
    structure = subject.result.get("structure", {})
    facts = Facts(
        (
            ("Sizing", structure.get("reason") or NONE),
            ("Dropped", shown(structure.get("dropped"))),
            ("Worst error of cash conservation, USD", f"{structure.get('conservation_error') or 0:.1e}"),
        )
    )
    sentences.append(
        "Two intervals stand apart: ± SE is what more scenarios would narrow; the model interval is what other "
        "parameters, as likely from the same data, would have given."
    )
    extra = tuple(
        Facts(tuple(flat({key: row[key] for key in row if key not in _CLASS_KEYS})), title=f"Class {row['name']}")
        for row in rows if any(key not in _CLASS_KEYS for key in row)
    )  # fmt: skip
    return Section("Classes", (grid, Sentences(tuple(sentences)), facts, *extra))


def _others(subject: Subject) -> tuple[Section, ...]:
    """The controls beside the rating, and what else a result holds, leaf by leaf."""
    known = tuple(section(subject.result[key]) for key, section in CONTROLS.items() if subject.result.get(key))
    rest = tuple(
        Section(key.replace("_", " ").capitalize(), (Facts(tuple(flat(value)) or ((key, NONE),)),))
        for key, value in sorted(subject.result.items())
        if key not in KNOWN and (key not in CONTROLS or not value)
    )
    return known + rest


def _assumptions(subject: Subject) -> Section:
    model = subject.model
    if model is None:
        return Section("Assumptions", (Facts((("Assumption set", subject.model_digest or NONE),)),))
    ranges = [(row.name, percent(row.value), band({"low": row.low, "high": row.high}, percent), row.text)
              for row in correlation_rows(model)]  # fmt: skip
    uncertain = [(row.name, number(row.value, 4), band({"low": row.low, "high": row.high}, lambda v: number(v, 4)),
                  row.text) for row in uncertainty_rows(model)]  # fmt: skip
    severity = severity_rows(model)
    numbers = [(row.name.replace("_", " "), row.value, row.kind, row.grounds or NONE) for row in assumption_rows(model)]
    blocks: list[Block] = [
        Facts((("Name", model.name), ("SHA-256", subject.model_digest))),
        Grid("Correlation, %", ("Figure", "Value", "95 %", "What the range is"), tuple(ranges), 4, (28, 12, 22, 38)),
        Grid("Parameter uncertainty", ("Drawn per scenario", "Estimate", "95 % of draws", "How"), tuple(uncertain), 4,
             (28, 12, 22, 38)),
        Grid("Severity by band, %", ("Band", *(name for name, _ in severity)),
             (("Loss of a charged-off balance", *(percent(value, 1) for _, value in severity)),)),
        Grid("Every number", ("Quantity", "Value", "Kind", "Grounds"), tuple(numbers), 4, (19, 25, 11, 45)),
    ]  # fmt: skip
    if model.fallbacks:
        blocks.insert(1, Sentences(tuple(model.fallbacks), title="What stands in"))
    return Section("Assumptions", tuple(blocks))


def _limits(subject: Subject) -> Section:
    rows = tuple((entry.name, limit) for entry in INVENTORY for limit in entry.limits)
    return Section("Limits of the models", (Grid("", ("Model", "Limit"), rows, 2, (32, 68)),))


def _validation(checks: Sequence[CheckRow]) -> Section:
    passed = sum(row.passed for row in checks)
    rows = tuple(
        (row.check, row.source, f"{row.expected:.7g}", f"{row.found:.7g}", number(row.z), "yes" if row.passed else "no")
        for row in checks
    )
    header = ("Check", "Expected figure from", "Expected", "Found", "z", "Passed")
    lead = Sentences((f"{passed} of {len(checks)} checks passed when this report was drawn, by the same build.",))
    return Section("Validation", (lead, Grid("", header, rows, 2, (34, 30, 12, 12, 6, 6))))


def _manifest(subject: Subject) -> Section:
    return Section(
        "Manifest",
        (
            Sentences(("With the tape, these make the rating again to the last bit: manage.py reproduce.",)),
            Facts(manifest_rows(subject.manifest), title="Of the rating"),
            Facts(manifest_rows(subject.listing_manifest), title="Of the listing, frozen"),
        ),
    )
