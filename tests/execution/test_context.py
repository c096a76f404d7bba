"""`info.context`: attributes and items, and what it knows of the connection."""

from __future__ import annotations

import copy
import pickle
import threading
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.utils.functional import SimpleLazyObject

from channels_graphql_ws import dict_as_object
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution import context
from channels_graphql_ws.execution.context import DictAsObject, OperationContext
from channels_graphql_ws.scope_as_context import ScopeAsContext


def made(**scope) -> OperationContext:
    return OperationContext({"channels_scope": scope, "channel_name": "mine"})


def test_the_old_module_has_the_same_class():
    assert dict_as_object.DictAsObject is DictAsObject is context.DictAsObject
    assert dict_as_object.__all__ == ["DictAsObject"]


def test_the_context_of_older_releases_is_the_scope():
    scope = {"user": "Ann", "is_authenticated": True}
    thing = ScopeAsContext(scope)
    assert thing.is_authenticated
    assert thing._scope is thing._asdict() is scope
    thing.tenant = "t"
    assert scope["tenant"] == "t"


def test_attributes_and_items_are_the_same():
    thing = DictAsObject({"a": 1})
    thing.b = 2
    thing["c"] = 3
    assert (thing.a, thing["b"], thing.c) == (1, 2, 3)
    assert "c" in thing
    assert "d" not in thing
    assert (list(thing), len(thing)) == (["a", "b", "c"], 3)


def test_the_dictionary_is_kept_and_not_copied():
    dictionary = {"a": 1}
    thing = DictAsObject(dictionary)
    thing.b = 2
    assert thing._asdict() is dictionary
    assert dictionary == {"a": 1, "b": 2}


def test_it_shows_itself_as_a_dictionary():
    thing = DictAsObject({"a": 1})
    assert str(thing) == repr(thing) == "{'a': 1}"


def test_even_an_empty_one_is_true():
    assert DictAsObject({})


def test_attributes_and_items_can_be_deleted():
    thing = DictAsObject({"a": 1, "b": 2})
    del thing.a
    del thing["b"]
    assert thing._asdict() == {}


def test_what_is_missing_is_an_attribute_error_or_a_key_error():
    thing = DictAsObject({})
    with pytest.raises(AttributeError, match="DictAsObject has no attribute 'a'"):
        _ = thing.a
    with pytest.raises(AttributeError, match="'a'"):
        del thing.a
    with pytest.raises(KeyError):
        _ = thing["a"]
    with pytest.raises(KeyError):
        del thing["a"]
    assert getattr(thing, "a", "default") == "default"
    assert not hasattr(thing, "a")


def test_the_scope_is_the_dictionary_itself():
    scope = {"headers": []}
    thing = OperationContext({"channels_scope": scope})
    thing.channels_scope["mark"] = 1
    assert scope["mark"] == 1


def test_user_and_session_are_read_from_the_scope_each_time():
    thing = made(user="anna", session={"a": 1})
    assert (thing.user, thing["user"], thing.session) == ("anna", "anna", {"a": 1})
    thing.channels_scope["user"] = "berta"
    assert thing.user == "berta"
    assert "user" in thing


def test_what_is_set_hides_what_is_read_from_the_scope():
    thing = made(user="anna")
    thing.user = "berta"
    assert (thing.user, thing["user"]) == ("berta", "berta")
    assert thing.channels_scope["user"] == "anna"
    del thing.user
    assert thing.user == "anna"


@pytest.mark.parametrize("name", ["user", "session"])
def test_a_connection_without_one_says_which_middleware_gives_it(name):
    thing = made()
    with pytest.raises(AttributeError, match="AuthMiddlewareStack"):
        getattr(thing, name)
    with pytest.raises(KeyError, match=name):
        thing[name]
    assert name not in thing


def test_other_names_are_missing_as_ever():
    thing = made()
    with pytest.raises(AttributeError, match="'other'"):
        _ = thing.other
    with pytest.raises(KeyError):
        _ = thing["other"]
    assert "other" not in thing
    assert thing["channel_name"] == thing.channel_name == "mine"
    assert "channel_name" in thing


