"""The API's verb of ratings."""

from __future__ import annotations

from typing import Any

import graphene

from accounts.errors import ApplicationError
from accounts.graphql.context import Context
from accounts.graphql.mutations import ServiceMutation
from accounts.graphql.nodes import visible_node
from accounts.graphql.scalars import BigInt
from pooling.models import Deal
from pooling.schema import DealType, TapeUploadType
from rating.models import CreditModelVersion
from rating.schema import RatingRunType
from rating.services import credit_model_calibrate, rating_cancel, rating_request


class RatingRequestInput(graphene.InputObjectType):
    deal_id = graphene.ID(required=True)
    scenarios = graphene.Int(default_value=2048, description="A power of two from 64 to 65,536.")
    seed = BigInt(default_value=7, description="The same seed gives the same result.")
    calibration_upload_id = graphene.ID(
        description="A history tape of mine, by POST /api/uploads/, to fit the credit model to; unset for the"
        " documented one."
    )


class RatingRequest(ServiceMutation):
    """Start the rating of a deal; poll ratingRuns until its report is there."""

    input_type = RatingRequestInput
    own_transaction = True

    rating_run = graphene.Field(RatingRunType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        deal = visible_node(DealType, context, values["deal_id"], "deal")
        history = values.get("calibration_upload_id")
        rating_run = rating_request(
            user=context.viewer,
            deal=deal,
            scenarios=values["scenarios"],
            seed=values["seed"],
            credit_model=None if history is None else calibrated(context, history, deal),
            idempotency_key=key,
        )
        return {"rating_run": rating_run}


class RatingCancelInput(graphene.InputObjectType):
    rating_run_id = graphene.ID(required=True)


class RatingCancel(ServiceMutation):
    """Stop a rating of mine that is under way; nothing of it is kept."""

    input_type = RatingCancelInput

    rating_run = graphene.Field(RatingRunType)

    @classmethod
    def perform(cls, context: Context, key: str, **values: Any) -> dict[str, Any]:
        found = visible_node(RatingRunType, context, values["rating_run_id"], "rating run")
        return {"rating_run": rating_cancel(user=context.viewer, rating_run=found, idempotency_key=key)}


def calibrated(context: Context, upload_id: str, deal: Deal) -> CreditModelVersion:
    """The model fitted to a history of the viewer's; what is wrong with the history names the input at fault."""
    history = visible_node(TapeUploadType, context, upload_id, "upload")
    try:
        return credit_model_calibrate(user=context.viewer, history=history, pool=deal.pool)
    except ApplicationError as error:
        raise ApplicationError(error.message, code=error.code, field="calibrationUploadId") from error


class Mutation:
    """Mutations of ratings."""

    rating_request = RatingRequest.Field()
    rating_cancel = RatingCancel.Field()
