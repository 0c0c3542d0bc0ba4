"""The options of pymongo that `MongoSessionStore` passes on, for type checkers and editors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from pymongo.driver_info import DriverInfo
    from pymongo.encryption_options import AutoEncryptionOpts
    from pymongo.server_api import ServerApi


class MongoDriverOptions(TypedDict, total=False):
    """What `pymongo.MongoClient` takes beside the URL: pymongo's documentation describes it.

    Which of them there are depends on the version of pymongo. Host and port
    belong in the URL. Options that say how documents are read, such as
    `tz_aware` or `readPreference`, have no effect here and are left out.
    """

    # Who connects.
    username: str | None
    password: str | None
    authSource: str
    authMechanism: str
    authMechanismProperties: str | Mapping[str, Any]
    authOIDCAllowedHosts: list[str]
    appname: str | None
    driver: DriverInfo | None

    # Timeouts and retries.
    timeoutMS: float | None
    serverSelectionTimeoutMS: float
    connectTimeoutMS: float | None
    socketTimeoutMS: float | None
    waitQueueTimeoutMS: float | None
    retryReads: bool
    retryWrites: bool
    maxAdaptiveRetries: int
    enableOverloadRetargeting: bool

    # The pool of connections.
    connect: bool
    maxPoolSize: int | None
    minPoolSize: int
    maxIdleTimeMS: float | None
    maxConnecting: int

    # Which servers.
    replicaSet: str | None
    directConnection: bool
    loadBalanced: bool
    localThresholdMS: float
    heartbeatFrequencyMS: float | None
    serverMonitoringMode: str
    server_selector: Callable[[list[Any]], list[Any]] | None
    server_api: ServerApi | None
    srvServiceName: str
    srvMaxHosts: int
    srvAllowedHostsSuffix: str
    srv_host_validator: Callable[..., Any] | None

    # What counts as written, and as read.
    w: int | str
    wTimeoutMS: int
    journal: bool
    fsync: bool
    readConcernLevel: str | None

    # The connection.
    compressors: str | list[str]
    zlibCompressionLevel: int
    event_listeners: Sequence[Any]
    auto_encryption_opts: AutoEncryptionOpts | None

    # TLS.
    tls: bool
    ssl: bool
    tlsInsecure: bool
    tlsAllowInvalidCertificates: bool
    tlsAllowInvalidHostnames: bool
    tlsCAFile: str
    tlsCertificateKeyFile: str
    tlsCertificateKeyFilePassword: str | None
    tlsCRLFile: str
    tlsDisableOCSPEndpointCheck: bool