def test_what_on_connect_or_a_middleware_put_into_the_scope_is_found():
    thing = made(is_authenticated=True, tenant="t")
    assert thing.is_authenticated
    assert thing["tenant"] == thing._scope["tenant"] == "t"
    assert "tenant" in thing
    thing.tenant = "mine"
    assert thing.tenant == "mine"
    assert thing.channels_scope["tenant"] == "t"
    assert list(thing) == ["channels_scope", "channel_name", "tenant"]


def test_a_context_without_a_scope_has_only_what_was_set():
    thing = OperationContext({"a": 1})
    assert thing.a == 1
    assert "tenant" not in thing
    with pytest.raises(AttributeError, match="'tenant'"):
        _ = thing.tenant


def test_what_is_in_no_place_says_where_it_was_looked_for():
    with pytest.raises(AttributeError, match="and the scope of the connection has no such key"):
        _ = made().is_authenticated


def test_headers_have_lower_case_names_and_text_values():
    thing = made(headers=[(b"X-Token", b"caf\xe9"), (b"host", b"example.com")])
    assert thing.headers == {"x-token": "café", "host": "example.com"}
    assert "headers" in thing


def test_repeated_headers_are_joined():
    thing = made(headers=[(b"x-way", b"a"), (b"X-Way", b"b")])
    assert thing.headers == {"x-way": "a, b"}


def test_cookies_come_from_the_headers():
    thing = made(headers=[(b"cookie", b"a=1; sessionid=xyz"), (b"cookie", b"b=2")])
    assert thing.cookies == {"a": "1", "sessionid": "xyz", "b": "2"}
    assert "cookies" in thing


def test_one_odd_cookie_does_not_hide_the_others():
    thing = made(headers=[(b"cookie", b'a=1; q\xff[]{}="; sessionid=xyz')])
    assert thing.cookies["sessionid"] == "xyz"


def test_cookies_that_a_middleware_has_read_are_taken():
    thing = made(cookies={"a": "1"}, headers=[(b"cookie", b"b=2")])
    assert thing.cookies == {"a": "1"}


def test_without_headers_there_are_none():
    thing = made()
    assert (thing.headers, thing.cookies) == ({}, {})


def test_an_object_in_the_scope_is_given_as_it_is():
    user = SimpleNamespace(pk=1)
    assert made(user=user).user is user


class Special(OperationContext):
    """A context of the user's own, with another constructor."""

    def __init__(self, tenant):
        super().__init__({"tenant": tenant, "channels_scope": {}})


unpickled = pickle.loads
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda it: unpickled(pickle.dumps(it)),
}


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize(
    "original",
    [
        DictAsObject({"a": 1}),
        made(user=User(username="Ann"), headers=[(b"x", b"1")]),
        made(user=SimpleLazyObject(User)),
        context.SharedContext({"graphql_operation_name": "A"}),
        Special("one"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_can_be_copied(original, way):
    copied = way(original)
    assert type(copied) is type(original)
    assert list(copied) == list(original)
    copied.mine = 1
    assert "mine" not in list(original)


def test_a_copy_belongs_to_the_same_connection_and_a_pickle_to_none():
    owner = SimpleNamespace(listen_to_channel=lambda *_, **__: "listening")
    original = OperationContext({"channels_scope": {}}, owner)
    for copied in (copy.copy(original), copy.deepcopy(original)):
        assert copied.listen_to_channel("news") == "listening"
    with pytest.raises(ChannelLayerError):
        unpickled(pickle.dumps(original)).listen_to_channel("news")


def test_a_copy_shares_the_scope_and_a_deep_copy_does_not():
    original = made(names=["Ann"])
    assert copy.copy(original).channels_scope is original.channels_scope
    deep = copy.deepcopy(original)
    deep.channels_scope["names"].append("Bob")
    assert original.channels_scope["names"] == ["Ann"]


def test_a_deep_copy_shares_what_cannot_be_copied():
    original = made(lock=threading.Lock(), state={"lock": threading.Lock(), "list": []})
    original.again = original.channels_scope
    original.itself = original
    deep = copy.deepcopy(original)
    assert deep.channels_scope["lock"] is original.channels_scope["lock"]
    assert deep.channels_scope["state"]["lock"] is original.channels_scope["state"]["lock"]
    assert deep.channels_scope["state"]["list"] is not original.channels_scope["state"]["list"]
    assert deep.again is deep.channels_scope
    assert deep.itself is deep
