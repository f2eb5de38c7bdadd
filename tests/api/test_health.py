"""What the watchers of the site see."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder


def test_livez_needs_no_database(client):
    response = client.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert len(response.headers["X-Request-ID"]) == 32


@pytest.mark.django_db
def test_readyz_wants_every_migration(client):
    assert client.get("/readyz").json() == {"status": "ok", "problems": []}
    MigrationRecorder(connection).record_unapplied("sessions", "0001_initial")
    response = client.get("/readyz")
    assert (response.status_code, response.json()["problems"]) == (503, ["migrations"])


def test_health_answers_reads_only(client):
    assert client.post("/livez").status_code == 405
    assert client.post("/readyz").status_code == 405


def test_upload_beyond_the_bound_is_refused_unread(client, settings):
    settings.UPLOAD_MAX_BYTES = 1000
    with pytest.raises(Exception, match="exceeds 1000 bytes"):
        client.post("/livez", {"file": __file__, "padding": "x" * 2000}).wsgi_request.POST  # noqa: B018
