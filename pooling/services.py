"""Writes of the collateral side: uploads, tape versions and the loan register, pools, deals.

Reading and checking a tape happens before the transaction that stores it: one transaction, all or nothing.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import ApplicationError, NotFound
from accounts.models import Organisation, Role, User
from accounts.selectors import require_role
from accounts.services import audit_record, claim
from pooling.artefacts import artefact_path, artefact_store
from pooling.collateral import Collateral, collateral_of
from pooling.dates import deal_dates
from pooling.engine.deal import DealSpec, SpecError, default_template
from pooling.engine.packing import digest, loans_to_bytes
from pooling.models import Deal, DealVersion, Loan, Pool, TapeUpload, TapeVersion
from pooling.register import loans_pledge, loans_register
from pooling.tapes import CheckedTape, check_tape, read_tape, write_error_file

LONGEST_NAME = 200


def originator_of(user: User) -> Organisation:
    """The organisation of an originator's user; anyone else is refused."""
    return Organisation.objects.get(users=require_role(user, Role.ORIGINATOR))


def own(row: TapeUpload | TapeVersion | Pool | Deal, organisation: Organisation, what: str) -> None:
    """NotFound unless the row is the organisation's own: what is not yours does not exist for you."""
    if row.organisation_id != organisation.pk:
        raise NotFound(what)


def tape_upload(*, user: User, filename: str, stream: Iterable[bytes], idempotency_key: str) -> TapeUpload:
    """Keep a file as it came in. stream: its chunks. The same key with the same file gives the same upload."""
    organisation = originator_of(user)
    name = Path(filename.replace("\\", "/")).name[:LONGEST_NAME] or "tape"
    path, sha256, size = artefact_store(stream, suffix=".tape", max_bytes=settings.UPLOAD_MAX_BYTES)
    with transaction.atomic():
        claimed = claim(
            organisation=organisation, key=idempotency_key, verb="tape_upload", params={"sha256": sha256}
        )
        if not claimed.fresh:
            return TapeUpload.objects.get(pk=claimed.subject_id)
        upload = TapeUpload.objects.create(
            organisation=organisation, filename=name, sha256=sha256, size=size, path=path
        )
        claimed.settle(upload.pk)
        audit_record(
            actor=user, verb="tape.uploaded", subject=f"upload:{upload.pk}", payload={"sha256": sha256, "size": size}
        )
    return upload


def tape_import(*, user: User, upload: TapeUpload, idempotency_key: str) -> TapeVersion:
    """Read, check and seal an upload: an immutable version with its Merkle root, and its loans in the register.

    ApplicationError when the file cannot be read, no row is acceptable, or a loan has an open owner already.
    """
    organisation = originator_of(user)
    own(upload, organisation, "upload")
    checked = check_tape(read_tape(artefact_path(upload.path), name=upload.filename))
    if checked.accepted == 0:
        first = checked.issues[0].sentence if checked.issues else ""
        raise ApplicationError(
            f"None of the {checked.rows:,} rows of {upload.filename} can be accepted; the first reason: {first}",
            code="tape_no_acceptable_row",
            field="tape",
        )
    stored = _tape_files(checked)
    with transaction.atomic():
        claimed = claim(
            organisation=organisation, key=idempotency_key, verb="tape_import", params={"upload": str(upload.pk)}
        )
        if not claimed.fresh:
            return TapeVersion.objects.get(pk=claimed.subject_id)
        tape = TapeVersion.objects.create(
            organisation=organisation,
            upload=upload,
            name=upload.filename,
            root=checked.root,
            rows=checked.rows,
            accepted=checked.accepted,
            rejected=checked.rejected,
            reasons=dict(checked.reasons),
            quality=_quality(checked),
            **stored,
        )
        _register(tape, checked)
        claimed.settle(tape.pk)
        audit_record(
            actor=user,
            verb="tape.sealed",
            subject=f"tape:{tape.pk}",
            payload={"root": tape.root, "accepted": tape.accepted, "rejected": tape.rejected},
        )
    return tape


def _tape_files(checked: CheckedTape) -> dict[str, str]:
    rows, digest_of_rows, _ = artefact_store([_parquet(checked.frame)], suffix=".parquet")
    canonical, _, _ = artefact_store([_parquet(checked.canonical_frame())], suffix=".parquet")
    errors = ""
    if checked.issues:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "errors.csv"
            write_error_file(checked.issues, path)
            errors, _, _ = artefact_store([path.read_bytes()], suffix=".csv")
    return {"rows_path": rows, "rows_digest": digest_of_rows, "canonical_path": canonical, "errors_path": errors}


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, engine="pyarrow", index=False, compression="zstd")
    return buffer.getvalue()


def _quality(checked: CheckedTape) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(json.dumps(asdict(checked.quality), default=str))
    return summary | {"mapping": dict(checked.mapping), "file_sha256": checked.raw.file_sha256}


def _register(tape: TapeVersion, checked: CheckedTape) -> None:
    fingerprints = checked.pledge_fingerprints(str(tape.organisation_id))
    try:
        with transaction.atomic():
            loans_register(tape=tape, frame=checked.frame, fingerprints=fingerprints)
    except IntegrityError:
        held = Loan.objects.filter(
            tape__organisation_id=tape.organisation_id, is_open=True, fingerprint__in=fingerprints[:500]
        ).select_related("tape")
        owner = held.first()
        where = f" with the tape {owner.tape.name} of {owner.tape.created_at:%Y-%m-%d %H:%M}" if owner else ""
        raise ApplicationError(
            f"Loans of this tape are registered already{where}; a loan has one open owner, so remove those rows or"
            " withdraw the earlier tape.",
            code="loans_already_registered",
            field="tape",
        ) from None


