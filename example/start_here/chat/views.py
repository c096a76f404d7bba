from django.shortcuts import render


def room(request, name="lobby"):
    return render(request, "chat/room.html", {"room": name})
