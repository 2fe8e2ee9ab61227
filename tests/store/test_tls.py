"""MongoDB behind TLS: the settings name the CA and our certificate, and nothing goes without."""

from __future__ import annotations

import datetime as dt
import ipaddress
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from redis.connection import parse_url

from fhir_server.cli.doctor import _encryption
from fhir_server.embedded import mongo
from fhir_server.embedded.address import LOOPBACK, free_port
from fhir_server.embedded.binary import UnusableError, on_path
from fhir_server.embedded.refused import Refused
from fhir_server.remote import kms
from fhir_server.settings import Settings
from fhir_server.store import admin
from fhir_server.store.database import open_store
from tests.builders.search import DEFINITIONS

Key = ec.EllipticCurvePrivateKey


def _certificate(name: str, signer: tuple[x509.Name, Key] | None) -> tuple[x509.Certificate, Key]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, by = signer or (subject, key)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if signer:
        names = [x509.IPAddress(ipaddress.ip_address(LOOPBACK))]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    else:
        usage = dict.fromkeys(
            ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "crl_sign", "encipher_only", "decipher_only"), False,
        )  # fmt: skip
        made = made.add_extension(x509.KeyUsage(key_cert_sign=True, **usage), critical=True)
    return made.sign(by, SHA256()), key


def _write(path: Path, certificate: x509.Certificate, key: Key | None = None) -> str:
    text = certificate.public_bytes(Encoding.PEM)
    if key:
        text += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(text)
    return str(path)


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Settings of a mongod that speaks TLS alone and asks for a certificate."""
    authority, key = _certificate("test CA", None)
    signer = (authority.subject, key)
    ca = _write(tmp_path / "ca.pem", authority)
    server = _write(tmp_path / "server.pem", *_certificate(LOOPBACK, signer))
    ours = _write(tmp_path / "client.pem", *_certificate("fhir-server", signer))
    try:
        program = on_path("mongod").path
    except UnusableError:
        program = mongo._wheel().path
    port, data = free_port(None), tmp_path / "data"
    data.mkdir()
    options = [
        "--dbpath", str(data), "--logpath", str(tmp_path / "log"), "--port", str(port), "--bind_ip", LOOPBACK,
        "--replSet", admin.REPLICA_SET, "--nounixsocket", "--tlsMode", "requireTLS", "--tlsCAFile", ca,
        "--tlsCertificateKeyFile", server, "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64",
    ]  # fmt: skip
    uri = f"mongodb://{LOOPBACK}:{port}/?replicaSet={admin.REPLICA_SET}"
    found = {"mongo_uri": uri, "mongo_tls_ca": ca, "mongo_tls_certificate": ours}
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as process:
        try:
            with admin.Node(Settings(**found).mongo_address) as node:
                node.become_primary(f"{LOOPBACK}:{port}", 30)
            yield found
        finally:
            process.terminate()
            process.wait(20)


async def test_the_store_and_the_commands_speak_tls(secured: dict[str, Any], tmp_path: Path) -> None:
    settings = Settings(**secured, keys=f"file:{tmp_path / 'key'}")
    assert mongo.given(settings.mongo_address).url == settings.mongo_address
    store = open_store(settings, kms.of(settings.keys), DEFINITIONS)
    await store.prepare()
    assert await store.ready()
    await store.close()
    with pytest.raises(Refused):
        mongo.given(settings.mongo_uri)
    with pytest.raises(Refused):
        mongo.given(Settings(mongo_uri=settings.mongo_uri, mongo_tls_ca=settings.mongo_tls_ca).mongo_address)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://h:1", "mongodb://h:1/?tls=true&tlsCAFile=%2Fca.pem"),
        ("mongodb://h:1/?replicaSet=rs0", "mongodb://h:1/?replicaSet=rs0&tls=true&tlsCAFile=%2Fca.pem"),
        ("mongodb+srv://h/db", "mongodb+srv://h/db?tls=true&tlsCAFile=%2Fca.pem"),
        ("mongodb://h:1/?tls=true&tlsCAFile=/own", "mongodb://h:1/?tls=true&tlsCAFile=/own"),
    ],
)
def test_the_connection_string_has_the_options(uri: str, expected: str) -> None:
    settings = Settings(mongo_uri=uri, mongo_tls_ca="/ca.pem")
    assert settings.mongo_address == expected
    assert Settings(mongo_uri=settings.mongo_address, mongo_tls_ca="/ca.pem").mongo_address == expected
    assert Settings(mongo_uri=uri).mongo_address == uri


def test_redis_has_its_ca() -> None:
    settings = Settings(redis_url="rediss://h:6379/0", redis_tls_ca="/ca.pem")
    assert parse_url(settings.redis_address)["ssl_ca_certs"] == "/ca.pem"
    assert Settings(redis_url="redis://h").redis_address == "redis://h"


@pytest.mark.parametrize(
    ("address", "state"),
    [
        ("mongodb://127.0.0.1:27017/?replicaSet=rs0", "ok"),
        ("mongodb://db.example:27017", "warn"),
        ("mongodb://a:1,127.0.0.1:2/", "warn"),
        ("mongodb://db.example/?tls=true", "ok"),
        ("mongodb://db.example/?ssl=true", "ok"),
        ("mongodb+srv://db.example", "ok"),
        ("mongodb+srv://db.example/?tls=false", "warn"),
        ("mongodb://db.example/?tls=true&tlsAllowInvalidCertificates=true", "warn"),
        ("redis://cache.example:6379/0", "warn"),
        ("rediss://user:secret@cache.example:6379/0", "ok"),
        ("rediss://cache.example/0?ssl_cert_reqs=none", "warn"),
        ("redis://localhost/0", "ok"),
    ],
)
def test_doctor_says_whether_a_connection_is_encrypted(address: str, state: str) -> None:
    check = _encryption("x", address, "SETTING")
    assert check.state == state, check
    assert "secret" not in check.detail
