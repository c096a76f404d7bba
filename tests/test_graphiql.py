"""GraphiQL's page and files, without a browser."""

from __future__ import annotations

import gzip
import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from django.core.management import call_command
from django.template import TemplateDoesNotExist

from channels_graphql_ws import graphiql
from channels_graphql_ws.graphiql import GraphiqlConfig

FOLDER = Path(graphiql.__file__).parent / "static" / "channels_graphql_ws" / "graphiql"
STATIC_APPS = ["django.contrib.staticfiles", "channels_graphql_ws"]
MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]


def settings_in(page: str) -> dict:
    """Read the settings as the page's script does."""
    found = re.search(
        r'<script id="graphiql-config" type="application/json">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return json.loads(found[1])


def addresses_in(page: str) -> list[str]:
    """Give all URLs that a browser will fetch."""
    elements = re.findall(r'(?:src|href)="([^"]*)"', page)
    return [unescape(each) for each in elements] + [*settings_in(page)["workers"].values()]


def own_file(address: str) -> str:
    """Give the name of the file that an address of the endpoint asks for."""
    query = parse_qs(address.removeprefix("?"), strict_parsing=True)
    return query[graphiql.ASSET_PARAMETER][0]


class TestPage:
    def test_it_asks_its_own_address_for_files_if_nothing_else_serves_them(self):
        names = [own_file(each) for each in addresses_in(graphiql.render())]
        assert sorted(names) == [
            "editor.worker.js",
            "favicon.svg",
            "graphiql.css",
            "graphiql.js",
            "graphql.worker.js",
            "json.worker.js",
        ]

    def test_it_has_no_script_and_no_style_inside(self):
        page = graphiql.render()
        scripts = re.findall(r"<script\b([^>]*)>", page)
        assert all("src=" in each or "application/json" in each for each in scripts)
        assert "<style" not in page
        assert not re.search(r"\bon\w+=|\bstyle=", page)

    def test_settings_reach_the_script(self):
        page = graphiql.render(
            GraphiqlConfig(
                title="Voices",
                endpoint="/elsewhere/",
                subscription_endpoint="wss://live.example.com/",
                default_query="{ hello }",
                default_headers={"Authorization": "Bearer me"},
                persist_headers=True,
                csrf_token="token",  # noqa: S106 (no secret)
            )
        )
        settings = settings_in(page)
        headers = settings.pop("defaultHeaders")
        del settings["workers"]
        assert json.loads(headers) == {"Authorization": "Bearer me"}
        assert settings == {
            "title": "Voices",
            "endpoint": "/elsewhere/",
            "subscriptionEndpoint": "wss://live.example.com/",
            "defaultQuery": "{ hello }",
            "persistHeaders": True,
            "isWsgi": False,
            "csrf": {"cookie": "csrftoken", "header": "X-Csrftoken", "token": "token"},
        }

    def test_without_settings_the_browser_decides(self):
        settings = settings_in(graphiql.render())
        assert settings["endpoint"] is None
        assert settings["subscriptionEndpoint"] is None
        assert settings["defaultQuery"] is None
        assert settings["defaultHeaders"] is None
        assert settings["persistHeaders"] is False

    def test_no_setting_can_break_out_of_its_place(self):
        evil = "</script></title><script>alert(1)</script><!--\"'&"
        page = graphiql.render(GraphiqlConfig(title=evil, default_query=evil))
        assert "<script>alert" not in page
        assert settings_in(page)["title"] == evil
        assert settings_in(page)["defaultQuery"] == evil

    def test_names_of_cookie_and_header_are_those_of_the_project(self, settings):
        settings.CSRF_COOKIE_NAME = "crumb"
        settings.CSRF_HEADER_NAME = "HTTP_X_MY_CRUMB"
        csrf = settings_in(graphiql.render())["csrf"]
        assert csrf == {"cookie": "crumb", "header": "X-My-Crumb", "token": None}

    def test_a_cookie_that_means_nothing_is_not_looked_at(self, settings):
        settings.CSRF_USE_SESSIONS = True
        page = graphiql.render(GraphiqlConfig(csrf_token="of the session"))  # noqa: S106 (no secret)
        assert settings_in(page)["csrf"]["cookie"] is None
        assert settings_in(page)["csrf"]["token"] == "of the session"  # noqa: S105 (no secret)


class TestTemplate:
    def test_it_is_found_without_templates_in_the_settings(self, settings):
        settings.TEMPLATES = []
        assert "<title>Voices</title>" in graphiql.render(GraphiqlConfig(title="Voices"))

    def test_it_is_found_among_those_of_installed_apps(self, settings):
        settings.TEMPLATES = TEMPLATES
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "channels_graphql_ws"]
        assert "<title>Voices</title>" in graphiql.render(GraphiqlConfig(title="Voices"))

    def test_one_of_the_project_takes_its_place(self, settings, tmp_path: Path):
        own = tmp_path / graphiql.TEMPLATE
        own.parent.mkdir()
        own.write_text("Mine: {{ title }} {{ settings }}")
        settings.TEMPLATES = [{**TEMPLATES[0], "DIRS": [str(tmp_path)]}]
        page = graphiql.render(GraphiqlConfig(title="Voices"))
        assert page.startswith("Mine: Voices")
        assert settings_in(page)["title"] == "Voices"

    def test_a_mistake_in_one_of_the_project_is_not_hidden(self, settings, tmp_path: Path):
        own = tmp_path / graphiql.TEMPLATE
        own.parent.mkdir()
        own.write_text('{% include "missing.html" %}')
        settings.TEMPLATES = [{**TEMPLATES[0], "DIRS": [str(tmp_path)]}]
        with pytest.raises(TemplateDoesNotExist, match=r"missing\.html"):
            graphiql.render()


