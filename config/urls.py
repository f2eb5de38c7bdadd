"""Every address of the site."""

from django.urls import URLPattern, URLResolver, include, path

from config.health import livez, readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("livez", livez, name="livez"),
    path("readyz", readyz, name="readyz"),
    path("", include("config.graphql.urls")),
]
