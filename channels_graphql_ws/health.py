"""Views for the probes of an orchestrator: is the process alive, and is it ready for clients?"""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse

from channels_graphql_ws.concurrency.database import without_atomic_requests
from channels_graphql_ws.process_statistics import statistics
from channels_graphql_ws.shutdown import connections_of_loop


@without_atomic_requests
async def live(request: HttpRequest) -> JsonResponse:
    """Answer 200: the event loop runs. Without an answer the process may be restarted."""
    del request
    return _answer({"live": True}, 200)


@without_atomic_requests
async def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if new clients may come to this process, else 503 with the problems."""
    del request
    problems = []
    if connections_of_loop().is_draining:
        problems.append("the process is shutting down")
    if not statistics().is_healthy:
        problems.append("the channel layer does not carry messages")
    return _answer({"ready": not problems, "problems": problems}, 503 if problems else 200)


def _answer(content: dict[str, object], status: int) -> JsonResponse:
    return JsonResponse(content, status=status, headers={"Cache-Control": "no-store"})
