"""One contract for everything that wraps keys: the file, and Vault, AWS and Google against loopback twins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fhir_server.errors import KeysError
from fhir_server.remote.kms import FileKms, Kms, of
from fhir_server.remote.kms_aws import Credentials, sign
from fhir_server.remote.kms_gcp import GcpKms
from tests.builders.key_services import ACCESS_KEY, SECRET_KEY, SESSION, VAULT_TOKEN, KeyService, key_service

KEY = b"\x01\x02\x03\x04" + b"k" * 32
ARN = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"
NAME = "projects/p/locations/europe/keyRings/r/cryptoKeys/k"
KINDS = ("file", "vault", "aws-kms", "gcp-kms")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeyService]:
    with key_service() as made:
        monkeypatch.setenv("VAULT_TOKEN", VAULT_TOKEN)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", made.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("GCE_METADATA_HOST", made.url.removeprefix("http://"))
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        yield made


def make(kind: str, service: KeyService, folder: Path, key: str = "k") -> Kms:
    match kind:
        case "file":
            return of(f"file:{folder / key}")
        case "vault":
            return of(f"vault:{service.url}/transit/{key}")
        case "aws-kms":
            return of(f"aws-kms:{ARN if key == 'k' else ARN.replace('1234-', '4321-')}")
        case _:
            return GcpKms(NAME.removesuffix("k") + key, service.url)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_it_wraps_it_unwraps(kind: str, service: KeyService, tmp_path: Path) -> None:
    kms = make(kind, service, tmp_path)
    assert kms.name == kind
    await kms.begin()
    wrapped = await kms.wrap(KEY)
    assert KEY not in wrapped
    assert await kms.unwrap(wrapped) == KEY
    again = make(kind, service, tmp_path)
    await again.begin()
    assert await again.unwrap(wrapped) == KEY


@pytest.mark.parametrize("kind", KINDS)
async def test_another_key_or_other_bytes_do_not_open(kind: str, service: KeyService, tmp_path: Path) -> None:
    kms, other = make(kind, service, tmp_path), make(kind, service, tmp_path, "other")
    await kms.begin()
    await other.begin()
    wrapped = await kms.wrap(KEY)
    with pytest.raises(KeysError) as refused:
        await other.unwrap(wrapped)
    assert str(refused.value).endswith(".")
    for changed in (wrapped[:-4] + b"AAA=", b"", b"nothing"):
        with pytest.raises(KeysError):
            await kms.unwrap(changed)


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_a_service_that_is_down_is_said_in_one_sentence(kind: str, service: KeyService, tmp_path: Path) -> None:
    kms = make(kind, service, tmp_path)
    service.down = True
    with pytest.raises(KeysError, match="503") as refused:
        await kms.wrap(KEY)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", KINDS[1:])
async def test_a_service_that_is_not_there_is_said_too(
    kind: str, service: KeyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.url = "http://127.0.0.1:1"
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", service.url)
    with pytest.raises(KeysError, match=r"does not answer at 127\.0\.0\.1"):
        await make(kind, service, tmp_path).wrap(KEY)


async def test_a_key_file_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "below" / "key"
    kms = FileKms(path)
    with pytest.raises(KeysError, match="cannot be read"):
        await kms.wrap(KEY)
    await kms.begin()
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    await kms.begin()
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    path.chmod(0o640)
    with pytest.raises(KeysError, match="chmod 600"):
        await kms.wrap(KEY)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(KeysError, match="32 bytes"):
        await kms.wrap(KEY)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("", "FHIR_KEYS is not set"),
        ("file:", "none of"),
        ("/etc/key", "none of"),
        ("vault:vault.example/transit/k", "none of"),
        ("vault:https://vault.example", "none of"),
        ("vault:http://vault.example:8200/transit/k", "without TLS"),
        ("aws-kms:alias/k", "none of"),
        ("gcp-kms:k", "none of"),
        ("azure:k", "none of"),
    ],
)
def test_a_setting_that_names_nothing_is_refused(setting: str, said: str) -> None:
    with pytest.raises(KeysError, match=said) as refused:
        of(setting)
    assert "FHIR_KEYS" in str(refused.value)


async def test_vault_needs_its_token(service: KeyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kms = make("vault", service, tmp_path)
    monkeypatch.setenv("VAULT_TOKEN", "another")
    with pytest.raises(KeysError, match="403"):
        await kms.wrap(KEY)
    monkeypatch.delenv("VAULT_TOKEN")
    with pytest.raises(KeysError, match="VAULT_TOKEN is not set"):
        await kms.wrap(KEY)
    monkeypatch.setenv("VAULT_TOKEN", VAULT_TOKEN)
    monkeypatch.setenv("VAULT_NAMESPACE", "clinic")
    await kms.wrap(KEY)
    assert service.seen[-1][1]["x-vault-namespace"] == "clinic"


async def test_aws_knows_us_by_container_and_by_machine(
    service: KeyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    wrapped = await make("aws-kms", service, tmp_path).wrap(KEY)
    assert service.seen[-1][1]["x-amz-security-token"] == SESSION
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{service.url}/container")
    (tmp_path / "token").write_text("pod\n")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
    kms = make("aws-kms", service, tmp_path)
    assert await kms.unwrap(wrapped) == KEY
    asked = len(service.seen)
    await kms.wrap(KEY)
    assert len(service.seen) == asked + 1, "who we are is asked once"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(KeysError, match="403"):
        await make("aws-kms", service, tmp_path).wrap(KEY)


def test_the_signature_is_that_of_the_guide() -> None:
    """With the values of AWS's test suite ``post-vanilla``, but for the service, which is ours."""
    who = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    at = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    signed = sign(who, "us-east-1", "https://example.amazonaws.com/", {}, b"", at)
    assert signed["X-Amz-Date"] == "20150830T123600Z"
    assert "Credential=AKIDEXAMPLE/20150830/us-east-1/kms/aws4_request" in signed["Authorization"]
    assert "SignedHeaders=host;x-amz-date" in signed["Authorization"]
    assert "wJalr" not in repr(who)


async def test_google_knows_us_by_a_service_account(
    service: KeyService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = rsa.generate_private_key(65537, 2048)
    service.account_key = key.public_key()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"client_email": "fhir@p.example", "token_uri": f"{service.url}/token", "private_key": pem}
    path = tmp_path / "account.json"
    path.write_text(json.dumps(account | {"private_key_id": "1"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    kms = make("gcp-kms", service, tmp_path)
    assert await kms.unwrap(await kms.wrap(KEY)) == KEY
    assert [path for path, _ in service.seen].count("/token") == 1
    path.write_text("{}")
    with pytest.raises(KeysError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await make("gcp-kms", service, tmp_path).wrap(KEY)
