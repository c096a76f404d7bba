"""The pages: the chat itself, the door to it, the wall; and people's pictures."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, get_object_or_404, redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from chat import how as explanation
from chat.forms import GuestForm, RegistrationForm, SignInForm
from chat.models import Message, Picture, Room
from chat.people import become_guest, person_of
from chat.pictures import MAX_BYTES

ENDPOINT = "/graphql/"


@require_GET
@ensure_csrf_cookie
def chat(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """Show a room, the first one by default. What is in it comes over GraphQL."""
    room = get_object_or_404(Room, slug=slug) if slug else Room.objects.first()
    page = {
        "room": room,
        "person": person_of(request.user, request.session),
        "guest_form": GuestForm(),
        "max_length": Message.MAX_LENGTH,
        "shows_graphiql": settings.DEBUG,
        "settings": {
            "endpoint": ENDPOINT,
            "room": room.slug if room else None,
            "maxLength": Message.MAX_LENGTH,
            "maxPictureBytes": MAX_BYTES,
        },
    }
    return render(request, "chat/chat.html", page)


@require_GET
def wall(request: HttpRequest, slug: str | None = None) -> HttpResponse:
    """Show what is said in a room to everybody who passes by. Only reads."""
    rooms = get_list_or_404(Room)
    room = get_object_or_404(Room, slug=slug) if slug else rooms[0]
    settings_of_page = {"endpoint": ENDPOINT, "room": room.slug}
    page = {"room": room, "rooms": rooms, "settings": settings_of_page}
    return render(request, "chat/wall.html", page)


@require_GET
def how(request: HttpRequest) -> HttpResponse:
    """Explain the chat by its own code."""
    return render(request, "chat/how.html", {"steps": explanation.steps()})


@require_GET
def picture(_request: HttpRequest, id: uuid.UUID) -> HttpResponse:
    """Serve a picture as what it is, and as nothing else.

    `SecurityMiddleware` adds `X-Content-Type-Options: nosniff`.
    """
    found = get_object_or_404(Picture, id=id)
    return HttpResponse(
        bytes(found.content),
        content_type=found.content_type,
        headers={
            # Should it be anything but a picture after all, then one that can do nothing.
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "Cache-Control": "public, max-age=31536000, immutable",
        },
    )


class Enter(LoginView):
    """Sign in, or go on as a guest."""

    template_name = "chat/enter.html"
    form_class = SignInForm
    redirect_authenticated_user = True
    extra_context = {"guest_form": GuestForm(), "show_demo": settings.DEBUG}  # noqa: RUF012


@require_POST
def enter_as_guest(request: HttpRequest) -> HttpResponse:
    """Keep the chosen nick in the session."""
    form = GuestForm(request.POST)
    if form.is_valid():
        become_guest(request.session, form.cleaned_data["nick"])
        return redirect("chat")
    page = {"form": SignInForm(), "guest_form": form, "show_demo": settings.DEBUG}
    return render(request, "chat/enter.html", page)


def register(request: HttpRequest) -> HttpResponse:
    """Create an account and sign in with it."""
    form = RegistrationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        login(request, form.save())
        return redirect("chat")
    return render(request, "chat/register.html", {"form": form})
