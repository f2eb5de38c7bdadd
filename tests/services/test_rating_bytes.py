"""Same seed, same engine: the same bytes however scenarios are cut, on how many threads and processes, and in which
order the loans come; and a stream keyed by the chunk, the usual mistake, is found out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from accounts.errors import ApplicationError
from accounts.models import User
from config import settings as settings_module
from pooling.engine.flows import PoolFlows
from pooling.engine.loans import LoanArrays
from pooling.engine.packing import digest, flows_from_bytes, flows_to_bytes, loans_to_bytes
from pooling.models import Deal
from pooling.tapes import write_generated_tape
from pricing.market import default_snapshot
from pricing.runs import canonical_result, structuring_result
from rating.engine.curves import documented_model
from rating.engine.exact import loops
from rating.engine.model import CreditModel
from rating.engine.scenarios import ScenarioSet
from rating.engine.simulation import Engine, Simulator, choose_engine, rating_scenarios
from rating.models import RatingRun
from rating.runs import simulation_compute, simulation_reduce
from rating.services import rating_request
from runs.models import Run
from runs.selectors import run_result
from runs.services import run_until_done
from tests.engine.rating_pools import mixed_loans
from tests.services.factories import deal_of_tape, lender

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = 128
SEED = 11
CHUNKS = (1, 7, 64, SCENARIOS)
THREADS = (1, 2, 3)
ENGINES = [(name, compiled) for name in ("exact", "by_loan", "granular") for compiled in (True, False)]

# What another process is told to do: read the loans, simulate some scenarios of the set, write the flows.
HALF = """
import sys
from pathlib import Path
from pooling.engine.packing import flows_to_bytes, loans_from_bytes
from rating.engine.curves import documented_model
from rating.engine.simulation import Simulator, choose_engine, rating_scenarios

