"""The options of redis-py that `RedisSessionStore` passes on, for type checkers and editors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

if TYPE_CHECKING:
    import ssl

    from redis.connection import AbstractConnection
    from redis.credentials import CredentialProvider
    from redis.driver_info import DriverInfo
    from redis.event import EventDispatcher
    from redis.maint_notifications import MaintNotificationsConfig
    from redis.retry import Retry


class RedisDriverOptions(TypedDict, total=False):
    """What `redis.Redis.from_url` takes beside the URL: redis-py's documentation describes it.

    Which of them there are depends on the version of redis-py. Those that begin
    with `ssl_` need a `rediss://` URL. Host, port and path belong in the URL.
    """

    # Who connects, and to which database.
    db: int
    username: str | None
    password: str | None
    credential_provider: CredentialProvider | None
    client_name: str | None
    lib_name: str | None
    lib_version: str | None
    driver_info: DriverInfo | None

    # Timeouts and retries.
    socket_timeout: float | None
    socket_connect_timeout: float | None
    health_check_interval: float
    retry: Retry | None
    retry_on_error: Iterable[type[Exception]] | None
    retry_on_timeout: bool

    # The pool of connections.
    max_connections: int | None
    timeout: float | None
    queue_class: type[Any]

    # The connection.
    socket_keepalive: bool | None
    socket_keepalive_options: Mapping[int, int | bytes] | None
    socket_type: int
    socket_read_size: int
    protocol: int | None
    encoding: str
    encoding_errors: str
    decode_responses: bool
    legacy_responses: bool
    connection_class: type[AbstractConnection]
    parser_class: type[Any]
    command_packer: Any
    redis_connect_func: Callable[[AbstractConnection], object] | None
    event_dispatcher: EventDispatcher | None
    maint_notifications_config: MaintNotificationsConfig | None

    # TLS.
    ssl_keyfile: str | None
    ssl_certfile: str | None
    ssl_password: str | None
    ssl_cert_reqs: str | ssl.VerifyMode | None
    ssl_include_verify_flags: list[ssl.VerifyFlags] | None
    ssl_exclude_verify_flags: list[ssl.VerifyFlags] | None
    ssl_ca_certs: str | None
    ssl_ca_path: str | None
    ssl_ca_data: str | bytes | None
    ssl_check_hostname: bool
    ssl_min_version: ssl.TLSVersion | None
    ssl_ciphers: str | None
    ssl_validate_ocsp: bool
    ssl_validate_ocsp_stapled: bool
    ssl_ocsp_context: Any
    ssl_ocsp_expected_cert: bytes | None
