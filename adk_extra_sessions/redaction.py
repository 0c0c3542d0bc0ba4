"""What may be shown of a URL, and of a text that may quote one.

A password with unescaped characters makes a URL ambiguous: in
`redis://user:a?b@host` the driver sees a query where the author sees a
password. So what is shown is what a list of safe forms allows; whatever does
not match is hidden, with all that follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from attrs import field, frozen

HIDDEN = "***"

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL)
_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|(?:%2[Ff][\w.-]+)+)(?::\d{1,5})?"
_HOSTS = re.compile(rf"(?:{_HOST}(?:,{_HOST})*)?")
_PATH = re.compile(r"[\w./~+ -]*")
_NAME = re.compile(r"[A-Za-z]\w*")
_VALUE = re.compile(r"[\w.,:+-]*")
_SECRET = re.compile(r"pass|pwd|secret|token|credential|encryption|authmechanismproperties|username", re.IGNORECASE)

_PLAIN = re.compile(
    r"""
    # ours
    ttl|on_stale|unserializable|history|cache|prefix|refresh_on_read|wait_replicas|wait_timeout|collection_prefix
    # redis-py's
    |db|protocol|timeout|socket_timeout|socket_connect_timeout|socket_keepalive|health_check_interval
    |max_connections|retry_on_timeout|decode_responses|client_name|ssl_cert_reqs|ssl_check_hostname
    # pymongo's
    |w|wtimeoutms|journal|replicaset|authsource|authmechanism|tls|ssl|retrywrites|retryreads|readpreference
    |readconcernlevel|maxstalenessseconds|appname|maxpoolsize|minpoolsize|maxidletimems|timeoutms|connecttimeoutms
    |sockettimeoutms|serverselectiontimeoutms|waitqueuetimeoutms|heartbeatfrequencyms|localthresholdms
    |directconnection|loadbalanced|compressors|connect
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Options whose values are no secrets."""

_SHORT = 4
"""Shorter secrets are not searched for in a text: they would be found in its own words."""


class HiddenText(str):
    """A text that no message shows, since it may be part of a password."""

    def __repr__(self) -> str:
        return HIDDEN


@frozen
class Reading:
    """A URL as the drivers read it."""

    scheme: str
    userinfo: str = field(repr=False)
    hosts: str = field(repr=False)
    path: str = field(repr=False)
    query: str = field(repr=False)
    fragment: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Reading | None:
        """Reads a URL; returns None for a text that is none."""
        if not (match := _URL.fullmatch(url)):
            return None
        scheme, authority, path, query, fragment = match.groups(default="")
        userinfo, _, hosts = authority.rpartition("@")
        return cls(scheme, userinfo, hosts, path, query, fragment)

    @property
    def ambiguous(self) -> bool:
        """Whether an "@" after the hosts allows another reading: all before it is user name and password."""
        return "@" in self.path + self.query + self.fragment

    @property
    def usable(self) -> bool:
        """Whether hosts are where they should be, and an "@" only where it can be meant."""
        if not _HOSTS.fullmatch(self.hosts) or self.fragment or set("[]") & set(self.userinfo):
            return False
        return "@" not in self.path or not (self.userinfo or self.hosts)

    @property
    def option_names(self) -> Iterator[str]:
        """The names of options that cannot be part of a password."""
        if self.ambiguous or not self.usable:
            return
        for option in self.query.split("&"):
            name, equals, _ = option.partition("=")
            if not equals or not _NAME.fullmatch(name):
                return
            yield name
            if _SECRET.search(name):
                return  # what follows may belong to a value with an unescaped "&"


def redact(url: object) -> str:
    """Returns `url` as it may be shown: without user, password or anything that may be part of them."""
    if not isinstance(url, str):
        return f"a {type(url).__name__}"
    scheme, _, rest = url.partition("://")
    if Reading.of(url) is None:
        return url if re.fullmatch(_HOST, url) else HIDDEN
    userinfo, at, shown = rest.rpartition("@")
    place, mark, query = shown.partition("?")
    hosts, _, path = place.partition("/")
    if "?" in userinfo or not _HOSTS.fullmatch(hosts) or not _PATH.fullmatch(path):
        return f"{scheme}://{HIDDEN}"
    return f"{scheme}://{HIDDEN if at else ''}{at}{place}{mark}{'&'.join(_shown_options(query))}"


def _shown_options(query: str) -> Iterator[str]:
    for option in query.split("&") if query else ():
        name, equals, value = option.partition("=")
        if not _PLAIN.fullmatch(name) or not _VALUE.fullmatch(value):
            yield f"{name}={HIDDEN}" if equals and _NAME.fullmatch(name) else HIDDEN
            return  # what follows may belong to a value with an unescaped "&"
        yield option


def redact_text(text: str, url: str) -> str:
    """Returns a text of others, such as a driver's message, without what it may quote of a URL's secrets."""
    reading = Reading.of(url)
    if reading is None:
        return text.replace(url, HIDDEN) if re.match(r"[^/.@][^@]*:.*@", url) else text
    rest = url.partition("://")[2]
    hidden = {url: redact(url)}
    if "@" in rest:
        hidden[rest.rpartition("@")[0] + "@"] = f"{HIDDEN}@"
    hidden.update(dict.fromkeys(sorted(_secrets(reading, rest), key=len, reverse=True), HIDDEN))
    for secret, shown in hidden.items():
        for form in (secret, repr(secret)[1:-1]):  # as it is, and as a message quotes it
            text = text.replace(form, shown)
    return text


def _secrets(reading: Reading, rest: str) -> set[str]:
    found = [reading.userinfo, reading.userinfo.partition(":")[2]]
    if reading.ambiguous or not reading.usable:
        found += [rest.rpartition("@")[0], *re.split(r"[/?#@&=:,\[\]]+", rest)]
    for option in reading.query.split("&"):
        name, _, value = option.partition("=")
        if not _PLAIN.fullmatch(name):
            found += [value, value.partition(":")[2]]
    texts = {form for text in found for form in (text, unquote(text), unquote_plus(text))}
    return {text for text in texts if len(text) >= _SHORT and not _PLAIN.fullmatch(text)}