def tape_withdraw(*, user: User, tape: TapeVersion, idempotency_key: str) -> TapeVersion:
    """Close the register entries of a tape that no pool uses, so that its loans may be offered again."""
    organisation = originator_of(user)
    own(tape, organisation, "tape")
    with transaction.atomic():
        claimed = claim(
            organisation=organisation, key=idempotency_key, verb="tape_withdraw", params={"tape": str(tape.pk)}
        )
        if not claimed.fresh:
            return tape
        # The lock conflicts with the share lock a new pool's foreign key takes: one of the two waits and then sees.
        TapeVersion.objects.select_for_update().get(pk=tape.pk)
        if tape.pools.exists():
            raise ApplicationError(
                f"The tape {tape.name} has a pool and cannot be withdrawn.", code="tape_in_use", field="tape"
            )
        Loan.objects.filter(tape=tape, pool__isnull=True).update(is_open=False)
        claimed.settle(tape.pk)
        audit_record(actor=user, verb="tape.withdrawn", subject=f"tape:{tape.pk}", payload={})
    return tape


def pool_create(
    *,
    user: User,
    tape: TapeVersion,
    name: str,
    idempotency_key: str,
    as_of: str = "",
    rules: Sequence[Mapping[str, Any]] | None = None,
) -> Pool:
    """Select the eligible loans of a tape as of a date ("origination", YYYY-MM-DD, or "" for the tape's own).

    Outcomes of the tape serve only to set the realised loss beside a later prediction.
    """
    organisation = originator_of(user)
    own(tape, organisation, "tape")
    collateral = collateral_of(tape, as_of=as_of, rules=rules)
    path, loans_digest, _ = artefact_store([loans_to_bytes(collateral.loans)], suffix=".loans")
    rules_digest = digest(json.dumps(collateral.rules).encode())
    params = {"tape": str(tape.pk), "name": name, "as_of": as_of, "rules": rules_digest}
    with transaction.atomic():
        claimed = claim(organisation=organisation, key=idempotency_key, verb="pool_create", params=params)
        if not claimed.fresh:
            return Pool.objects.get(pk=claimed.subject_id)
        pool = Pool.objects.create(
            organisation=organisation,
            tape=tape,
            name=_named(name),
            loans_path=path,
            loans_digest=loans_digest,
            **collateral.columns(),
        )
        _loans_pledge(pool, collateral)
        claimed.settle(pool.pk)
        audit_record(
            actor=user,
            verb="pool.created",
            subject=f"pool:{pool.pk}",
            payload={"tape_root": tape.root, "loans": pool.loan_count, "loans_digest": loans_digest},
        )
    return pool


def _loans_pledge(pool: Pool, collateral: Collateral) -> None:
    """Give the loans to the pool; where another pool holds one already, the whole creation is refused."""
    if loans_pledge(pool=pool, rows=list(collateral.register_rows())) != len(collateral.loans):
        raise ApplicationError(
            f"Loans of the tape {pool.tape.name} belong to another pool already; one loan backs one pool.",
            code="loans_already_pooled",
            field="tape",
        )


def deal_create(
    *,
    user: User,
    pool: Pool,
    name: str,
    idempotency_key: str,
    spec: str | Mapping[str, Any] | None = None,
    closing: date | None = None,
) -> Deal:
    """A deal over a pool. spec: a DealSpec as JSON, or None for the default template closing on `closing`."""
    organisation = originator_of(user)
    own(pool, organisation, "pool")
    try:
        if spec is None:
            dates = deal_dates(pool, closing or timezone.localdate())
            parsed = default_template(name=_named(name), currency="USD", **dates)
        else:
            parsed = DealSpec.from_json(spec)
    except SpecError as error:
        raise ApplicationError(f"{error}.", code="spec_invalid", field="spec") from error
    open_classes = [tranche.name for tranche in parsed.tranches if tranche.balance is None]
    if open_classes and len(open_classes) < len(parsed.tranches):
        raise ApplicationError(
            f"tranches: class {open_classes[0]} has no balance while others have; give all balances, or none to have"
            " them solved.",
            code="spec_invalid",
            field="spec",
        )
    with transaction.atomic():
        claimed = claim(
            organisation=organisation,
            key=idempotency_key,
            verb="deal_create",
            params={
                "pool": str(pool.pk),
                "name": name,
                "spec": parsed.content_hash() if spec is not None else f"default {closing}",
            },
        )
        if not claimed.fresh:
            return Deal.objects.get(pk=claimed.subject_id)
        Pool.objects.select_for_update().get(pk=pool.pk)
        if Deal.objects.filter(pool=pool).exists():
            raise ApplicationError(f"The pool {pool.name} backs a deal already.", code="pool_in_use", field="pool")
        deal = Deal.objects.create(organisation=organisation, pool=pool, name=_named(name))
        deal_version_create(deal=deal, spec=parsed)
        claimed.settle(deal.pk)
        audit_record(
            actor=user,
            verb="deal.created",
            subject=f"deal:{deal.pk}",
            payload={"spec": parsed.content_hash(), "pool": pool.pk},
        )
    return deal


def deal_version_create(*, deal: Deal, spec: DealSpec) -> DealVersion:
    """The next immutable version of a deal, in the caller's transaction."""
    Deal.objects.select_for_update().get(pk=deal.pk)
    last = deal.versions.order_by("-number").values_list("number", flat=True).first() or 0
    return DealVersion.objects.create(
        deal=deal, number=last + 1, spec=spec.to_json(), spec_hash=spec.content_hash()
    )


def _named(name: str) -> str:
    text = name.strip()
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise ApplicationError(f"The name must be 1 to {LONGEST_NAME} printable characters.", field="name")
    return text
