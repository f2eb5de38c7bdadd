"""A progress bar on the terminal for the stages of the main job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from marketplace.pipeline import Progress


@contextmanager
def console_progress(stream: Any, *, enabled: bool = True) -> Iterator[Progress]:
    """A bar per stage, written to stream; nothing where that is no terminal or it is not enabled."""
    bars: dict[str, tqdm[Any]] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in bars:
            bars[stage] = tqdm(total=total, desc=f"{stage:<28}", file=stream, disable=not enabled, leave=True)
        bar = bars[stage]
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()
