"""The project itself as an app: it carries the commands, templates and static files that span all apps."""

from django.apps import AppConfig


class HouseConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "config"
    label = "house"
    verbose_name = "Glasspool"

    def ready(self) -> None:
        """Register the project's own system checks."""
        from config import checks  # noqa: F401  (importing registers them)
