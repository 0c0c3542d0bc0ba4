"""Stores appends: makes requests of encoded events, and notes the outcomes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from adk_extra_sessions.adk.private import StaleSessionError
from adk_extra_sessions.appends import Append, by_request, by_session, record_error, record_revisions, request
from adk_extra_sessions.backends.base import Backend
from adk_extra_sessions.codec import Codec
from adk_extra_sessions.driver_errors import DriverErrors
from adk_extra_sessions.history.outlines import Outlines
from adk_extra_sessions.live_sessions import live_sessions
from adk_extra_sessions.options import StoreOptions
from adk_extra_sessions.records import AppendOutcome
from adk_extra_sessions.usage import Usage


@frozen
class Writer:
    """Stores appends of any number of live sessions.

    Attributes:
        usage: Whether the store is closed, and what is under way on it.
        outlines: Those of the sessions, if the store loads sessions in part.
    """

    backend: Backend
    codec: Codec
    options: StoreOptions
    errors: DriverErrors
    usage: Usage
    outlines: Outlines | None = None

    def encode(self, append: Append) -> int:
        """Encodes an append's event ahead of `write`; returns its size in bytes."""
        return append.encode(self.codec)

    def write(self, appends: Sequence[Append], *, commit: bool = False) -> None:
        """Stores appends, and notes on each its outcome.

        Args:
            appends: What to store.
            commit: Whether to bring their live sessions up to date in this thread; otherwise the
                caller does that.
        """
        for append in appends:
            self._prepare(append)
            self.encode(append)
        encoded = [append for append in appends if append.wanted]
        with live_sessions.storing([append.session for append in encoded]):
            self._write_encoded(encoded)
            if commit:
                for append in encoded:
                    append.commit()
        if self.outlines is not None:
            for appended in by_session([append for append in encoded if append.error is None]):
                if appended[0].key is not None:
                    self.outlines.appended(appended[0].key, [append.event for append in appended])

    def _prepare(self, append: Append) -> None:
        if self.outlines is not None and append.wanted:
            try:
                with self.usage.operation():
                    if self.outlines.prepare(append.session, append.event):
                        append.record = None  # a service encodes events ahead
            except Exception as error:
                self.errors.name(error, "append_event")
                append.error = error

    def _write_encoded(self, appends: Sequence[Append]) -> None:
        waiting = [by_request(one) for one in by_session(appends)]
        while waiting:
            self._send([first for first, *_ in waiting])
            for sent, *rest in waiting:
                # What follows a refused event of the same session is refused with it.
                if sent[0].error is not None:
                    record_error([append for later in rest for append in later], sent[0].error)
            waiting = [rest for sent, *rest in waiting if rest and sent[0].error is None]

    def _send(self, groups: Sequence[Sequence[Append]]) -> None:
        """Has the backend store each group of appends in a request of its own."""
        sent, requests = [], []
        any_revision = self.options.on_stale == "append"
        for group in groups:
            try:
                requests.append(request(group, any_revision=any_revision))
                sent.append(group)
            except StaleSessionError as error:
                record_error(group, error)
        try:
            with self.usage.operation():
                outcomes = self.backend.append(requests) if requests else []
        except Exception as error:
            outcomes = [AppendOutcome(error=error)] * len(requests)
        for group, asked, outcome in zip(sent, requests, outcomes, strict=True):
            if outcome.error is None:
                record_revisions(group, asked, outcome.revisions)
            else:
                self.errors.name(outcome.error, "append_event")
                if len(requests) == len(group) == 1:  # its traceback shows only what is its caller's own
                    group[0].error = outcome.error
                else:
                    record_error(group, outcome.error)
