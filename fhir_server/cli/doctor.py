"""`fhir-server doctor`: is everything there that the server needs, and if not, what."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fhir_server.cli.dev_settings import data_folder
from fhir_server.cli.serve import OLDEST_PRODUCTION_MONGODB
from fhir_server.cli.start import read_settings, require_encryption
from fhir_server.embedded.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhir_server.settings import Settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Check:
    """One row: what was looked at, how it is, and what was seen."""

    name: str
    state: Literal["ok", "warn", "fail"]
    detail: str


def doctor(
    mongo_uri: Annotated[str | None, typer.Option(help="Look at this MongoDB instead of FHIR_MONGO_URI.")] = None,
    redis_url: Annotated[str | None, typer.Option(help="Look at this Redis instead of FHIR_REDIS_URL.")] = None,
) -> None:
    """Check settings, databases, time zones and disk; status 1 where something is missing."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    checks = list(examine(mongo_uri, redis_url))
    table = Table("check", "state", "detail")
    for check in checks:
        table.add_row(check.name, Text(check.state, style=_COLOURS[check.state]), Text(check.detail))
    Console().print(table)
    if any(check.state == "fail" for check in checks):
        raise typer.Exit(1)


def examine(mongo_uri: str | None = None, redis_url: str | None = None) -> Iterator[Check]:
    """Every check in order; none raises, and no detail shows a password."""
    from fhir_server.settings import Settings

    given = {name: value for name, value in (("mongo_uri", mongo_uri), ("redis_url", redis_url)) if value}
    try:
        settings = read_settings(**given)
    except Refused as refused:
        yield Check("settings", "fail", refused.sentence)
        settings = Settings.model_construct(None, **dict[str, Any](given))
    else:
        yield Check("settings", "ok", f"environment {settings.environment}")
    yield Check("Python", "ok", platform.python_version())
    yield from _mongo(settings)
    yield _redis(settings)
    yield _encryption("MongoDB encryption", settings.mongo_address, "FHIR_MONGO_TLS_CA")
    yield _encryption("Redis encryption", settings.redis_address, "a rediss:// URL and FHIR_REDIS_TLS_CA")
    yield _base(settings)
    yield _keys(settings)
    yield from _access(settings)
    yield _time_zones(settings)
    yield _disk()


def _mongo(settings: Settings) -> Iterator[Check]:
    from fhir_server.embedded.address import masked
    from fhir_server.embedded.mongo import STANDALONE_FIX
    from fhir_server.store import admin

    uri = settings.mongo_address
    try:
        answer = admin.hello(uri)
        version = admin.server_version(uri)
    except admin.UnreachableError as failure:
        yield Check("MongoDB", "fail", f"{failure} Set FHIR_MONGO_URI, or start one here: fhir-server dev.")
        return
    old = version[:2] < OLDEST_PRODUCTION_MONGODB
    shown = f"{'.'.join(str(part) for part in version)} at {masked(uri)}"
    yield Check("MongoDB", "warn" if old else "ok", f"{shown}{': not for production' if old else ''}")
    if "setName" not in answer and answer.get("msg") != "isdbgrid":
        yield Check("MongoDB replica set", "fail", f"a standalone: {STANDALONE_FIX[0]}")
        return
    yield Check("MongoDB replica set", "ok", answer.get("setName", "sharded cluster"))
    try:
        yield Check("MongoDB primary", "ok", f"writable at {admin.wait_primary(uri, 5.0)}")
        concern = admin.default_write_concern(uri).get("w", "majority, implicitly")
    except admin.UnreachableError as failure:
        yield Check("MongoDB primary", "fail", str(failure))
        return
    safe = str(concern).startswith("majority")
    yield Check("MongoDB write concern", "ok" if safe else "warn", f"default {concern}")


def _redis(settings: Settings) -> Check:
    from fhir_server.embedded.redis import info

    try:
        answer = info(settings.redis_address)
    except Refused as refused:
        return Check("Redis", "fail", refused.sentence)
    version = answer.get("valkey_version") or answer.get("redis_version", "unknown")
    policy = answer.get("maxmemory_policy", "unknown")
    return Check("Redis", "ok" if policy == "noeviction" else "warn", f"{version}, maxmemory-policy {policy}")


