"""Settings from the environment (``FHIR_…``) or from the command that starts the server."""

from __future__ import annotations

import zoneinfo
from typing import Literal, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fhir_server.clock import clock_of

CANONICAL = "https://fhir-scheduling.example/fhir/"
"""Canonical base of our own artifacts: a reserved name until the project has a domain."""


class Settings(BaseSettings):
    """Every setting is an environment variable: ``mongo_uri`` is ``FHIR_MONGO_URI``."""

    model_config = SettingsConfigDict(env_prefix="FHIR_", extra="ignore")

    mongo_uri: str = Field("mongodb://127.0.0.1:27017/?replicaSet=rs0", description="MongoDB connection string")
    mongo_database: str = Field("fhir", description="database that holds the resources")
    mongo_driver: Literal["pymongo", "motor"] = Field("pymongo", description="driver behind the store's seam")
    mongo_tls_ca: str = Field("", description="file of the CA that signed MongoDB's certificate; turns TLS on")
    mongo_tls_certificate: str = Field("", description="file of our certificate and key for MongoDB; turns TLS on")
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis or Valkey for the workers")
    redis_tls_ca: str = Field("", description="file of the CA that signed Redis' certificate, for a rediss:// URL")
    base_url: str = Field("", description="public FHIR base, e.g. https://ehr.example/fhir; empty = this machine alone")
    host: str = Field("127.0.0.1", description="address to listen on; others reach it through TLS in front")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    workers: int = Field(2, ge=1, le=64, description="server processes of `fhir-server serve`")
    environment: Literal["production", "development"] = Field("production", description="what `serve` is strict about")
    timezone: str = Field("UTC", description="IANA zone for search values without an offset")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    page_size: int = Field(50, ge=1, description="search page when the client names no _count")
    page_limit: int = Field(1000, ge=1, description="largest search page")
    body_limit: int = Field(2 * 1024 * 1024, ge=1024, description="largest request body in bytes")
    bundle_limit: int = Field(1000, ge=1, description="most entries of a batch or transaction")
    bundle_body_limit: int = Field(16 * 1024 * 1024, ge=1024, description="largest batch or transaction in bytes")
    find_window_days: int = Field(92, ge=1, description="longest $find window in days")
    hold_minutes: int = Field(10, ge=1, description="length of a hold where no booking-policy says one")
    max_hold_minutes: int = Field(60, ge=1, description="longest hold where no booking-policy says one")
    max_holds: int = Field(5, ge=1, description="open holds of one client for one patient where no policy says so")
    keys: str = Field(
        "", description="what wraps the keys of data at rest: file:PATH, aws-kms:ARN, gcp-kms:NAME, vault:URL"
    )
    audit_database: str = Field("", description="database of the access record; empty = the other's name with _audit")
    audit_years: int = Field(6, ge=6, description="years that the access record is kept")
    registration: bool = Field(False, description="whether apps may register themselves (RFC 7591)")
    trusted_issuers: str = Field("", description="JSON file of outside token issuers: issuer, jwks_uri, claim mapping")
    access_token_minutes: int = Field(60, ge=1, le=60, description="life of an access token of a person")
    session_idle_minutes: int = Field(15, ge=1, le=240, description="a login without use ends after so long")
    require_second_factor: bool = Field(True, description="whether staff log in with a one-time code as well")
    clock: str = Field(
        "",
        description="development alone: +3d or -90min away, x600@ms for faster time, file:PATH for time that is led",
    )
    outbox_folder: str = Field(
        "", description="development alone: folder into which messages go for whose channel there is no provider"
    )
    worker_concurrency: int = Field(32, ge=1, le=512, description="pieces of work that one worker process does at once")
    worker_metrics_port: int = Field(0, ge=0, le=65535, description="loopback port of a worker's /metrics; 0 = none")
    egress_allow: str = Field(
        "", description="networks and hosts inside that notifications may go to: 10.1.0.0/16,emr.clinic.example"
    )
    egress_ca: str = Field("", description="file of CAs that receivers' certificates may come from besides public ones")
    subscription_days: int = Field(14, ge=1, description="how long events of Subscriptions are kept for $events")
    max_subscriptions: int = Field(50, ge=1, description="Subscriptions that are not off of one client")
    min_heartbeat_seconds: int = Field(10, ge=1, description="shortest heartbeat period of a Subscription")
    delivery_attempts: int = Field(12, ge=1, description="attempts to deliver before a Subscription is in error")
    smtp_url: SecretStr = Field(SecretStr(""), description="SMTP server, e.g. smtp://user:password@host:587?starttls")
    mail_from: str = Field("", description="sender of e-mail, e.g. Clinic <mail@clinic.example>")
    sendgrid_key: SecretStr = Field(SecretStr(""), description="API key of SendGrid; e-mail goes there and not by SMTP")
    sendgrid_webhook_key: str = Field("", description="public key by which SendGrid signs its events")
    twilio_account: str = Field("", description="account SID of Twilio, for text messages and calls")
    twilio_token: SecretStr = Field(SecretStr(""), description="auth token of Twilio")
    twilio_from: str = Field("", description="number (+15550100) or messaging service (MG…) that texts come from")
    phone_prefix: str = Field("+1", pattern=r"^\+[1-9][0-9]{0,3}$", description="country of phone numbers without one")
    fcm_credentials: str = Field("", description="file of the service account of a Firebase project, for Android")
    apns_key: str = Field("", description="file (.p8) of Apple's key for push messages")
    apns_key_id: str = Field("", description="id of Apple's key")
    apns_team: str = Field("", description="id of the team at Apple")
    apns_topic: str = Field("", description="bundle id of the app at Apple")
    apns_sandbox: bool = Field(False, description="whether Apple's development service is used")
    vapid_key: str = Field("", description="PEM file of our P-256 key for web push")
    vapid_subject: str = Field("", description="mailto: or https: URL of who answers for web push")
    idempotency_hours: int = Field(48, ge=24, description="how long an Idempotency-Key is remembered")

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            msg = "not an IANA time zone"
            raise ValueError(msg)
        return value

    @field_validator("clock")
    @classmethod
    def _is_clock(cls, value: str) -> str:
        clock_of(value)
        return value

    @model_validator(mode="after")
    def _real_in_production(self) -> Self:
        stated = [f"FHIR_{name.upper()}" for name in ("clock", "outbox_folder") if getattr(self, name)]
        if stated and self.environment == "production":
            msg = f"{' and '.join(stated)}: for FHIR_ENVIRONMENT=development alone"
            raise ValueError(msg)
        return self

    @field_validator("base_url")
    @classmethod
    def _is_base(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment):
            msg = "not a base URL such as https://ehr.example/fhir"
            raise ValueError(msg)
        return value

    @property
    def mongo_address(self) -> str:
        """The connection string with TLS as the other settings say.

        https://www.mongodb.com/docs/manual/reference/connection-string-options/
        """
        files = {"tlsCAFile": self.mongo_tls_ca, "tlsCertificateKeyFile": self.mongo_tls_certificate}
        stated = {name: value for name, value in files.items() if value}
        return _with_query(self.mongo_uri, {"tls": "true", **stated}) if stated else self.mongo_uri

    @property
    def redis_address(self) -> str:
        """The Redis URL with the CA as the other setting says."""
        return _with_query(self.redis_url, {"ssl_ca_certs": self.redis_tls_ca}) if self.redis_tls_ca else self.redis_url

    @property
    def hosts(self) -> frozenset[str]:
        """Names under which this server may be asked, in lower case without port."""
        own = urlsplit(self.base_url).hostname
        return frozenset({"127.0.0.1", "localhost", "::1", self.host.lower(), *([own] if own else [])})

    @property
    def issuer(self) -> str:
        """The authorization server's issuer: our root, without the FHIR path. https://www.rfc-editor.org/rfc/rfc8414"""
        return self.bases[0].rstrip("/").removesuffix("/fhir")

    @property
    def bases(self) -> tuple[str, ...]:
        """Absolute forms of our own FHIR base, each with a trailing slash.

        Without ``base_url`` the server is known by the loopback names of its host and port.
        """
        own = self.base_url.rstrip("/")
        if own:
            return (f"{own}/",)
        return tuple(f"http://{name}:{self.port}/fhir/" for name in ("127.0.0.1", "localhost", "[::1]"))


def _with_query(url: str, more: dict[str, str]) -> str:
    """The URL with these options, unless it has them."""
    base, _, query = url.partition("?")
    had = {name.lower() for name, _ in parse_qsl(query)}
    added = urlencode({name: value for name, value in more.items() if name.lower() not in had})
    return f"{base if base.count('/') > 2 else f'{base}/'}?{'&'.join(filter(None, (query, added)))}"
