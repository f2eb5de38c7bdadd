"""Settings, URLs and everything that binds the apps together. Loads the Celery application with Django."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