class TestStaticFiles:
    @pytest.fixture(autouse=True)
    def _staticfiles(self, settings, tmp_path: Path):
        settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, *STATIC_APPS]
        settings.STATIC_URL = "/static/"
        settings.STATIC_ROOT = str(tmp_path)

    def test_they_are_used_where_they_are_installed(self):
        for address in addresses_in(graphiql.render()):
            assert address.startswith("/static/channels_graphql_ws/graphiql/")

    def test_they_are_not_used_if_the_settings_say_so(self):
        for address in addresses_in(graphiql.render(GraphiqlConfig(static_files=False))):
            assert address.startswith("?graphiql-asset=")

    def test_files_of_another_host_are_not_used_for_it_can_not_start_workers(self, settings):
        for url in ("https://cdn.example.com/", "//cdn.example.com/"):
            settings.STATIC_URL = url
            for address in addresses_in(graphiql.render()):
                assert address.startswith("?graphiql-asset=")

    def test_hashed_names_are_used_when_files_are_collected(self, settings, tmp_path: Path):
        settings.STORAGES = {"staticfiles": {"BACKEND": MANIFEST}}
        call_command("collectstatic", interactive=False, verbosity=0)
        for address in addresses_in(graphiql.render()):
            file = tmp_path / address.removeprefix("/static/")
            assert re.search(r"\.[0-9a-f]{12}\.\w+$", file.name)
            assert file.exists()

    def test_the_collected_style_sheet_finds_its_files(self, settings, tmp_path: Path):
        settings.STORAGES = {"staticfiles": {"BACKEND": MANIFEST}}
        call_command("collectstatic", interactive=False, verbosity=0)
        addresses = addresses_in(graphiql.render())
        [style] = [each for each in addresses if each.endswith(".css")]
        sheet = tmp_path / style.removeprefix("/static/")
        names = re.findall(r'url\("?([^)"]*)"?\)', sheet.read_text())
        assert names
        assert all((sheet.parent / each).exists() for each in names)

    def test_own_files_are_used_until_they_are_collected(self, settings):
        settings.STORAGES = {"staticfiles": {"BACKEND": MANIFEST}}
        for address in addresses_in(graphiql.render()):
            assert address.startswith("?graphiql-asset=")


class TestHeaders:
    def test_the_page_may_fetch_nothing_elsewhere_and_be_framed_nowhere(self):
        headers = graphiql.page_headers()
        policy = headers["Content-Security-Policy"].split("; ")
        assert "default-src 'self'" in policy
        assert "style-src 'self' 'unsafe-inline'" in policy
        assert "frame-ancestors 'none'" in policy
        assert not any(each.startswith("connect-src") for each in policy)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "private, no-store"

    def test_endpoints_on_other_hosts_may_be_connected_to(self):
        config = GraphiqlConfig(
            endpoint="/graphql/", subscription_endpoint="wss://live.example.com:8443/graphql/"
        )
        policy = graphiql.page_headers(config)["Content-Security-Policy"].split("; ")
        assert "connect-src 'self' wss://live.example.com:8443" in policy


