"""Sensitivity grid: every combination of assumptions, over several structures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pooling.engine.analytics.classes import (
    Accretion,
    AverageLives,
    ClassFlows,
    ClassLosses,
    PrincipalWindow,
    Unpaid,
    average_lives,
    class_losses,
    class_yields,
    principal_window,
)
from pooling.engine.analytics.conventions import Compounding, TimeMeasure
from pooling.engine.analytics.values import Yields

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class StructureGrid:
    """Results of one structure; the scenario axis of each is the C combinations of the table. yields: at the prices
    given.
    """

    structure: str
    classes: tuple[str, ...]
    lives: AverageLives
    window: PrincipalWindow
    yields: Yields
    losses: ClassLosses


@dataclass(frozen=True)
class SensitivityTable:
    """assumptions: name -> (C,) value in each combination, the last assumption changing fastest. shape: number of
    values of each assumption, so that result.reshape(-1, *shape) gives one axis to each.
    """

    assumptions: Mapping[str, FloatArray]
    shape: tuple[int, ...]
    structures: tuple[StructureGrid, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dictionary for each structure, class and combination; None where there is no value.

        Keys: structure, class, the assumptions, wal_years, first_principal, last_principal (dates), yield,
        yield_reason, write_down, interest_shortfall (currency units).
        """
        for grid in self.structures:
            for k, name in enumerate(grid.classes):
                for c in range(int(np.prod(self.shape))):
                    given = {key: float(values[c]) for key, values in self.assumptions.items()}
                    yield {"structure": grid.structure, "class": name, **given, **_cell(grid, k, c)}


def sensitivity_grid(
    runs: Mapping[str, Callable[[Mapping[str, FloatArray]], ClassFlows]],
    stresses: Mapping[str, ArrayLike],
    *,
    prices: Mapping[str, float],
    compounding: Compounding,
    measure: TimeMeasure = "30/360",
    unpaid: Unpaid = "left_out",
    accretion: Accretion = "not_counted",
    deferrable: Collection[str] = (),
) -> SensitivityTable:
    """Average life, window, yield, principal loss and shortfall of every class in every combination of assumptions.

    runs: structure -> function from {assumption: (C,) values} to its flows with the combinations as scenarios: each
    structure is run once. stresses: assumption -> its values. prices: class -> price per 1 of balance, see
    class_yields; names that a structure lacks are passed over for it. deferrable: likewise. Others: average_lives.

    Raises ValueError naming the argument.
    """
    if not runs or not stresses:
        raise ValueError("stresses: a grid needs at least one structure and one assumption")
    axes = {name: np.atleast_1d(np.asarray(values, dtype=np.float64)) for name, values in stresses.items()}
    for name, axis in axes.items():
        if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all():
            raise ValueError(f"stresses: {name} must be a list of finite values")
    meshed = np.meshgrid(*axes.values(), indexing="ij")
    combined = {name: mesh.ravel() for name, mesh in zip(axes, meshed, strict=True)}
    count = len(next(iter(combined.values())))
    grids = []
    for structure, run in runs.items():
        deal = run(MappingProxyType(combined))
        if deal.balance.shape[-1] != count:
            got = deal.balance.shape[-1]
            raise ValueError(f"runs: {structure}: {got} scenarios for {count} combinations; return one for each")
        known = {name: price for name, price in prices.items() if name in deal.names}
        grids.append(
            StructureGrid(
                structure=structure,
                classes=deal.names,
                lives=average_lives(deal, measure=measure, unpaid=unpaid, accretion=accretion),
                window=principal_window(deal),
                yields=class_yields(deal, known, compounding=compounding, measure=measure),
                losses=class_losses(deal, deferrable=[name for name in deferrable if name in deal.names]),
            )
        )
    return SensitivityTable(MappingProxyType(combined), tuple(len(axis) for axis in axes.values()), tuple(grids))


def _cell(grid: StructureGrid, k: int, c: int) -> dict[str, Any]:
    window: tuple[dt.date, dt.date] | None = grid.window.between(k, c)
    return {
        "wal_years": float(grid.lives.years[k, c]) if grid.lives.repaid[k, c] else None,
        "first_principal": None if window is None else window[0],
        "last_principal": None if window is None else window[1],
        "yield": float(grid.yields.rates[k, c]) if grid.yields.found[k, c] else None,
        "yield_reason": grid.yields.reason(k, c),
        "write_down": float(grid.losses.principal[k, c]),
        "interest_shortfall": float(grid.losses.shortfall[k, c]),
    }
