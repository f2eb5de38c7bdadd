"""Addresses of rating requests."""

from django.urls import path

from rating import views

urlpatterns = [
    path("deals/<uuid:pk>/rate/", views.rate, name="rate"),
    path("rating-runs/<uuid:pk>/", views.rating_run, name="rating-run"),
]
