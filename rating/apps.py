from django.apps import AppConfig


class RatingConfig(AppConfig):
    default_auto_field = "django.db.models.BigAutoField"
    name = "rating"

    def ready(self) -> None:
        from rating.runs import kinds_register  # models are loaded only now

        kinds_register()
