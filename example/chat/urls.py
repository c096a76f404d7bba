"""The addresses of the pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from chat import views

urlpatterns = [
    path("", views.chat, name="chat"),
    path("room/<slug:slug>/", views.chat, name="room"),
    path("wall/", views.wall, name="wall"),
    path("wall/<slug:slug>/", views.wall, name="wall"),
    path("how/", views.how, name="how"),
    path("picture/<uuid:id>/", views.picture, name="picture"),
    path("enter/", views.Enter.as_view(), name="enter"),
    path("enter/guest/", views.enter_as_guest, name="enter-as-guest"),
    path("register/", views.register, name="register"),
    # Django forgets the whole session here, so a guest leaves by the same door.
    path("leave/", LogoutView.as_view(), name="leave"),
]
