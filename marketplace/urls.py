"""Addresses of the market."""

from django.urls import path

from marketplace.views import (
    cashflows,
    cohorts,
    deal,
    investor,
    market,
    models,
    operator,
    originator,
    rating_report,
    ratings,
    whatif,
)

urlpatterns = [
    path("", market.market, name="market"),
    path("listings/<uuid:pk>/", deal.listing, name="listing"),
    path("listings/<uuid:pk>/loans/", deal.loans, name="loans"),
    path("listings/<uuid:pk>/loans.csv", deal.loans_csv, name="loans-csv"),
    path("listings/<uuid:pk>/cashflows/", cashflows.cashflows, name="cashflows"),
    path("listings/<uuid:pk>/cashflows.csv", cashflows.cashflows_csv, name="cashflows-csv"),
    path("listings/<uuid:pk>/cashflows.xlsx", cashflows.cashflows_xlsx, name="cashflows-xlsx"),
    path("listings/<uuid:pk>/explain/", cashflows.explanation, name="explain"),
    path("listings/<uuid:pk>/spec.json", deal.listing_spec, name="listing-spec"),
    path("listings/<uuid:pk>/manifest.json", deal.listing_manifest, name="listing-manifest"),
    *(
        path(f"listings/<uuid:pk>/{move}/", operator.listing_move, {"move": move}, name=f"listing-{move}")
        for move in operator.MOVES
    ),
    path("static-pools/", cohorts.static_pools, name="static-pools"),
    path("static-pools.csv", cohorts.static_pools_csv, name="static-pools-csv"),
    path("ratings/", ratings.ratings, name="ratings"),
    path("ratings/<uuid:pk>/", ratings.rating, name="rating"),
    path("ratings/<uuid:pk>.csv", ratings.rating_table, name="rating-csv"),
    path("ratings/<uuid:pk>/report/", rating_report.report, name="rating-report"),
    path("ratings/<uuid:pk>/report.pdf", rating_report.report_pdf, name="rating-report-pdf"),
    path("ratings/<uuid:pk>/sensitivities/", whatif.sensitivities, name="sensitivities"),
    path("ratings/<uuid:pk>/sensitivities.csv", whatif.sensitivities_csv, name="sensitivities-csv"),
    path("ratings/<uuid:pk>/what-if/", whatif.what_if, name="what-if"),
    path("models/", models.models, name="models"),
    path("models/compare/", models.model_compare, name="model-compare"),
    path("models/compare.csv", models.model_compare_csv, name="model-compare-csv"),
    path("models/<str:digest>/", models.model, name="model"),
    path("models/<str:digest>/model.json", models.model_json, name="model-json"),
    path("models/<str:digest>/hazards.csv", models.model_hazards, name="model-hazards"),
    path("listings/<uuid:pk>/loans/<path:loan_id>/pd/", models.loan_pd, name="loan-pd"),
    path("listings/<uuid:pk>/loans/<path:loan_id>/pd.csv", models.loan_pd_csv, name="loan-pd-csv"),
    path("deals/", originator.deals, name="deals"),
    path("deals/<uuid:pk>/", originator.deal, name="deal"),
    path("deals/<uuid:pk>/list/", originator.list_deal, name="list-deal"),
    path("deal-versions/<uuid:pk>.json", originator.deal_version, name="deal-version"),
    path("auctions/", operator.auctions, name="auctions"),
    path("auctions/<uuid:pk>/bid/", investor.bid, name="bid"),
    path("auctions/<uuid:pk>/bid/preview/", investor.bid_preview, name="bid-preview"),
    path("orders/", investor.orders, name="orders"),
    path("orders/<uuid:pk>/withdraw/", investor.withdraw, name="withdraw"),
    path("positions/", investor.positions, name="positions"),
]