folder, engine, compiled, count, seed, low, high = sys.argv[1:]
loans, model = loans_from_bytes((Path(folder) / "loans").read_bytes()), documented_model()
simulator = Simulator(loans, model, choose_engine(loans, model, engine, compiled == "True"), threads=2)
part = rating_scenarios(loans, model, int(count), int(seed)).slice(int(low), int(high))
(Path(folder) / f"flows-{low}").write_bytes(flows_to_bytes(simulator.flows(part)))
"""


@dataclass(frozen=True)
class Case:
    """One pool, one engine, one scenario set, and the digest of their flows in one go."""

    loans: LoanArrays
    model: CreditModel
    scenarios: ScenarioSet
    engine: Engine
    compiled: bool

    def simulator(self, loans: LoanArrays | None = None, threads: int = 1) -> Simulator:
        pool = self.loans if loans is None else loans
        return Simulator(pool, self.model, choose_engine(pool, self.model, self.engine, self.compiled), threads)

    def whole(self) -> str:
        return digest(flows_to_bytes(self.simulator().flows(self.scenarios)))

    def cut(self, chunk: int, threads: int = 1, of: Callable[[int, ScenarioSet], ScenarioSet] | None = None) -> str:
        """The digest of flows joined from chunks. of: what each chunk, by its index, makes of its scenarios."""
        simulator, parts = self.simulator(threads=threads), []
        for index, low in enumerate(range(0, len(self.scenarios), chunk)):
            part = self.scenarios.slice(low, min(low + chunk, len(self.scenarios)))
            parts.append(simulator.flows(part if of is None else of(index, part)))
        return digest(flows_to_bytes(PoolFlows.concatenate(parts)))


@pytest.fixture(params=ENGINES, ids=[f"{name}-{'numba' if compiled else 'numpy'}" for name, compiled in ENGINES])
def case(request: pytest.FixtureRequest) -> Case:
    name, compiled = request.param
    if compiled and not loops().__name__.endswith("kernels"):
        pytest.skip("Numba is not installed")
    loans, model = mixed_loans(250, seed=3), documented_model()
    return Case(loans, model, rating_scenarios(loans, model, SCENARIOS, SEED), name, compiled)


# ------------------------------------------------------------------------------------------------- the engines
def test_the_size_of_a_chunk_and_the_number_of_threads_leave_no_trace(case: Case) -> None:
    expected = case.whole()
    assert {(chunk, case.cut(chunk)) for chunk in CHUNKS} == {(chunk, expected) for chunk in CHUNKS}
    # Threads share the blocks of a set: more blocks than threads, and chunks that end within a block.
    assert {(threads, case.cut(SCENARIOS, threads)) for threads in THREADS} == {(each, expected) for each in THREADS}
    assert {(threads, case.cut(50, threads)) for threads in THREADS} == {(each, expected) for each in THREADS}


def test_processes_leave_no_trace(case: Case, tmp_path: Path) -> None:
    (tmp_path / "loans").write_bytes(loans_to_bytes(case.loans))
    middle = SCENARIOS // 3
    arguments = [str(tmp_path), case.engine, str(case.compiled), str(SCENARIOS), str(SEED)]
    halves = [
        subprocess.Popen([sys.executable, "-c", HALF, *arguments, str(low), str(high)], cwd=ROOT)
        for low, high in ((0, middle), (middle, SCENARIOS))
    ]
    assert [half.wait() for half in halves] == [0, 0]
    parts = [flows_from_bytes((tmp_path / f"flows-{low}").read_bytes()) for low in (0, middle)]
    assert digest(flows_to_bytes(PoolFlows.concatenate(parts))) == case.whole()


def test_the_order_of_loans_leaves_no_trace(case: Case) -> None:
    order = np.random.default_rng(1).permutation(len(case.loans))
    assert (order != np.arange(len(order))).any()
    shuffled = LoanArrays.sorted_by_id(**{f.name: getattr(case.loans, f.name)[order] for f in fields(LoanArrays)})
    assert digest(flows_to_bytes(case.simulator(shuffled).flows(case.scenarios))) == case.whole()


def test_another_seed_gives_other_bytes(case: Case) -> None:
    other = replace(case, scenarios=rating_scenarios(case.loans, case.model, SCENARIOS, SEED + 1))
    assert other.whole() != case.whole()


def test_the_mutant_whose_streams_are_keyed_by_the_chunk_is_found_out(case: Case) -> None:
    """Each chunk counts its scenarios from nought, or mixes its own index into the seed."""

    def counted_anew(index: int, part: ScenarioSet) -> ScenarioSet:
        return replace(part, first=0)

    def seeded_anew(index: int, part: ScenarioSet) -> ScenarioSet:
        return replace(part, seed=part.seed + index)

    for mutant in (counted_anew, seeded_anew):
        assert len({case.cut(chunk, of=mutant) for chunk in (7, 64, SCENARIOS)}) == 3


@pytest.mark.parametrize("name", ["layout.py", "kernels.py", "granular_kernels.py"])
def test_loops_compiled_from_other_constants_are_never_run(monkeypatch, tmp_path: Path, name: str) -> None:
    """Numba's cache knows a function by its own file only: f in m.py, C in k.py, C changed, and f() gives the old C."""
    engine = tmp_path / "rating" / "engine"
    shutil.copytree(ROOT / "rating" / "engine", engine, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(settings_module, "BASE_DIR", tmp_path)
    before = settings_module.compiled_loops(tmp_path)
    assert settings_module.compiled_loops(tmp_path) == before
    (engine / name).write_text((engine / name).read_text() + "\nANOTHER = 1\n")
    assert settings_module.compiled_loops(tmp_path) != before


def test_the_files_of_compiled_loops_import_constants_from_files_that_count() -> None:
    """Whatever Numba freezes into machine code comes from the files whose content names the folder."""
    for path in (ROOT / "rating" / "engine").glob("*.py"):
        source = path.read_text()
        if "import njit" in source:
            assert path.name.endswith("kernels.py"), path.name
            assert set(re.findall(r"^from rating\.engine\.?(\w*) import", source, re.MULTILINE)) <= {"layout"}


# ------------------------------------------------------------------------------------------ from tape to report
def dealt(folder: Path, name: str, frame: pd.DataFrame) -> tuple[User, Deal]:
    """A lender of its own with a deal on the tape."""
    user = lender(name, f"Lender {name}")
    path = folder / "tape.csv"
    frame.to_csv(path, index=False)
    return user, deal_of_tape(user, path)


def computed(run: Run | None) -> str:
    """Compute the run in this process; the digest of its result."""
    assert run is not None
    return digest(run_result(run_until_done(run.pk)))


def rated(user: User, deal: Deal, chunk: int) -> RatingRun:
    """A rating run of the deal, not yet computed."""
    return rating_request(user=user, deal=deal, scenarios=256, seed=7, idempotency_key="rate", chunk=chunk)


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    write_generated_tape(tmp_path / "generated.csv", n=300, seed=5)
    return pd.read_csv(tmp_path / "generated.csv", dtype=str, keep_default_na=False)


@pytest.mark.django_db(transaction=True)
def test_shuffled_rows_of_the_tape_and_another_cut_give_the_same_report_to_the_byte(settings, tmp_path, frame) -> None:
    settings.REDIS_URL = ""
    shuffled = frame.sample(frac=1.0, random_state=np.random.RandomState(4))
    assert (shuffled.index != frame.index).any()
    runs = [rated(*dealt(tmp_path, "ada", frame), 256), rated(*dealt(tmp_path, "ben", shuffled), 13)]
    flows, reports = [], []
    for each in runs:
        flows.append(computed(each.simulation))
        each.refresh_from_db()
        reports.append(computed(each.structuring))
    assert [each.simulation.chunk_count for each in runs] == [1, 20]
    assert len(set(flows)) == 1
    assert len(set(reports)) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("compiled", [True, False])
def test_flows_from_any_chunks_are_structured_to_the_same_bytes(settings, tmp_path, frame, compiled) -> None:
    settings.REDIS_URL = ""
    if compiled and not loops().__name__.endswith("kernels"):
        pytest.skip("Numba is not installed")
    rating_run = rated(*dealt(tmp_path, "ada", frame), 64)
    params = rating_run.simulation.params | {"compiled": compiled}
    snapshot, flows, reports = default_snapshot(), set(), set()
    for chunk in (1, 7, 64, 256):
        cut, count = params | {"chunk": chunk}, -(-256 // chunk)
        simulated = simulation_reduce(cut, [simulation_compute(cut, 7, index, count) for index in range(count)])
        flows.add(digest(simulated))
        if chunk in (7, 256):  # it follows from equal flows, and takes some seconds
            reports.add(digest(canonical_result(structuring_result(rating_run, simulated, snapshot))))
    assert len(flows) == len(reports) == 1


@pytest.mark.django_db(transaction=True)
def test_the_key_of_a_request_holds_for_any_chunk(settings, tmp_path, frame) -> None:
    settings.REDIS_URL = ""
    user, deal = dealt(tmp_path, "ada", frame)
    assert rated(user, deal, 64) == rated(user, deal, 32)
    with pytest.raises(ApplicationError, match="chunk is 0"):
        rating_request(user=user, deal=deal, idempotency_key="another", chunk=0)
