from django.apps import AppConfig


class PricingConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "pricing"

    def ready(self) -> None:
        from pricing import runs, sensitivity_runs  # models are loaded only now

        runs.kinds_register()
        sensitivity_runs.kinds_register()
