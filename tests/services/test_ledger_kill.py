"""kill -9 in a stream of bids: nothing is lost, doubled or half-booked; the ledger without its transaction fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from investors.models import Transfer, TransferKind
from investors.selectors import cash_position, ledger_drift, ledger_imbalance, ledger_verify
from marketplace.models import Bid, BidState
from tests.services.factories import market, organisation

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 25
KEYS = 60
STREAMS = 4  # of the mutant, at most
SEED = 20261122


def killed_stream(kind: str, environment: dict[str, str], keys: int):
    scene = market(investors=1)
    arguments = [str(scene.investors[0].pk), str(scene.auctions["A"].pk), str(keys), str(ROUNDS), str(SEED)]
    command = [sys.executable, "-m", "tests.services.bidder", kind, *arguments]
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        command, cwd=ROOT, env=settings | environment, capture_output=True, text=True, timeout=120, check=False
    )
    # The mutant's last child may also stumble over what its killed ones left half done.
    assert kind == "mutant" or done.returncode == 0, f"seed {SEED}: {done.stderr}"
    return scene


def test_bids_survive_kill_9(process_environment: dict[str, str]):
    scene = killed_stream("sound", process_environment, KEYS)
    # each key once: 60 bids with one hold each, every third withdrawn
    assert Bid.objects.count() == KEYS
    assert Transfer.objects.filter(kind=TransferKind.PENDING).count() == KEYS
    assert Bid.objects.filter(state=BidState.WITHDRAWN).count() == KEYS // 3
    position = cash_position(organisation(scene.investors[0]))
    live = Bid.objects.filter(state=BidState.LIVE).select_related("hold")
    assert position.held == sum(bid.hold.amount for bid in live)
    assert (ledger_imbalance(), ledger_drift()) == (0, 0)
    ledger_verify()


def test_mutant_without_its_transaction_drifts_under_kill_9(process_environment: dict[str, str]):
    # Whether a kill falls between the mutant's two writes depends on the machine: of several streams one must drift.
    for _ in range(STREAMS):
        killed_stream("mutant", process_environment, 600)
        if ledger_drift() != 0:
            return
    pytest.fail(f"seed {SEED}: no kill of {STREAMS} streams fell between the two writes")