def _encryption(name: str, address: str, setting: str) -> Check:
    """Whether a connection is encrypted; on loopback it need not be."""
    from urllib.parse import parse_qs, urlsplit

    parts = urlsplit(address)
    options = {name.lower(): values[-1].lower() for name, values in parse_qs(parts.query).items()}
    stated = options.get("tls", options.get("ssl", "true" if parts.scheme in {"mongodb+srv", "rediss"} else "false"))
    if stated == "true":
        careless = any(options.get(one) == "true" for one in ("tlsinsecure", "tlsallowinvalidcertificates"))
        careless = careless or options.get("ssl_cert_reqs") == "none"
        return Check(name, "warn" if careless else "ok", f"TLS{', certificates are not checked' if careless else ''}")
    hosts = {host.rpartition(":")[0] or host for host in parts.netloc.rpartition("@")[2].split(",")}
    if hosts <= {"127.0.0.1", "localhost", "[::1]"}:
        return Check(name, "ok", "none, on loopback")
    return Check(name, "warn", f"none: what is not sealed and who asks can be read on the way; set {setting}")


def _keys(settings: Settings) -> Check:
    from fhir_server.errors import KeysError
    from fhir_server.remote import kms

    try:
        made = kms.of(settings.keys)
    except KeysError as failed:
        return Check("keys", "fail", str(failed))
    weak = made.name == "file" and settings.environment == "production"
    return Check("keys", "warn" if weak else "ok", f"wrapped by {made.name}{': for development' if weak else ''}")


def _base(settings: Settings) -> Check:
    """Whether others can reach the server by TLS, and by which name it signs tokens."""
    try:
        encrypted = require_encryption(settings)
    except Refused as refused:
        return Check("FHIR base", "fail", refused.sentence)
    if encrypted:
        return Check("FHIR base", "ok", f"{settings.base_url}, issuer {settings.issuer}")
    local = f"{settings.bases[0].rstrip('/')} has no TLS in front: for this machine alone; set FHIR_BASE_URL=https://…"
    return Check("FHIR base", "warn" if settings.environment == "production" else "ok", local)


def _access(settings: Settings) -> Iterator[Check]:
    """Whether somebody can get a token, and whether the access record is within reach."""
    from fhir_server.services.authorization.demo import DEMO
    from fhir_server.store import admin
    from fhir_server.store.accounts import ACCOUNTS
    from fhir_server.store.audit.database import BATCHES
    from fhir_server.store.authorization.clients import CLIENTS

    uri, database = settings.mongo_address, settings.mongo_database
    record = settings.audit_database or f"{database}_audit"
    try:
        for name, collection, command in (("clients", CLIENTS, "client"), ("accounts", ACCOUNTS, "user")):
            there = admin.count(uri, database, collection)
            missing = f"none: fhir-server {command} add --help"
            yield Check(name, "ok" if there else "warn", f"{there} registered" if there else missing)
        demo = admin.known(uri, database, CLIENTS, DEMO)
        if demo and settings.environment == "production":
            text = f"{', '.join(demo)}: whoever has read the README logs in; remove them and the demo's accounts"
            yield Check("demo clients", "fail", text)
        yield Check("access record", "ok", f"database {record}, {admin.count(uri, record, BATCHES)} batches")
    except admin.UnreachableError as failure:
        yield Check("access record", "fail", str(failure))


def _time_zones(settings: Settings) -> Check:
    import zoneinfo
    from importlib.metadata import PackageNotFoundError, version

    try:
        data = f"tzdata {version('tzdata')}"
    except PackageNotFoundError:
        data = "the system's tzdata"
    broken = []
    zones = {*zoneinfo.available_timezones(), settings.timezone}
    for name in sorted(zones):
        try:
            zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            broken.append(name)
    if broken or len(zones) == 1:
        return Check("time zones", "fail", f"{data}; not readable: {', '.join(broken) or 'the list of zones'}")
    return Check("time zones", "ok", f"{data}, {len(zones)} zones, FHIR_TIMEZONE {settings.timezone}")


def _disk() -> Check:
    from fhir_server.embedded.folder import NEEDED_BYTES

    place = data_folder()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Check("disk", "ok" if free >= NEEDED_BYTES else "fail", f"{free // 1024**2} MB free at {place}")
