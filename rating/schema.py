"""The API of ratings: runs with their progress, and reports with every figure's standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import graphene
from graphql import GraphQLResolveInfo

from accounts.graphql.connections import Connection, connection_field, page
from accounts.graphql.context import context_of
from accounts.graphql.nodes import NodeType, visible_node
from accounts.graphql.scalars import JSON, BigInt, Decimal, Money, money
from pooling.loaders import DealLoader, DealVersionLoader
from pooling.schema import DealType, DealVersionType, listed
from rating.loaders import (
    CreditModelLoader,
    CreditModelOfReportLoader,
    RatingRunLoader,
    ReportOfRunLoader,
    TemplateOfReportLoader,
)
from rating.models import RatingReport, RatingRun
from runs.loaders import RunLoader
from runs.schema import RunType


class CreditModelType(graphene.ObjectType):
    """The assumptions of a rating; with loans, seed and scenarios they give the same losses again."""

    class Meta:
        name = "CreditModel"

    digest = graphene.String(required=True, description="SHA-256 of the payload as canonical JSON.")
    name = graphene.String(required=True)
    payload = graphene.NonNull(JSON, description="Hazards, bands, severity, correlation, and where each comes from.")


class RatingRunType(NodeType):
    """A request to rate a deal: the simulation, then the structuring that follows it."""

    class Meta:
        name = "RatingRun"
        model = RatingRun
        fields = ("scenarios", "seed", "created_at")

    credit_model = graphene.NonNull(CreditModelType)
    deal = graphene.NonNull(DealType)
    simulation = graphene.NonNull(RunType)
    structuring = graphene.Field(RunType, description="Null until the simulation is done.")
    report = graphene.Field(lambda: RatingReportType, description="Null until both are done.")

    @staticmethod
    def resolve_credit_model(root: RatingRun, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(CreditModelLoader).load(root.credit_model_id)

    @staticmethod
    def resolve_deal(root: RatingRun, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealLoader).load(root.deal_id)

    @staticmethod
    def resolve_simulation(root: RatingRun, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(RunLoader).load(root.simulation_id)

    @staticmethod
    def resolve_structuring(root: RatingRun, info: GraphQLResolveInfo) -> Any:
        following = root.structuring_id
        return None if following is None else context_of(info).loader(RunLoader).load(following)

    @staticmethod
    def resolve_report(root: RatingRun, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(ReportOfRunLoader).load(root.pk)


class Quantile(graphene.ObjectType):
    """The loss not exceeded with this probability."""

    probability = Decimal(required=True)
    loss = Decimal(required=True, description="Fraction of the cut-off balance.")


class Histogram(graphene.ObjectType):
    """The loss distribution: mass[i] is the probability of a loss between edges[i] and edges[i + 1]."""

    edges = listed(graphene.Float)
    mass = listed(graphene.Float)


def _interval(key: str, what: str) -> graphene.List:
    """A field of [low, high] out of row["interval"][key]; null where the report has none."""

    def resolve(root: Mapping[str, Any], info: GraphQLResolveInfo) -> list[float] | None:
        found = (root.get("interval") or {}).get(key)
        return None if found is None else [found["low"], found["high"]]

    about = f"{what}: 2.5 % and 97.5 % points over the uncertain parameters, apart from the standard error."
    return graphene.List(graphene.NonNull(Decimal), resolver=resolve, description=about)


class ShortfallType(graphene.ObjectType):
    """The mean loss of the worst 1 - probability of the scenarios' weight."""

    class Meta:
        name = "ExpectedShortfall"

    probability = Decimal(required=True)
    loss = Decimal(required=True, description="Fraction of the cut-off balance.")
    loss_se = Decimal(required=True)


