from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from chat.views import room

urlpatterns = [
    path("", room, name="room"),
    path("room/<slug:name>/", room, name="room"),
    path("login/", LoginView.as_view(template_name="admin/login.html"), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
