"""Addresses of the market."""

from django.urls import path

from marketplace.views import cashflows, deal, investor, market, operator, originator, ratings

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
    path("ratings/", ratings.ratings, name="ratings"),
    path("ratings/<uuid:pk>/", ratings.rating, name="rating"),
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
