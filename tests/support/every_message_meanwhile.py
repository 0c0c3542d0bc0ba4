"""What others do to a scene of test_every_message.py while its operation waits at one of its messages."""

from __future__ import annotations

from support.every_message_scenes import FULL, Scene


def meanwhile_append(scene: Scene) -> None:
    read = scene.near.get_session(**scene.names())
    if read is not None:
        scene.append(scene.near, scene.ledger.hold(read), scene.make_event("other", {"key": "other"}))


def meanwhile_share(scene: Scene) -> None:
    first = scene.near.get_session(**scene.names("first"))
    if first is not None:
        delta = {"user:x": "other", "app:x": "other"}
        scene.append(scene.near, scene.ledger.hold(first), scene.make_event("other", delta))


def meanwhile_delete(scene: Scene) -> None:
    scene.ledger.delete(scene.near, **scene.names())


def meanwhile_recreate(scene: Scene) -> None:
    scene.ledger.delete(scene.near, **scene.names())
    scene.create(events=FULL)


def meanwhile_fill(scene: Scene) -> None:
    """Others append until some events are moved out of MongoDB's tail."""
    read = scene.near.get_session(**scene.names())
    if read is not None:
        scene.append(scene.near, scene.ledger.hold(read), *(scene.make_event(f"other-{at}") for at in range(FULL)))


def meanwhile_ttl(scene: Scene) -> None:
    read = scene.other.get_session(**scene.names())
    if read is not None:
        scene.append(scene.other, scene.ledger.hold(read), scene.make_event("other", {"key": "other"}))


def meanwhile_same(scene: Scene) -> None:
    """Another process appends the same event to the session as it was loaded there."""
    if scene.before is not None and scene.event is not None:
        live = scene.before.model_copy(deep=True)
        scene.ledger._held[id(live)] = (live, 0)
        scene.append(scene.near, live, scene.event.model_copy(deep=True))


MEANWHILE = [
    meanwhile_append,
    meanwhile_share,
    meanwhile_delete,
    meanwhile_recreate,
    meanwhile_fill,
    meanwhile_ttl,
    meanwhile_same,
]
