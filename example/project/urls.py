"""The addresses that are served over HTTP."""

from django.urls import include, path

urlpatterns = [path("", include("chat.urls"))]
