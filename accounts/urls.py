"""Addresses of signing in and out."""

from django.urls import path

from accounts.views import SignIn, SignOut

urlpatterns = [
    path("login/", SignIn.as_view(), name="login"),
    path("logout/", SignOut.as_view(), name="logout"),
]
