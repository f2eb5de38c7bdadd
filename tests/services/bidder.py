"""A process that bids, withdraws and pays without pause until it is killed; run as `python -m tests.services.bidder`.

Arguments: "sound" or "mutant" (the ledger without its transaction), user id, auction id, number of keys, rounds, seed.
It loads Django once and forks: each child works through all keys from the first, is killed after a random while,
and the last child is left to finish. The keys never change, so every act may happen once.
"""

from __future__ import annotations

import inspect
import os
import random
import signal
import sys
import time

SHORTEST, LONGEST = 0.01, 0.25  # seconds a child lives


def work(kind: str, user_id: str, auction_id: str, keys: int) -> None:
    """One child's stream of acts."""
    from accounts.models import User
    from investors import ledger
    from investors.ledger import account_open
    from investors.models import AccountKind
    from investors.services import cash_account
    from marketplace.models import Auction
    from marketplace.services import bid_place, bid_withdraw

    user = User.objects.select_related("organisation").get(pk=user_id)
    auction = Auction.objects.select_related("listing__deal").get(pk=auction_id)
    if user.organisation is None:
        raise SystemExit("the bidder has no organisation")
    if kind == "mutant":
        book = inspect.unwrap(ledger.transfers_book)
        own = cash_account(user.organisation)
        deal = account_open(kind=AccountKind.DEAL, asset="USD", deal=auction.listing.deal)
        for number in range(keys):
            book(batch=f"kill-{number}", movements=[ledger.pending(f"kill-{number}", own, deal, 100)])
        return
    for number in range(keys):
        bid = bid_place(
            user=user,
            auction=auction,
            yield_ticks=auction.guide_ticks,
            amount=100_000,
            idempotency_key=f"kill-{number}",
        )
        if number % 3 == 0:
            bid_withdraw(user=user, bid=bid, idempotency_key=f"withdraw-{number}")


def child(arguments: tuple[str, str, str, int]) -> int:
    """Fork a worker; its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*arguments)
            status = 0
        finally:
            os._exit(status)
    return pid


def main() -> int:
    """Kills the children; exit status of the last one, which nobody kills."""
    kind, user_id, auction_id, keys, rounds, seed = sys.argv[1:]
    import django

    django.setup()
    rng = random.Random(int(seed))
    arguments = kind, user_id, auction_id, int(keys)
    for _ in range(int(rounds)):
        pid = child(arguments)
        time.sleep(rng.uniform(SHORTEST, LONGEST))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _, status = os.waitpid(child(arguments), 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