class TestAssets:
    def test_every_file_of_the_package_is_served(self):
        assert graphiql.asset_names() == {each.name for each in FOLDER.iterdir()}
        for name in graphiql.asset_names():
            assert graphiql.asset_response(name).status == 200

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ".",
            "..",
            "../graphiql.js",
            "../../../graphiql.py",
            "/etc/passwd",
            "graphiql.js/",
            "./graphiql.js",
            "graphiql.js\x00",
            "..\\graphiql.js",
        ],
    )
    def test_nothing_else_is(self, name: str):
        with pytest.raises(KeyError):
            graphiql.asset(name)
        answer = graphiql.asset_response(name)
        assert answer.status == 404
        assert answer.headers["Cache-Control"] == "no-store"

    def test_a_file_says_what_it_is_and_may_be_kept(self):
        answer = graphiql.asset_response("graphiql.js")
        assert answer.body == (FOLDER / "graphiql.js").read_bytes()
        assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "immutable" in answer.headers["Cache-Control"]
        assert "Content-Encoding" not in answer.headers

    def test_the_address_changes_with_the_file(self):
        [address] = [each for each in addresses_in(graphiql.render()) if "graphiql.js" in each]
        version = parse_qs(address.removeprefix("?"))["v"][0]
        assert graphiql.asset("graphiql.js").etag == f'"{version}"'

    def test_the_style_sheet_finds_its_files_at_the_endpoint(self):
        sheet = graphiql.asset_response("graphiql.css").body.decode()
        names = {own_file(each) for each in re.findall(r'url\("?([^)"]*)"?\)', sheet)}
        assert any(each.endswith(".woff2") for each in names)
        assert names <= graphiql.asset_names()

    def test_nothing_of_a_style_sheet_needs_more_than_the_policy_allows(self):
        assert "data:" not in (FOLDER / "graphiql.css").read_text()

    def test_it_is_compressed_for_those_who_take_that(self):
        for accepted in ("gzip", "br, gzip;q=0.5", "*", "GZIP"):
            answer = graphiql.asset_response("graphiql.css", {"accept-encoding": accepted})
            assert answer.headers["Content-Encoding"] == "gzip"
            assert answer.headers["Vary"] == "Accept-Encoding"
            assert gzip.decompress(answer.body) == graphiql.asset("graphiql.css").content

    def test_it_is_not_compressed_for_those_who_do_not(self):
        for accepted in ("", "br", "gzip;q=0", "gzip; q=0.000, br"):
            answer = graphiql.asset_response("graphiql.css", {"accept-encoding": accepted})
            assert "Content-Encoding" not in answer.headers

    def test_what_is_compressed_already_is_sent_as_it_is(self):
        name = next(each for each in graphiql.asset_names() if each.endswith(".woff2"))
        answer = graphiql.asset_response(name, {"accept-encoding": "gzip"})
        assert "Content-Encoding" not in answer.headers
        assert answer.headers["Content-Type"] == "font/woff2"

    def test_a_browser_that_has_it_is_told_so(self):
        etag = graphiql.asset_response("graphiql.css").headers["ETag"]
        answer = graphiql.asset_response("graphiql.css", {"if-none-match": f'"old", {etag}'})
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == etag
        answer = graphiql.asset_response("graphiql.css", {"if-none-match": '"old"'})
        assert answer.status == 200

    def test_licences_come_along(self):
        notice = graphiql.asset("NOTICE.txt").content.decode()
        for owner in ("graphiql 5", "monaco-editor", "react", "graphql-ws", "Fira Code", "Roboto"):
            assert owner in notice
        for licence in ("MIT", "Apache License", "SIL OPEN FONT LICENSE"):
            assert licence in notice

    def test_what_cleans_descriptions_has_no_known_holes(self):
        """Monaco's own copy of DOMPurify has some: the build puts another in its place."""
        texts = [each.read_text() for each in FOLDER.glob("*.LEGAL.txt")]
        versions = re.findall(r"DOMPurify (\d+)\.(\d+)\.(\d+)", "".join(texts))
        assert [tuple(map(int, each)) for each in versions] > [(3, 4, 11)]
        assert len(versions) == 1