class TrancheRatingType(graphene.ObjectType):
    """The indicative rating of one class; attachment and detachment are fractions of the cut-off balance."""

    class Meta:
        name = "TrancheRating"

    name = graphene.String(required=True)
    balance = graphene.NonNull(Money)
    attach = Decimal(required=True)
    detach = Decimal(required=True)
    coupon = Decimal(description="Annual fraction.")
    target = graphene.String()
    rating = graphene.String(description="Indicative grade; null for the residual certificate.")
    rating_interval = graphene.List(
        graphene.NonNull(graphene.String), description="Worst and best grade within the confidence interval."
    )
    pd = Decimal(description="Probability of any loss or shortfall.")
    pd_se = Decimal(description="Standard error of pd.")
    expected_loss = Decimal(description="Fraction of the class balance.")
    expected_loss_se = Decimal()
    wal_years = Decimal()
    pd_interval = _interval("pd", "Default probability")
    expected_loss_interval = _interval("expected_loss", "Expected loss")
    wal_years_interval = _interval("wal_years", "Average life in years")
    wal_se = Decimal(description="Standard error of walYears, the mean over scenarios.")
    wal_sd = Decimal(description="Standard deviation of the life over scenarios, years.")
    lgd = Decimal(description="Expected loss where the class fails; null where no scenario fails it.")
    lgd_se = Decimal()
    interest_shortfall_probability = Decimal(description="That interest is unpaid after any date.")
    interest_shortfall_probability_se = Decimal()
    interest_shortfall = Decimal(description="The most unpaid on any date, mean; fraction of the class balance.")
    interest_shortfall_se = Decimal()
    grade_by_loss = graphene.String(description="By expected loss at the scenario-mean average life.")
    grade_by_pd = graphene.String(description="By default probability on the ladder PD = EL / 0.55.")
    grade_by_multiple = graphene.String(description="By the multiple of base-case loss that the class survives.")
    cap_grade = graphene.String(description="Best grade that the length of the history can carry; null: no cap.")
    cap_reason = graphene.String()
    required_multiple = Decimal(description="Of base-case loss, that the rating has to survive.")
    break_even_cdr = Decimal(description="Lowest flat CDR, annual fraction, with a first dollar lost.")
    break_even_default_rate = Decimal(description="Lifetime defaults there, fraction of the cut-off balance.")
    break_even_loss_multiple = Decimal(description="Pool loss at the first dollar lost over the base case's loss.")
    scenario_default_rate = Decimal(description="Lifetime defaults exceeded with the rating's default probability.")
    cushion = Decimal(description="Break-even lifetime defaults, base-case timing, less scenarioDefaultRate.")
    lowered = graphene.String(description="Why the target is below the template's; null where it is not.")

    @staticmethod
    def resolve_balance(root: Mapping[str, Any], info: GraphQLResolveInfo) -> Money | None:
        return money(root["balance"])

    @staticmethod
    def resolve_cap_grade(root: Mapping[str, Any], info: GraphQLResolveInfo) -> str | None:
        return (root.get("cap") or {}).get("grade")

    @staticmethod
    def resolve_cap_reason(root: Mapping[str, Any], info: GraphQLResolveInfo) -> str | None:
        return (root.get("cap") or {}).get("reason")

    @staticmethod
    def resolve_break_even_cdr(root: Mapping[str, Any], info: GraphQLResolveInfo) -> float | None:
        return (root.get("break_even") or {}).get("cdr")

    @staticmethod
    def resolve_break_even_default_rate(root: Mapping[str, Any], info: GraphQLResolveInfo) -> float | None:
        return (root.get("break_even") or {}).get("default_rate")

    @staticmethod
    def resolve_break_even_loss_multiple(root: Mapping[str, Any], info: GraphQLResolveInfo) -> float | None:
        return (root.get("break_even") or {}).get("multiple")

    @staticmethod
    def resolve_scenario_default_rate(root: Mapping[str, Any], info: GraphQLResolveInfo) -> float | None:
        return (root.get("scenario_default_rate") or {}).get("value")


