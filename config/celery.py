"""The Celery application: it wakes workers and remembers nothing; the database holds the state of every run.

celery -A config worker        computes chunks
celery -A config beat          sends the sweep that wakes runs whose messages were lost
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("glasspool")
# Without this the threads of a web server would send to an unconfigured application of Celery's own.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
