"""Two addresses for the machines that watch this one.

/livez answers while the process can answer at all; /readyz when it can do its work.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from runs.selectors import background_stalled


@never_cache
@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """200 {"status": "ok"}: touches nothing outside this process."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, every migration is applied and runs move, else 503 naming the problems."""
    problems = readiness_problems()
    status = "unready" if problems else "ok"
    return JsonResponse({"status": status, "problems": problems}, status=503 if problems else 200)


def readiness_problems() -> list[str]:
    """Stable words for what keeps the site from working: `database`, `migrations`, `workers`; empty when ready."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
        stalled = not pending and background_stalled()
    except DatabaseError:
        return ["database"]
    return ["migrations"] if pending else ["workers"] if stalled else []
