"""When a client tries again, and how long it waits before."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from channels_graphql_ws.client.asked import comes_from_working_function
from channels_graphql_ws.client.errors import ConnectionRejectedError
from channels_graphql_ws.client.option_values import check_attempts, check_wait
from channels_graphql_ws.exceptions import ConnectionClosedError
from channels_graphql_ws.websocket.messages import CloseCode

FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
_LONGEST_ASKED_FOR: Final = 3_600.0

ACK_TIMEOUT_CODE: Final = 4504
BAD_RESPONSE_CODE: Final = 4004

# npm's `graphql-ws` does not reconnect after these, either: another attempt would end the same.
_FATAL_CODES: Final = frozenset(
    {
        BAD_RESPONSE_CODE,
        4005,  # internal client error
        CloseCode.BAD_REQUEST,
        CloseCode.UNAUTHORIZED,
        CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE,
        CloseCode.SUBSCRIBER_ALREADY_EXISTS,
        CloseCode.TOO_MANY_INITIALISATION_REQUESTS,
        CloseCode.INTERNAL_ERROR,
    }
)

# RFC 6455, section 7.4.1: the other codes below 2000 mean a violation of the protocol.
_PASSING_CODES: Final = frozenset({1000, 1001, 1005, 1006, 1012, 1013, 1014})

# Timeouts, too many requests, and what proxies answer while a server restarts.
_PASSING_STATUSES: Final = frozenset({408, 421, 425, 429, 500, 502, 503, 504})

_BAD_REQUEST: Final = 400

_CREDENTIALS: Final = frozenset({401, 403, CloseCode.UNAUTHORIZED, CloseCode.FORBIDDEN})


def full_jitter(failures: int) -> float:
    """Return seconds to wait: random, up to 1, 2, 4, … and at most 60.

    Args:
        failures: how many attempts have failed in a row, from 1 on.
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16))
    return random.uniform(0, longest)  # noqa: S311 (it only spreads clients in time)


def is_retriable(error: Exception) -> bool:
    """Return whether a later attempt may succeed.

    Close codes are judged as by npm's `graphql-ws`; 1012 and 4012 are restarts. Refused
    handshakes are judged by their HTTP status: 408, 429 and those from 500 on may pass. A
    certificate that is not trusted and a wrong URL stay so.

    Whatever a function of the user's raises (for headers, say) may pass once it has worked.
    Before, only what networks do: an `OSError`, what has one as its cause, errors of HTTP
    libraries. Answers of other servers are judged by their status, too.
    """
    if comes_from_working_function(error):
        return True
    if _is_final(error):
        return False
    if (status := _status_of(error)) is not None:
        return status in _PASSING_STATUSES
    if isinstance(error, ConnectionClosedError):
        code = error.code
        is_rfc = code is not None and 1000 <= code < 2000  # noqa: PLR2004 (RFC 6455, 7.4.2)
        return code in _PASSING_CODES if is_rfc else code not in _FATAL_CODES
    return _is_of_network(error)


def _status_of(error: Exception) -> int | None:
    """Return the HTTP status in an error of ours, aiohttp, urllib, requests or httpx."""
    for holder, name in ((error, "status"), (getattr(error, "response", None), "status_code")):
        status = getattr(holder, name, None)
        if type(status) is int and status >= _BAD_REQUEST:
            return status
    return None


def _is_of_network(error: BaseException | None) -> bool:
    """Return whether a network has failed, or this is what came of it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # `TimeoutError` is an `OSError`.
        if isinstance(error, OSError) or any(map(_NETWORK.fullmatch, _names(type(error)))):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _names(cls: type[BaseException]) -> list[str]:
    return [f"{each.__module__.partition('.')[0]}.{each.__name__}" for each in cls.__mro__]


# By name, as none of these need be installed.
_NETWORK: Final = re.compile(
    r"aiohttp\.ClientError|botocore\.HTTPClientError|django\.OperationalError|grpc\.RpcError|"
    r"http\.HTTPException|httpx\.TransportError|redis\.ConnectionError|urllib3\.HTTPError"
)


def _is_final(error: BaseException | None) -> bool:
    """Return whether a value is at fault: a URL, or (also a `ValueError`) a certificate."""
    while error is not None and not isinstance(error, ValueError):
        error = error.__cause__
    return error is not None


def is_about_credentials(error: Exception) -> bool:
    """Return whether the server rejected our credentials."""
    if isinstance(error, ConnectionRejectedError) and error.status in _CREDENTIALS:
        return True
    return isinstance(error, ConnectionClosedError) and error.code in _CREDENTIALS


@dataclass(frozen=True, slots=True)
class Retry:
    """How a client tries again after it has lost its connection, or could not make one.

    Args:
        attempts: how often in a row; `math.inf` for ever.
        wait: seconds before an attempt, from the number of failures in a row.
        should_retry: whether an error may pass.
    """

    attempts: float = math.inf
    wait: Callable[[int], float] = full_jitter
    should_retry: Callable[[Exception], bool] = is_retriable

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            TypeError, ValueError: one cannot work.
        """
        check_attempts(self.attempts)
        for name in ("wait", "should_retry"):
            given = getattr(self, name)
            if not callable(given):
                raise TypeError(f"{name} must be a function, not {given!r}")

    def delay(self, error: Exception, failures: int) -> float | None:
        """Return seconds until the next attempt, `None` if there shall be none.

        Args:
            error: what failed.
            failures: how many attempts have failed in a row, this one included.
        """
        if failures > self.attempts or not self.should_retry(error):
            return None
        asked_for = error.retry_after if isinstance(error, ConnectionRejectedError) else None
        seconds = self.wait(failures)
        check_wait(seconds)
        return max(seconds, min(asked_for or 0, _LONGEST_ASKED_FOR))


NEVER: Final = Retry(attempts=0)
"""No second attempt."""
