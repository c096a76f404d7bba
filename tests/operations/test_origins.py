"""Which pages may connect, by Django's settings or by `allowed_origins`."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.test import override_settings

from channels_graphql_ws.operations.origins import Server, Trust, check_allowed_origins


def server(host: str | None = "ours.org:8000", scheme: str = "http", **headers: str) -> Server:
    named = {} if host is None else {"host": host}
    encoded = [
        (name.replace("_", "-").encode(), value.encode())
        for name, value in {**named, **headers}.items()
    ]
    return Server({"scheme": scheme, "headers": encoded})


@pytest.mark.parametrize(
    ("origin", "hosts", "trusted", "trust"),
    [
        # The host and port that were connected to.
        ("http://ours.org:8000", ["ours.org"], [], Trust.OWN),
        ("https://OURS.org:8000", ["ours.org"], [], Trust.OWN),
        ("http://ours.org.:8000", ["ours.org"], [], Trust.OWN),
        ("http://ours.org:9000", ["ours.org"], [], None),
        ("http://ours.org", ["ours.org"], [], None),
        ("https://ours.org:8000", ["*"], [], Trust.OWN),
        ("https://ours.org", ["*"], [], None),
        ("https://evil.org:8000", ["*"], [], None),
        # Other hosts of the site, at the same port.
        ("https://www.ours.org:8000", [".ours.org"], [], Trust.OWN),
        ("http://a.org:8000", ["a.org", "ours.org"], [], Trust.OWN),
        ("http://a.org:8001", ["a.org", "ours.org"], [], None),
        ("https://ours.org.evil.org:8000", ["ours.org"], [], None),
        ("https://evilours.org:8000", [".ours.org"], [], None),
        # What is trusted.
        ("https://a.org", [], ["https://a.org"], Trust.LISTED),
        ("https://a.org:443", [], ["https://a.org"], Trust.LISTED),
        ("https://a.org", [], ["https://a.org:443"], Trust.LISTED),
        ("http://a.org", [], ["https://a.org"], None),
        ("https://a.org:8443", [], ["https://a.org"], None),
        ("https://a.org:8443", [], ["https://A.org:8443"], Trust.LISTED),
        ("https://b.a.org", [], ["https://*.a.org"], Trust.LISTED),
        ("https://b.a.org:8443", [], ["https://*.a.org"], None),
        ("https://b.a.org:8443", [], ["https://*.a.org:8443"], Trust.LISTED),
        ("https://evila.org", [], ["https://*.a.org"], None),
        ("https://evil.org", [], ["https://a.org"], None),
        # Apps.
        ("capacitor://localhost", [], ["capacitor://localhost"], Trust.LISTED),
        ("ionic://localhost", ["localhost"], ["capacitor://localhost"], None),
        ("chrome-extension://abc_d", [], ["chrome-extension://abc_d"], Trust.LISTED),
        ("tauri://ours.org:8000", ["ours.org"], [], None),
        # What is not an origin at all.
        ("null", ["*", "null"], [], None),
        ("file://", ["ours.org"], [], None),
        ("https://[evil", ["ours.org"], [], None),
        ("https://", ["ours.org"], [], None),
        ("", ["*"], [], None),
        ("https://ours.org:8000/", ["ours.org"], [], None),
        ("https://me@ours.org:8000", ["ours.org"], [], None),
        ("https://ours.org:8000, https://evil.org", ["*"], [], None),
        (f"https://ours.org:{'8' * 5_000}", ["*"], [], None),
        ("https://[::1]:8000", ["[::1]", "ours.org"], [], Trust.OWN),
    ],
)
def test_the_settings_decide(origin: str, hosts: Any, trusted: Any, trust: Any) -> None:
    with override_settings(ALLOWED_HOSTS=hosts, CSRF_TRUSTED_ORIGINS=trusted):
        assert server().trust(origin, None) is trust


@pytest.mark.parametrize(
    ("host", "scheme", "origin", "is_own"),
    [
        ("ours.org", "http", "http://ours.org", True),
        ("ours.org", "http", "http://ours.org:80", True),
        ("ours.org:80", "http", "http://ours.org", True),
        # A proxy may end TLS.
        ("ours.org", "http", "https://ours.org", True),
        ("ours.org:443", "ws", "https://ours.org", True),
        ("ours.org", "wss", "https://ours.org", True),
        ("ours.org", "https", "http://ours.org", False),
        ("ours.org", "wss", "http://ours.org", False),
        ("ours.org", "http", "https://ours.org:8443", False),
        # A proxy that names another host hides the port.
        ("127.0.0.1:8000", "http", "https://ours.org", True),
        ("127.0.0.1:8000", "http", "https://ours.org:8000", False),
        (None, "http", "http://ours.org", True),
        (None, "http", "http://ours.org:8000", False),
        ("ours org", "http", "http://ours.org", True),
    ],
)
@override_settings(ALLOWED_HOSTS=["ours.org"])
def test_the_port_is_compared(host: Any, scheme: str, origin: str, is_own: Any) -> None:
    assert (server(host, scheme).trust(origin, None) is Trust.OWN) is is_own


@override_settings(ALLOWED_HOSTS=["*"])
def test_a_proxy_may_forward_the_host() -> None:
    behind_proxy = server("10.0.0.1:8000", x_forwarded_host="ours.org")
    assert behind_proxy.trust("https://ours.org", None) is None
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert behind_proxy.trust("https://ours.org", None) is Trust.OWN
        assert behind_proxy.host == "ours.org"
        assert server("ours.org").trust("https://ours.org", None) is Trust.OWN


@override_settings(
    ALLOWED_HOSTS=["ours.org"], SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")
)
def test_a_proxy_may_say_that_there_was_tls() -> None:
    assert server("ours.org", x_forwarded_proto="https").trust("http://ours.org", None) is None
    assert server("ours.org", x_forwarded_proto="http").trust("http://ours.org", None)


@pytest.mark.parametrize("debug", [False, True])
def test_in_development_pages_of_this_machine_are_allowed(debug: bool) -> None:
    with override_settings(ALLOWED_HOSTS=[], DEBUG=debug):
        for origin in ("http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]"):
            assert (server("localhost:8000").trust(origin, None) is Trust.OWN) is debug
        assert server("localhost:8000").trust("https://evil.org", None) is None
        assert server("evil.org:8000").trust("http://evil.org:8000", None) is None


@override_settings(DEBUG=True, ALLOWED_HOSTS=["localhost"])
def test_where_hosts_are_named_other_ports_are_others() -> None:
    assert server("localhost:8000").trust("http://localhost:3000", None) is None


@pytest.mark.parametrize(
    ("origin", "allowed", "trust"),
    [
        ("https://a.org", ["https://a.org"], Trust.LISTED),
        ("https://b.org", ["https://a.org"], None),
        ("https://b.a.org", ["https://*.a.org"], Trust.LISTED),
        ("capacitor://localhost", ["capacitor://localhost"], Trust.LISTED),
        ("null", ["null"], Trust.LISTED),
        ("null", [], None),
        ("null", ["*"], Trust.ANY),
        ("*", ["*"], Trust.ANY),
        ("https://evil.org", ["*"], Trust.ANY),
        ("https://a.org", ["*", "https://a.org"], Trust.LISTED),
        ("http://ours.org:8000", ["https://a.org"], Trust.OWN),
        ("http://ours.org:8000", [], Trust.OWN),
        ("http://ours.org:9000", [], None),
        # The list takes the place of the settings.
        ("http://www.ours.org:8000", [], None),
        ("https://trusted.org", [], None),
    ],
)
@override_settings(
    ALLOWED_HOSTS=[".ours.org"], CSRF_TRUSTED_ORIGINS=["https://trusted.org"], DEBUG=False
)
def test_the_option_decides(origin: str, allowed: Any, trust: Any) -> None:
    assert server().trust(origin, allowed) is trust


@pytest.mark.parametrize(
    ("host", "hosts", "is_allowed"),
    [
        ("ours.org", ["ours.org"], True),
        ("ours.org:8000", ["ours.org"], True),
        ("evil.org", ["ours.org"], False),
        ("ours.org, evil.org", ["*"], False),
        ("ours.org/", ["*"], False),
        ("", ["*"], False),
        (None, [], True),
    ],
)
def test_the_host_is_checked_as_django_does(host: Any, hosts: Any, is_allowed: bool) -> None:
    with override_settings(ALLOWED_HOSTS=hosts):
        if is_allowed:
            server(host).check_host()
        else:
            with pytest.raises(DisallowedHost):
                server(host).check_host()


@override_settings(ALLOWED_HOSTS=["ours.org"], USE_X_FORWARDED_HOST=True)
def test_the_forwarded_host_is_checked_where_it_counts() -> None:
    with pytest.raises(DisallowedHost):
        server("ours.org", x_forwarded_host="evil.org").check_host()
    server("evil.org", x_forwarded_host="ours.org").check_host()


@override_settings(ALLOWED_HOSTS=["ours.org"], CSRF_TRUSTED_ORIGINS=["https://a.org"])
def test_a_refusal_is_explained() -> None:
    assert server("ours.org").explain("https://evil.org", None) == (
        "of the origin https://evil.org: it was compared with the host ours.org, ALLOWED_HOSTS "
        "['ours.org'] with its port, and CSRF_TRUSTED_ORIGINS ['https://a.org']. If its pages "
        "may connect, add it to CSRF_TRUSTED_ORIGINS or `allowed_origins`"
    )
    assert server(None).explain("x" * 200 + "\n", ["https://a.org"]) == (
        f"of the origin '{'x' * 100}…': it was compared with the host unknown and "
        "`allowed_origins` ['https://a.org']. If its pages may connect, add it to the latter"
    )


@pytest.mark.parametrize("value", [None, [], ("https://a.org",), {"*"}, ["null", "file://"]])
def test_origins_are_origins(value: Any) -> None:
    check_allowed_origins(value, "allowed_origins")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("https://a.org", TypeError, "allowed_origins is 'https://a.org', it must be a list"),
        (True, TypeError, "allowed_origins is True, it must be a list of origins, or `None`"),
        ([1], TypeError, "allowed_origins has 1 in it, which is not a string"),
        (["a.org"], ValueError, "has 'a.org' in it, which is not an origin: it must be a scheme"),
        (["https://a.org/"], ValueError, "without a path"),
        (["https://"], ValueError, "not an origin"),
        (["://a.org"], ValueError, "not an origin"),
    ],
)
def test_what_is_not_an_origin_is_refused(value: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        check_allowed_origins(value, "allowed_origins")
    assert text in str(caught.value)
