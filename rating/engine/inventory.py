"""Inventory of models: each one in use with owner, version, data, limits, the tests that check it, last validation.

A table of data, in the manner of SR 11-7 (Federal Reserve, 2011, section VI: "a comprehensive set of information for
models implemented for use"). Not here: the checks that run on the page; see rating/validation.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from rating.engine.grades import RULES_VERSION
from rating.engine.scale import SCALE_VERSION

IN_USE, NOT_BUILT = "in use", "not built"
VALIDATED = "2026-11-27"


@dataclass(frozen=True)
class ModelEntry:
    """One model. modules: importable names; tests, documents: paths in the repository; oracles: files of known answers
    that its tests read. data: what it was fitted to, or that it is fitted to nothing. validated: ISO date of the last
    time that all of `tests` were reviewed and run, "" where never; evidence: what was found then.
    """

    key: str
    name: str
    owner: str
    version: str
    purpose: str
    data: str
    limits: tuple[str, ...]
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    oracles: tuple[str, ...] = ()
    documents: tuple[str, ...] = ("docs/rating-methodology.md",)
    validated: str = VALIDATED
    evidence: str = ""
    status: str = IN_USE


_RATING, _PRICING, _CASH = "rating engine", "pricing engine", "cash-flow engine"

INVENTORY: tuple[ModelEntry, ...] = (
    ModelEntry(
        key="default-hazards",
        name="Default hazards by grade, term and month on book",
        owner=_RATING,
        version="person-months, right-censored",
        purpose="lifetime and monthly default probability of a loan",
        data="the history tape named in the assumption set, loans issued before its cut-off; without one, Prosper's "
        "published ranges of estimated annual loss and stated assumptions",
        limits=(
            "months on book seen on fewer than 500 loan-months hold the mean of the last six",
            "a term not seen borrows the best observed term's hazards at the same share of the term",
            "a default is known at charge-off only: the last four months before the cut-off are not read",
        ),
        modules=("rating.engine.hazards", "rating.engine.calibration", "rating.engine.curves"),
        tests=("tests/engine/test_rating_hazards.py", "tests/engine/test_rating_backtest.py"),
        documents=("docs/rating-methodology.md", "docs/rating-backtest.md"),
        evidence="reproduces Aalen-Johansen curves; the back-test's misses are printed in its document",
    ),
    ModelEntry(
        key="prepayment-hazards",
        name="Prepayment hazards and their link to the market",
        owner=_RATING,
        version="competing risks, default first in a month",
        purpose="how long a loan stays; competes with default for every loan",
        data="the same history; the dispersion and the link are assumptions, as is the speed where there is no history",
        limits=("no rate incentive: a loan does not prepay faster because rates fell", "no burnout, no season"),
        modules=("rating.engine.hazards", "rating.engine.curves"),
        tests=("tests/engine/test_rating_hazards.py", "tests/engine/test_rating_simulation.py"),
        evidence="simulated incidences agree with those of the hazards",
    ),
    ModelEntry(
        key="correlation",
        name="Factor correlation and its uncertainty",
        owner=_RATING,
        version="one market, region factors, Gaussian or Student-t",
        purpose="how defaults cluster",
        data="default counts of the history by issue quarter and region; prior about the Basel retail correlation",
        limits=(
            "fewer than 20 quarters: neither below the regulatory correlation nor a level deviation under 0.20",
            "four overlapping quarters count as one independent year (assumption)",
        ),
        modules=("rating.engine.posterior", "rating.engine.vintages", "rating.engine.copula", "rating.engine.shocks"),
        tests=(
            "tests/engine/test_rating_posterior.py", "tests/engine/test_rating_copula.py",
            "tests/engine/test_rating_closed_forms.py",
        ),
        oracles=("rating/01_vasicek_lhp.json", "rating/13_pairwise_joint_default.json"),
        evidence="known correlations come back from simulated counts",
    ),
    ModelEntry(
        key="severity",
        name="Severity by band",
        owner=_RATING,
        version="Bühlmann–Straub by band, probit-scale dispersion",
        purpose="loss share of a balance charged off",
        data="charge-offs of the history, net of collection cost; below 50 of them a stated 90 %",
        limits=(
            "recoveries carry no date on the history tape, so late ones on early charge-offs count too",
            "the dispersion between scenarios and the lag of the recovery are assumptions",
        ),
        modules=("rating.engine.vintages", "rating.engine.uncertainty"),
        tests=("tests/engine/test_rating_posterior.py", "tests/engine/test_rating_hazards.py"),
        evidence="means and variances of severities with known answers come back",
    ),
    ModelEntry(
        key="scenarios",
        name="Weighted scenario sets",
        owner=_RATING,
        version="scrambled Sobol, wide proposal N(−1.2, 1.6²) along the loss direction",
        purpose="economies and parameters that the pool may meet",
        data="fitted to nothing: a sampling scheme; its weights are exact density ratios",
        limits=("simulation errors take scenarios for independent; under Sobol points they are conservative",),
        modules=("rating.engine.scenarios", "rating.engine.direction"),
        tests=("tests/engine/test_rating_scenarios.py",),
        evidence="weighted moments are those of the standard normal",
    ),
    ModelEntry(
        key="exact-engine",
        name="Exact simulation engine",
        owner=_RATING,
        version="event-driven on Philox streams, Numba or NumPy",
        purpose="default month, prepayment month and cash of every loan in every scenario",
        data="fitted to nothing: it draws what the assumption set says",
        limits=("static pool: no replenishment of loans", "fixed-rate level-payment loans"),
        modules=("rating.engine.exact", "rating.engine.kernels", "rating.engine.fallback", "rating.engine.philox"),
        tests=("tests/engine/test_rating_simulation.py",),
        oracles=("rating/03_finite_homogeneous_pool.json",),
        evidence="agrees with a loan-by-loan reference and with an exact pool distribution within 4 standard errors",
    ),
    ModelEntry(
        key="granular-engine",
        name="Granular simulation engine",
        owner=_RATING,
        version="conditional cash tabulated in the factors",
        purpose="pools of 250,000 loans and more, at a cost that does not grow with them",
        data="fitted to nothing: tables of the conditional expectation, interpolated",
        limits=(
            "the pool's own noise is one shock a month; small classes of small pools need the exact engine",
            "its bias is measured against the exact engine and stated",
        ),
        modules=("rating.engine.granular", "rating.engine.granular_tables", "rating.engine.granular_bias"),
        tests=("tests/engine/test_rating_granular.py",),
        oracles=("rating/01_vasicek_lhp.json",),
        evidence="gives the large-pool distribution; agrees with the exact engine within its noise",
    ),
    ModelEntry(
        key="waterfall",
        name="Waterfall",
        owner=_CASH,
        version="deal language 1",
        purpose="who is paid what from the pool's cash on each date",
        data="fitted to nothing: executes the deal's own specification",
        limits=("base-case trigger levels are the deal's; no servicer discretion",),
        modules=("pooling.engine.waterfall.execute", "pooling.engine.waterfall.compile"),
        tests=(
            "tests/engine/test_waterfall_execute.py",
            "tests/engine/test_waterfall_properties.py",
            "tests/engine/test_oracle_deals.py",
        ),
        documents=("docs/deal-language.md",),
        evidence="cash in equals cash out on every path and date; agrees with a scalar reference",
    ),
    ModelEntry(
        key="scale",
        name="Indicative scale and grade rules",
        owner=_RATING,
        version=f"{SCALE_VERSION}, {RULES_VERSION}",
        purpose="from expected loss, default probability and multiple of the base-case loss to a grade",
        data="fitted to nothing: four round numbers of our own; compared with published tables in a test only",
        limits=("an indicative grade is no agency's rating", "no validation against rated defaults exists"),
        modules=("rating.engine.scale", "rating.engine.grades"),
        tests=("tests/engine/test_rating_scale.py", "tests/engine/test_rating_grades.py"),
        evidence="monotone in notch and horizon; same order of magnitude as published idealised losses",
    ),
    ModelEntry(
        key="sizing",
        name="Sizing of classes",
        owner=_RATING,
        version="bisection on the upper confidence bound",
        purpose="largest class that still earns its target grade",
        data="fitted to nothing",
        limits=("whole thousands; a class below 0.5 % of the pool is dropped and said so",),
        modules=("rating.engine.sizing", "rating.engine.tranches"),
        tests=("tests/engine/test_rating_sizing.py", "tests/engine/test_rating_tranches.py"),
        evidence="every class reaches its target; little room is left above it",
    ),
    ModelEntry(
        key="pricing-grid",
        name="Spreads by grade and life over the Treasury curve",
        owner=_PRICING,
        version="snapshot us_2026_05_21",
        purpose="par coupons, guide yields and prices of classes",
        data="dated public comparables of prime auto deals over swaps, a basis and an add-on per asset class",
        limits=("the add-on of unsecured consumer loans is an assumption", "one date only"),
        modules=(
            "pricing.market.us_2026_05_21",
            "pricing.engine.spread",
            "pricing.engine.snapshot",
            "pricing.engine.curve",
            "pricing.engine.grid_fit",
        ),
        tests=(
            "tests/engine/test_pricing_curve.py",
            "tests/engine/test_pricing_grid_fit.py",
            "tests/engine/test_pricing_tranches.py",
        ),
        documents=("docs/pricing-methodology.md",),
        evidence="factors and yields agree with published oracles; a class left out is met within 8.2 % (median)",
    ),
    ModelEntry(
        key="pricing-views",
        name="Price of systematic risk and decomposition of spreads",
        owner=_PRICING,
        version="views-1",
        purpose="values loans, classes and residual under one measure, and says what each investor type needs",
        data="price of risk, liquidity and return on capital are assumptions or taken from a published regression",
        limits=(
            "one market factor is priced",
            "insurers' factors below BB+, fund haircuts and servicing costs are marked as assumptions",
        ),
        modules=(
            "pricing.engine.scenario_pricing",
            "pricing.engine.scenario_loans",
            "pricing.engine.decomposition",
            "pricing.engine.reconciliation",
            "pricing.engine.charges",
        ),
        tests=(
            "tests/engine/test_pricing_scenario.py",
            "tests/engine/test_pricing_scenario_loans.py",
            "tests/engine/test_pricing_decomposition.py",
            "tests/engine/test_pricing_reconciliation.py",
            "tests/engine/test_pricing_charges.py",
        ),
        documents=("docs/pricing-methodology.md",),
        evidence="payees get what the pool gives under any price of risk; re-weighting equals simulating again",
    ),
    ModelEntry(
        key="loan-rates",
        name="Required rate of a loan",
        owner=_PRICING,
        version="seven layers",
        purpose="says what rate a loan would have to bear; enters no price",
        data="hazards and severity of the assumption set; all requirements but funding are assumptions of the reader",
        limits=("the model's estimates, without their uncertainty", "fixed level-pay loans"),
        modules=("pricing.engine.loans", "pricing.engine.loan_apr"),
        tests=("tests/engine/test_pricing_loans.py", "tests/engine/test_pricing_loan_apr.py"),
        oracles=("pricing/13_marketplace_loan_pricing.json",),
        documents=("docs/pricing-methodology.md",),
        evidence="layers add up exactly; a printed table is met within 0.2 points",
    ),
    ModelEntry(
        key="surveillance",
        name="Re-rating on a servicer's months",
        owner=_RATING,
        version="late from 30 days, no cure",
        purpose="rates the remaining loans in mid-life; actual against expected loss",
        data="the servicer's monthly tapes and the rating's own assumption set",
        limits=(
            "no parameter is updated and no factor conditioned on losses so far",
            "pools of one collateral group",
        ),
        modules=("rating.engine.surveillance", "rating.engine.transitions", "pricing.rerating"),
        tests=(
            "tests/engine/test_rating_surveillance.py",
            "tests/engine/test_rating_transitions.py",
            "tests/engine/test_pricing_rerating.py",
        ),
        evidence="month 0 gives the issued rating to the bit; a replay stopped and restarted equals the whole",
    ),
    ModelEntry(
        key="semi-analytic",
        name="Semi-analytic control",
        owner=_RATING,
        version="conditional independence, one and two factors",
        purpose="the pool's loss distribution without drawing a loan, beside the simulation",
        data="fitted to nothing: quadrature of what the assumption set says",
        limits=("no months and no cash", "at most a market and one factor a sector"),
        modules=("rating.engine.semianalytic", "rating.engine.creditrisk_plus"),
        tests=("tests/engine/test_rating_closed_forms.py",),
        oracles=(
            "rating/03_finite_homogeneous_pool.json", "rating/05_two_sector_three_factor.json",
            "rating/09_creditrisk_plus_25.json",
        ),
        evidence="agrees with exact distributions of finite pools",
    ),
    ModelEntry(
        key="capital",
        name="Regulatory capital",
        owner=_RATING,
        version="SEC-SA decides; SEC-IRBA, SEC-ERBA as illustration",
        purpose="risk weights of classes, beside the rating",
        data="fitted to nothing: the formulas of the Basel Framework, CRE31 and CRE40 to CRE44",
        limits=("an indicative grade is no external rating: SEC-ERBA is an illustration", "no jurisdiction's options"),
        modules=("rating.engine.capital",),
        tests=("tests/engine/test_rating_capital.py", "tests/engine/test_rating_closed_forms.py"),
        oracles=("rating/10_basel_irb_corporate_rw.json",),
        evidence="agrees with printed risk weights and examples",
    ),
    ModelEntry(
        key="loan-explanation",
        name="Points of a loan's lifetime PD",
        owner=_RATING,
        version="Shapley values on 20 points to double the odds",
        purpose="says why a loan has the PD it has; enters no rating",
        data="fitted to nothing: reads the assumption set and the pool",
        limits=("the average over the pool depends on the pool: the same loan has other points elsewhere",),
        modules=("rating.engine.explanation",),
        tests=("tests/engine/test_rating_explanation.py",),
        evidence="sums exactly; equals a scalar walk through all orders",
    ),
)  # fmt: skip


def entry_of(key: str) -> ModelEntry:
    """The model of this key. Raises ValueError where there is none."""
    for entry in INVENTORY:
        if entry.key == key:
            return entry
    raise ValueError(f"key: {key!r} is none of {', '.join(entry.key for entry in INVENTORY)}")
