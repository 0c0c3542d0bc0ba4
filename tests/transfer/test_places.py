"""What there is at a place: apps, sessions, and the state of users, with sessions or without."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.conversations import LENGTHS, count, fill_store, outcomes

from adk_extra_sessions import ClosedError, SessionStore
from adk_extra_sessions.testing.contract.samples import APP, an_event
from adk_extra_sessions.transfer import Outcome, Result, StorePlace, copy_items, plan_items, verify_items
from adk_extra_sessions.transfer.overview import App, Summary, apps, newest, sessions, users

ODD = ["app", "app-1", "app0", "app/", "a*b?[c]", "{x}", "%7B", "é", "app~", "app/\x7f", "~", "A"]


def test_every_app_is_found_once(store: SessionStore) -> None:
    for name in ODD:
        store.create_session(app_name=name, user_id="/", session_id="{}", state={"user:a": 1, "app:a": 1})
    for name, state in (("no session", {"user:a": 1}), ("no session0", {"app:a": 1})):
        store.create_session(app_name=name, user_id="u", session_id="s", state=state)
        store.delete_session(app_name=name, user_id="u", session_id="s")
    assert sorted(StorePlace(store).app_names()) == sorted([*ODD, "no session", "no session0"])
    for name in ODD:
        assert [(key.user_id, key.session_id) for key in StorePlace(store).keys(name)] == [("/", "{}")]
        assert [(one.user_id, dict(one.state)) for one in StorePlace(store).shared_states(name)] == [
            ("/", {"a": 1}),
            (None, {"a": 1}),
        ]


def test_many_sessions_and_users_are_found(store: SessionStore) -> None:
    for number in range(620):
        user = f"u{number}" if number >= 100 else "one"
        store.create_session(app_name=APP, user_id=user, session_id=f"s{number}")
    found = list(StorePlace(store).keys(APP))
    assert sorted(key.session_id for key in found) == sorted(f"s{number}" for number in range(620))
    runs = [key.user_id for at, key in enumerate(found) if at == 0 or found[at - 1].user_id != key.user_id]
    assert len(runs) == len(set(runs)) == 521  # users together
    assert len(list(StorePlace(store).keys(APP, "one"))) == 100


def test_everything_is_copied_and_verified(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store)
    store.create_session(app_name=APP, user_id="gone", session_id="s", state={"user:left": "behind", "app:y": 5})
    store.delete_session(app_name=APP, user_id="gone", session_id="s")
    source, destination = StorePlace(store), StorePlace(other_store)
    every = 2 * len(LENGTHS)
    assert outcomes(plan_items(source.items(), destination)) == {"created": every, "state": 4}
    assert count(destination) == 0
    assert outcomes(copy_items(source.items(), destination)) == {"created": every, "state": 4}
    assert outcomes(verify_items(source.items(), destination)) == {"the same": every + 4}
    assert outcomes(plan_items(source.items(), destination)) == {"the same": every, "state": 4}
    assert other_store.get_user_state(app_name=APP, user_id="gone") == {"left": "behind"}
    for session in store.iter_sessions(app_name=APP):
        found = other_store.get_session(app_name=APP, user_id=session.user_id, session_id=session.id)
        assert found is not None and found.state == session.state


def test_only_what_was_chosen_is_copied(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store, lengths={"short": 3})
    store.create_session(app_name="other", user_id="u:0", session_id="s")
    copied = outcomes(copy_items(StorePlace(store).items([APP], ["u:1"]), StorePlace(other_store)))
    assert copied == {"created": 1, "state": 1}
    assert [key.user_id for key in StorePlace(other_store).keys(APP)] == ["u:1"]
    assert list(StorePlace(other_store).keys("other")) == []
    # One user's copy does not change what all users of the destination share.
    assert StorePlace(other_store).shared_state(APP, None) == {}


def test_one_bad_session_does_not_stop_the_others(store: SessionStore, other_store: SessionStore) -> None:
    fill_store(store, users=[0])
    other_store.create_session(app_name=APP, user_id="u:0", session_id="short", state={"another": 1})
    results = list(copy_items(StorePlace(store).items(), StorePlace(other_store)))
    failed = [one for one in results if one.outcome is Outcome.FAILED]
    assert [one.item.key.session_id for one in failed if hasattr(one.item, "key")] == ["short"]
    assert count(StorePlace(other_store)) == len(LENGTHS)


@pytest.mark.parametrize("there", [False, True], ids=["new", "there already"])
@pytest.mark.parametrize("call", [copy_items, plan_items, verify_items])
def test_a_session_deleted_after_it_was_listed_is_gone(
    store: SessionStore, other_store: SessionStore, call: Callable[..., Iterator[Result]], there: bool
) -> None:
    fill_store(store, users=[0], lengths={"short": 3})
    if there:
        outcomes(copy_items(StorePlace(store).items(), StorePlace(other_store)))
    (item, *_) = list(StorePlace(store).items())
    store.delete_session(app_name=APP, user_id="u:0", session_id="short")
    assert outcomes(call([item], StorePlace(other_store))) == {"gone": 1}
    assert count(StorePlace(other_store)) == there


@pytest.mark.parametrize("change", ["event", "more", "state", "surplus", "shared", "missing", "time"])
def test_every_difference_is_found(store: SessionStore, other_store: SessionStore, change: str) -> None:
    fill_store(store, users=[0], lengths={"short": 3, "empty": 0})
    source, destination = StorePlace(store), StorePlace(other_store)
    outcomes(copy_items(source.items(), destination))
    names = {"app_name": APP, "user_id": "u:0"}
    if change == "shared":
        destination.write_shared_state(APP, "u:0", {"x": "changed"})
        expected = "state key 'x' differs"
    elif change == "missing":
        other_store.delete_session(**names, session_id="short")
        expected = "it is missing"
    else:
        live = other_store.get_session(**names, session_id="short" if change in ("event", "more") else "empty")
        assert live is not None
        if change == "event":
            live_there = store.get_session(**names, session_id="short")
            assert live_there is not None
            store.append_event(live_there, an_event("one", at=1005.0))
            other_store.append_event(live, an_event("other", at=1005.0))
            expected = "event 3 ("
        elif change == "more":
            other_store.append_event(live, an_event(at=live.last_update_time))
            expected = "1 events are not in the source"
        else:
            changes = {
                "state": ({"begun": 0}, "state key 'begun' differs"),
                "surplus": ({"new": 0}, "state key 'new' is not in the source"),
                "time": (None, "last_update_time is 5.0"),
            }
            delta, expected = changes[change]
            other_store.append_event(live, an_event(at=5.0, delta=delta))
    different = [one for one in verify_items(source.items(), destination) if one.outcome is Outcome.DIFFERENT]
    assert [any(expected in problem for problem in one.problems) for one in different] == [True]


def test_an_app_is_there_if_it_has_sessions_or_state(store: SessionStore) -> None:
    store.create_session(app_name=APP, user_id="u", session_id="s")
    store.create_session(app_name="no session", user_id="u", session_id="s", state={"user:a": 1})
    store.delete_session(app_name="no session", user_id="u", session_id="s")
    place = StorePlace(store)
    assert [place.has_app(name) for name in (APP, "no session", "nothing")] == [True, True, False]
    assert [place.shared_state("no session", name) for name in ("u", "nobody", None)] == [{"a": 1}, {}, {}]


def test_a_place_closes_only_a_store_of_its_own(store: SessionStore) -> None:
    with StorePlace(store):
        pass
    store.ping()
    with StorePlace(store, owns_store=True):
        pass
    with pytest.raises(ClosedError):
        store.ping()


def test_an_overview_is_newest_first(store: SessionStore) -> None:
    for number, name in enumerate(["old", "new", "middle"]):
        live = store.create_session(app_name=APP, user_id=f"u{number % 2}", session_id=name)
        store.append_event(live, an_event(at={"old": 1.0, "middle": 2.0, "new": 3.0}[name]))
    store.create_session(app_name="later", user_id="u", session_id="s")
    place = StorePlace(store)
    assert [app.app_name for app in apps(place)] == ["later", APP]
    assert apps(place)[1] == App(APP, 2, 3, 3.0)
    assert [one.session_id for one in newest(sessions(place, APP), 2)] == ["new", "middle"]
    assert newest(sessions(place, APP, "u0"), 0) == [Summary(APP, "u0", "middle", 2.0), Summary(APP, "u0", "old", 1.0)]
    assert [(one.user_id, one.sessions) for one in newest(users(place, APP), 0)] == [("u1", 1), ("u0", 2)]
