"""`manage.py model-export ID --out FOLDER`: the liability cash-flow model of a listing, or of a deal template."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.errors import ApplicationError
from marketplace.cashflows import base_case
from marketplace.models import Listing
from pooling.deals import template, template_collateral, template_names
from pooling.model_export import export_model

BAD_INPUT = 2


class Command(BaseCommand):
    """Bad input ends with one sentence and exit status 2. Run on the server, it exports whatever listing it is
    given."""

    help = "Write a folder with a deal's specification, flows and one program that runs and checks its cash flows."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("listing", nargs="?", help="id of a listing")
        parser.add_argument("--template", choices=template_names(), help="a deal template with its own pool instead")
        parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="a folder that is new or empty")
        parser.add_argument("--to-maturity", action="store_true", help="do not exercise the clean-up call")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if (options["listing"] is None) == (options["template"] is None):
                raise ValueError("give the id of a listing or --template NAME, one of the two")
            to_call = not options["to_maturity"]
            if options["template"]:
                self._template(options["template"], options["out"], to_call)
            else:
                self._listing(options["listing"], options["out"], to_call)
        except ApplicationError as error:
            raise CommandError(error.message, returncode=BAD_INPUT) from error
        except (ValueError, OSError) as error:
            raise CommandError(f"{error}.", returncode=BAD_INPUT) from error
        self.stdout.write(f"{options['out']}: run it with `python run.py`")

    def _template(self, name: str, out: Path, to_call: bool) -> None:
        spec, pool = template(name), template_collateral(name)
        given = pool.options(spec)
        export_model(
            out,
            spec=spec,
            flows=pool.flows(spec),
            pool_balance_cents=pool.balance_cents,
            made_by={"template": name},
            rates={index: np.atleast_1d(rate) for index, rate in given["rates"].items()},
            replacement=given.get("replacement"),
            to_call=to_call,
        )

    def _listing(self, text: str, out: Path, to_call: bool) -> None:
        try:
            pk = UUID(text)
        except ValueError:
            raise ValueError(f"listing: {text!r} is no id of a listing") from None
        rows = Listing.objects.select_related("deal__pool", "deal_version", "rating_report")
        found = rows.filter(pk=pk).first()
        if found is None:
            raise ValueError(f"listing: there is none with the id {pk}")
        case = base_case(found, to_call=to_call)
        manifest = {key: value for key, value in found.manifest.items() if key != "spec_hash"}
        export_model(
            out,
            spec=case.spec,
            flows=case.flows,
            pool_balance_cents=found.deal.pool.balance,
            made_by={"listing": str(pk), **manifest},
            to_call=to_call,
        )
