"""A mongomock client that several threads can share: it does one operation at a time.

mongomock copies a document for one thread while it changes it for another, which
ends in a RuntimeError; and of two updates at once it may lose one.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import mongomock

_mongomock: Any = mongomock  # some versions have types, others have none
_lock = threading.RLock()

if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it has not
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _locked(operation: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(operation)
    def locked(*arguments: Any, **options: Any) -> Any:
        with _lock:
            return operation(*arguments, **options)

    return locked


class _Collection(_mongomock.Collection):  # type: ignore[misc]
    """What all of its operations consist of, locked."""

    _insert = _locked(_mongomock.Collection._insert)
    _update = _locked(_mongomock.Collection._update)
    _delete = _locked(_mongomock.Collection._delete)
    _find_and_modify = _locked(_mongomock.Collection._find_and_modify)
    count_documents = _locked(_mongomock.Collection.count_documents)
    create_index = _locked(_mongomock.Collection.create_index)
    drop = _locked(_mongomock.Collection.drop)

    def _get_dataset(self, *arguments: Any) -> Iterator[Any]:
        with _lock:
            return iter(list(super()._get_dataset(*arguments)))

    def with_options(self, *arguments: Any, **options: Any) -> _Collection:
        return _as_locked(super().with_options(*arguments, **options))


def _as_locked(collection: Any) -> _Collection:
    collection.__class__ = _Collection  # mongomock cannot be given the class of its collections
    return collection  # type: ignore[no-any-return]


class _Database(_mongomock.Database):  # type: ignore[misc]
    def get_collection(self, *arguments: Any, **options: Any) -> _Collection:
        with _lock:
            return _as_locked(super().get_collection(*arguments, **options))


class LockedMongoClient(_mongomock.MongoClient):  # type: ignore[misc]
    """`mongomock.MongoClient`, for several threads."""

    def get_database(self, *arguments: Any, **options: Any) -> _Database:  # noqa: D102
        with _lock:
            database = super().get_database(*arguments, **options)
            database.__class__ = _Database
            return database  # type: ignore[no-any-return]
