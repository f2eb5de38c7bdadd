from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class RunsConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "runs"

    def ready(self) -> None:
        """Load the modules that register further kinds of runs; the apps of the project register theirs themselves."""
        for module in settings.GLASSPOOL_EXTRA_RUN_KINDS:
            import_module(module)
