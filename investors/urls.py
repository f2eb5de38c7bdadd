"""Addresses of cash and mandates."""

from django.urls import path

from investors import views

urlpatterns = [
    path("cash/", views.cash, name="cash"),
    path("mandates/", views.mandates, name="mandates"),
    path("mandates/new/", views.mandate_new, name="mandate-new"),
]