class RatingReportType(NodeType):
    """What a rating run found. Losses are fractions of the pool's cut-off balance."""

    class Meta:
        name = "RatingReport"
        model = RatingReport
        fields = ("created_at",)

    rating_run = graphene.Field(RatingRunType, description="For its originator only.")
    deal_version = graphene.NonNull(DealVersionType)
    template = graphene.NonNull(
        DealVersionType, description="The version that was solved: what it leaves open is null."
    )
    credit_model = graphene.NonNull(CreditModelType)
    scenarios = graphene.Int(required=True)
    effective_scenarios = Decimal(required=True)
    seed = BigInt(required=True)
    engine = graphene.String(required=True)
    expected_loss = Decimal(required=True)
    expected_loss_se = Decimal(required=True)
    loss_quantiles = listed(Quantile)
    loss_histogram = graphene.NonNull(Histogram)
    expected_loss_interval = graphene.List(
        graphene.NonNull(Decimal), description="2.5 % and 97.5 % points over the uncertain parameters; null: unknown."
    )
    expected_shortfalls = listed(ShortfallType)
    loss_by_month = graphene.Field(JSON, description="Cumulative loss by month: mean, standard error, quantiles.")
    base_case = graphene.Field(JSON, description="Scenario-mean loss, default rate, speed, severity and lags.")
    tranches = graphene.Field(listed(TrancheRatingType), description="Senior first, the residual certificate last.")
    collateral = graphene.NonNull(JSON, description="Base-case balances and flows by month.")
    manifest = graphene.NonNull(JSON, description="Everything that made the report.")

    @staticmethod
    def resolve_rating_run(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(RatingRunLoader).load(root.rating_run_id)

    @staticmethod
    def resolve_deal_version(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(DealVersionLoader).load(root.deal_version_id)

    @staticmethod
    def resolve_template(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(TemplateOfReportLoader).load(root.pk)

    @staticmethod
    def resolve_credit_model(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return context_of(info).loader(CreditModelOfReportLoader).load(root.pk)

    @staticmethod
    def resolve_scenarios(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["scenarios"]

    @staticmethod
    def resolve_effective_scenarios(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["effective_scenarios"]

    @staticmethod
    def resolve_seed(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["seed"]

    @staticmethod
    def resolve_engine(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["engine"]

    @staticmethod
    def resolve_expected_loss(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["expected_loss"]

    @staticmethod
    def resolve_expected_loss_se(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["expected_loss_se"]

    @staticmethod
    def resolve_loss_quantiles(root: RatingReport, info: GraphQLResolveInfo) -> list[Quantile]:
        quantiles = root.result["simulation"]["loss_quantiles"]
        return [Quantile(probability=p, loss=quantiles[p]) for p in sorted(quantiles, key=float)]

    @staticmethod
    def resolve_loss_histogram(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"]["histogram"]

    @staticmethod
    def resolve_expected_loss_interval(root: RatingReport, info: GraphQLResolveInfo) -> list[float] | None:
        found = root.result["simulation"].get("interval")
        return None if found is None else [found["low"], found["high"]]

    @staticmethod
    def resolve_expected_shortfalls(root: RatingReport, info: GraphQLResolveInfo) -> list[ShortfallType]:
        found = root.result["simulation"].get("expected_shortfall", {})
        return [
            ShortfallType(probability=p, loss=found[p]["value"], loss_se=found[p]["se"])
            for p in sorted(found, key=float)
        ]

    @staticmethod
    def resolve_loss_by_month(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"].get("by_month")

    @staticmethod
    def resolve_base_case(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["simulation"].get("base_case")

    @staticmethod
    def resolve_tranches(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["tranches"]

    @staticmethod
    def resolve_collateral(root: RatingReport, info: GraphQLResolveInfo) -> Any:
        return root.result["collateral"]


class RatingRunConnection(Connection):
    class Meta:
        node = RatingRunType


class RatingReportConnection(Connection):
    class Meta:
        node = RatingReportType


class Query:
    """Root fields of ratings."""

    rating_runs = connection_field(
        RatingRunConnection, description="Rating runs of my deals, newest first.", deal_id=graphene.ID()
    )
    rating_reports = connection_field(
        RatingReportConnection,
        description="Reports on my deals, or the frozen ones of listed deals; newest first.",
        deal_id=graphene.ID(),
    )

    @staticmethod
    def resolve_rating_runs(
        root: Any, info: GraphQLResolveInfo, deal_id: str | None = None, **paging: Any
    ) -> Connection:
        context = context_of(info)
        rows = context.rows(RatingRun)
        if deal_id is not None:
            rows = rows.filter(deal=visible_node(DealType, context, deal_id, "deal"))
        return page(RatingRunConnection, rows, ("-created_at", "id"), **paging)

    @staticmethod
    def resolve_rating_reports(
        root: Any, info: GraphQLResolveInfo, deal_id: str | None = None, **paging: Any
    ) -> Connection:
        context = context_of(info)
        rows = context.rows(RatingReport)
        if deal_id is not None:
            rows = rows.filter(deal_version__deal=visible_node(DealType, context, deal_id, "deal"))
        return page(RatingReportConnection, rows, ("-created_at", "id"), **paging)
