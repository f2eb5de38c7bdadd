"""Which columns and verbs: one table of data, type.field → roles. Which rows: visibility.py.

A field that is not here is refused to everybody at run time, and turns the test of the matrix red. A user without an
organisation has no role and may ask for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from accounts.models import Role

ORIGINATOR = frozenset({str(Role.ORIGINATOR)})
INVESTOR = frozenset({str(Role.INVESTOR)})
ANALYST = frozenset({str(Role.ANALYST)})
OPERATOR = frozenset({str(Role.OPERATOR)})
HOLDERS = ORIGINATOR | INVESTOR
READERS = ORIGINATOR | INVESTOR | ANALYST
PARTIES = READERS | OPERATOR

Fields = Mapping[frozenset[str], str]

# Types that come in pages, and who may turn the pages.
PAGED: Mapping[str, frozenset[str]] = {
    "Tape": ORIGINATOR,
    "RatingRun": ORIGINATOR,
    "Loan": READERS,
    "Pool": PARTIES,
    "Deal": PARTIES,
    "RatingReport": PARTIES,
    "PriceReport": PARTIES,
    "Listing": PARTIES,
    "Transfer": HOLDERS,
    "Bid": INVESTOR,
    "Allocation": INVESTOR,
    "Trade": INVESTOR,
}

TYPES: Mapping[str, Fields] = {
    "Query": {
        PARTIES: "node viewer tokens pools deals ratingReports priceReports listings auctionResult",
        READERS: "loans",
        ORIGINATOR: "tapes ratingRuns",
        HOLDERS: "cashAccount positions transfers",
        INVESTOR: "bids allocations trades mandates",
    },
    "Mutation": {
        PARTIES: "tokenIssue tokenRevoke",
        ORIGINATOR: "tapeImport tapeWithdraw poolCreate dealCreate ratingRequest ratingCancel listingCreate",
        ORIGINATOR | OPERATOR: "listingOpen listingCancel",
        OPERATOR: "auctionClose listingSettle",
        INVESTOR: "bidPlace bidWithdraw mandateCreate",
    },
    "PageInfo": {PARTIES: "hasNextPage hasPreviousPage startCursor endCursor"},
    "Money": {PARTIES: "minorUnits currency"},
    "UserError": {PARTIES: "field code message"},
    "Count": {PARTIES: "reason count"},
    # accounts
    "Viewer": {PARTIES: "username organisation role"},
    "Organisation": {PARTIES: "id name role"},
    "ApiToken": {PARTIES: "id name createdAt expiresAt revokedAt"},
    # runs
    "Run": {ORIGINATOR: "id kind status progress error resultDigest createdAt finishedAt"},
    "RunProgress": {ORIGINATOR: "done total"},
    # pooling
    "TapeUpload": {ORIGINATOR: "id filename sha256 size createdAt"},
    "Tape": {ORIGINATOR: "id name root rows accepted rejected reasons quality upload createdAt"},
    "Loan": {
        READERS: "id loanId balance cutoffBalance rate term grade score state purpose incomeBand issueMonth age"
        " remainingTerm",
        # Whether a loan is pledged, and the hash that would let others look for it, is the originator's business.
        ORIGINATOR: "isOpen fingerprint",
    },
    "Pool": {
        PARTIES: "id name originator asOf label synthetic balance loanCount excluded exclusions rules wac wamMonths"
        " stratifications concentrations deal tapeRoot loansDigest createdAt",
        READERS: "loans",
        # What a synthetic pool's finished loans have lost would tell a bidder the answer.
        ORIGINATOR | ANALYST: "realisedLoss",
        ORIGINATOR: "tape",
    },
    "Stratification": {PARTIES: "dimension strata total"},
    "Stratum": {PARTIES: "name count balance share wac wam"},
    "Concentration": {PARTIES: "field name names balance share"},
    "Deal": {PARTIES: "id name originator pool versions createdAt"},
    "DealVersion": {PARTIES: "id number spec specHash createdAt"},
    # rating
    "RatingRun": {
        ORIGINATOR: "id deal scenarios seed creditModel simulation structuring report createdAt",
    },
    "RatingReport": {
        PARTIES: "id dealVersion template creditModel scenarios effectiveScenarios seed engine expectedLoss"
        " expectedLossSe expectedLossInterval lossQuantiles lossHistogram expectedShortfalls lossByMonth baseCase"
        " tranches collateral manifest createdAt",
        ORIGINATOR: "ratingRun",
    },
    "CreditModel": {PARTIES: "digest name payload"},
    "Quantile": {PARTIES: "probability loss"},
    "Histogram": {PARTIES: "edges mass"},
    "TrancheRating": {
        PARTIES: "name balance attach detach coupon target rating ratingInterval pd pdSe expectedLoss expectedLossSe"
        " walYears pdInterval expectedLossInterval walYearsInterval walSe walSd lgd lgdSe interestShortfallProbability"
        " interestShortfallProbabilitySe interestShortfall interestShortfallSe gradeByLoss gradeByPd gradeByMultiple"
        " capGrade capReason requiredMultiple breakEvenCdr breakEvenDefaultRate breakEvenLossMultiple"
        " scenarioDefaultRate cushion lowered",
    },
    "ExpectedShortfall": {PARTIES: "probability loss lossSe"},
    # pricing
    "PriceReport": {
        PARTIES: "id dealVersion ratingReport snapshot asOf tranches residual assumptions views createdAt",
    },
    "MarketSnapshot": {PARTIES: "digest asOf payload"},
    "TranchePrice": {PARTIES: "name price yield spreadBp walYears modifiedDuration guideTicks"},
    # investors
    "CashAccount": {HOLDERS: "available held total"},
    "Position": {HOLDERS: "id asset tranche originalBalance deal"},
    "Transfer": {HOLDERS: "id kind direction asset amount memo createdAt"},
    "Mandate": {INVESTOR: "id name terms active createdAt"},
    # marketplace
    "Listing": {
        PARTIES: "id state originator deal dealVersion ratingReport priceReport auctions manifest sourcesAndUses"
        " createdAt openedAt closedAt settledAt",
    },
    "Auction": {
        PARTIES: "id listing tranche seniority supply lot reserveTicks reserveYield guideTicks guideYield"
        " clearingTicks clearingYield allotted bidToCover resultDigest",
    },
    "AuctionResult": {PARTIES: "state status bids demand", ORIGINATOR | OPERATOR: "allotments"},
    "DemandPoint": {PARTIES: "yieldTicks amount"},
    "Bid": {INVESTOR: "id auction state yieldTicks amount hold allocation createdAt"},
    "Allocation": {INVESTOR: "id auction bid amount reason trade createdAt"},
    "Trade": {INVESTOR: "id allocation amount price cash settledAt"},
    # answers of the mutations
    "TokenIssuePayload": {PARTIES: "token secret userErrors"},
    "TokenRevokePayload": {PARTIES: "token userErrors"},
    "TapeImportPayload": {ORIGINATOR: "tape userErrors"},
    "TapeWithdrawPayload": {ORIGINATOR: "tape userErrors"},
    "PoolCreatePayload": {ORIGINATOR: "pool userErrors"},
    "DealCreatePayload": {ORIGINATOR: "deal userErrors"},
    "RatingRequestPayload": {ORIGINATOR: "ratingRun userErrors"},
    "RatingCancelPayload": {ORIGINATOR: "ratingRun userErrors"},
    "ListingCreatePayload": {ORIGINATOR: "listing userErrors"},
    "ListingOpenPayload": {ORIGINATOR | OPERATOR: "listing userErrors"},
    "ListingCancelPayload": {ORIGINATOR | OPERATOR: "listing userErrors"},
    "AuctionClosePayload": {OPERATOR: "listing userErrors"},
    "ListingSettlePayload": {OPERATOR: "listing userErrors"},
    "BidPlacePayload": {INVESTOR: "bid userErrors"},
    "BidWithdrawPayload": {INVESTOR: "bid userErrors"},
    "MandateCreatePayload": {INVESTOR: "mandate userErrors"},
}


def table(types: Mapping[str, Fields], paged: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """{"Type.field": roles}; ValueError when a field is named twice."""
    pages = {f"{kind}Connection": {roles: "edges pageInfo totalCount"} for kind, roles in paged.items()}
    edges = {f"{kind}Edge": {roles: "cursor node"} for kind, roles in paged.items()}
    built: dict[str, frozenset[str]] = {}
    for kind, groups in {**types, **pages, **edges}.items():
        for roles, names in groups.items():
            for name in names.split():
                if f"{kind}.{name}" in built:
                    raise ValueError(f"{kind}.{name} has two policies")
                built[f"{kind}.{name}"] = roles
    return built


POLICY: Mapping[str, frozenset[str]] = table(TYPES, PAGED)
