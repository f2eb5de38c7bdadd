"""Addresses of tapes, pools and new deals."""

from django.urls import path

from pooling import views

urlpatterns = [
    path("tapes/", views.tapes, name="tapes"),
    path("tapes/upload/", views.upload, name="tape-upload"),
    path("tapes/<uuid:pk>/", views.tape, name="tape"),
    path("tapes/<uuid:pk>/errors.csv", views.tape_errors, name="tape-errors"),
    path("tapes/<uuid:pk>/pool/", views.pool_new, name="pool-new"),
    path("pools/<uuid:pk>/", views.pool, name="pool"),
    path("pools/<uuid:pk>/deal/", views.deal_new, name="deal-new"),
]
