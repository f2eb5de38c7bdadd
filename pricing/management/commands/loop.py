"""`manage.py loop [TEMPLATE...]`: the closed loop of sizes, coupons and grades on the template deals, pass by pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from pooling.deals import template_names
from pricing.engine.structure import StructureStep
from pricing.loop import Loop, excess_spread, loop_of
from pricing.market import default_snapshot

SCENARIOS, SEED = 1024, 7
BAD_INPUT = 2


class Command(BaseCommand):
    help = "Solve coupons, sizes and grades of the template deals to their fixed point, and show every pass."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which templates, and the scenario set."""
        parser.add_argument("templates", nargs="*", help="all where none is named")
        parser.add_argument("--scenarios", type=int, default=SCENARIOS, help="best a power of two")
        parser.add_argument("--seed", type=int, default=SEED)

    def handle(self, *args: Any, **options: Any) -> None:
        """Solve and print one template after the other."""
        names = options["templates"] or list(template_names())
        figures = {"templates": len(names), "converged": 0}
        for name in names:
            try:
                found = loop_of(name, default_snapshot(), scenarios=options["scenarios"], seed=options["seed"])
            except ValueError as error:
                raise CommandError(f"{name}: {error}", returncode=BAD_INPUT) from error
            figures["converged"] += found.structure.solution.converged
            for line in _lines(found):
                self.stdout.write(line)
        self.stdout.write(json.dumps({"figures": figures}))


def _lines(loop: Loop) -> Iterator[str]:
    solution = loop.structure.solution
    yield f"{loop.name}"
    for number, step in enumerate(solution.steps, start=1):
        yield f"  pass {number}: gap {1e4 * step.coupon_gap:7.2f} bp  " + "  ".join(_classes(step))
    yield (
        f"  {'converged' if solution.converged else 'NOT converged'}: {solution.reason} Expected loss of the pool "
        f"{loop.structure.losses.expected_loss:.2%}, excess spread {excess_spread(loop.structure):.2%} a year."
    )


def _classes(step: StructureStep) -> Iterator[str]:
    for name, coupon in step.coupons.items():
        grade = step.grades.get(name, "-")
        yield f"{name} {step.balances[name] / 1e8:.2f}m {coupon:.3%} {grade} -> {step.required[name]:.3%}"
