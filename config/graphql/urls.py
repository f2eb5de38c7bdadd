"""The addresses of the API."""

from django.urls import path

from config.graphql.view import graphql_view, sdl_view
from pooling.views_upload import upload_view

urlpatterns = [
    path("graphql/", graphql_view, name="graphql"),
    path("schema.graphql", sdl_view, name="sdl"),
    path("api/uploads/", upload_view, name="upload"),
]
