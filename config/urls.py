"""Every address of the site."""

from django.urls import URLPattern, URLResolver, include, path

from config.health import readyz

handler400 = "config.views.bad_request"

urlpatterns: list[URLPattern | URLResolver] = [
    path("readyz", readyz, name="readyz"),
    path("", include("config.graphql.urls")),
    path("", include("accounts.urls")),
    path("", include("pooling.urls")),
    path("", include("rating.urls")),
    path("", include("investors.urls")),
    path("", include("marketplace.urls")),
]
