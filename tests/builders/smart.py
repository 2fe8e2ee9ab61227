"""Clients, accounts and tokens for tests of the authorization server."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server.access.account import Account
from fhir_server.access.caller import Role
from fhir_server.access.client import Client, Kind
from fhir_server.access.scopes import parse
from fhir_server.services.authorization import accounts, clients, launches, pending, sessions
from fhir_server.services.authorization.authentication import BEARER_ASSERTION
from fhir_server.services.authorization.pending import Pending
from fhir_server.services.world import World
from fhir_server.store.accounts import Record

REDIRECT = "https://app.example/callback"
PERSON = frozenset({"authorization_code", "refresh_token"})
SCOPES = (
    "openid fhirUser profile launch launch/patient launch/encounter launch/appointment offline_access online_access "
    "patient/*.cruds user/*.cruds"
)
ES384 = ECKey.generate_key("P-384")
RS384 = RSAKey.generate_key(2048)


def public(key: ECKey | RSAKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, **more}


async def app(world: World, kind: Kind = Kind.PUBLIC, **more: Any) -> tuple[Client, str]:
    """A registered app of people and its secret."""
    keys = {"jwks": {"keys": [public(ES384, "es")]}} if kind is Kind.ASYMMETRIC else {}
    made = Client(
        id=f"app-{secrets.token_hex(6)}", name="An app", kind=kind, scopes=parse(SCOPES), grant_types=PERSON,
        redirect_uris=(REDIRECT,), **keys,
    )  # fmt: skip
    return await clients.register(world, replace(made, **more))


async def backend(world: World, scopes: str = "system/*.cruds", **more: Any) -> Client:
    """A registered backend with the keys above."""
    made = Client(
        id=f"backend-{secrets.token_hex(6)}", name="A backend", kind=Kind.ASYMMETRIC, scopes=parse(scopes),
        grant_types=frozenset({"client_credentials"}),
        jwks={"keys": [public(ES384, "es"), public(RS384, "rs")]},
    )  # fmt: skip
    return (await clients.register(world, replace(made, **more)))[0]


async def person(world: World, role: Role = Role.PATIENT, fhir_user: str = "Patient/1", **more: Any) -> Account:
    """An account without a password."""
    id_ = secrets.token_hex(12)
    made = Account(id_, f"user-{id_}", "Somebody", role, fhir_user, (fhir_user,) if fhir_user else ())
    made = replace(made, **more)
    await world.store.accounts.insert(Record(made, password=""))
    return made


def assertion(client: Client, audience: str, **claims: Any) -> str:
    """A client assertion with the EC key; ``header`` and ``key`` may be given."""
    header = {"alg": "ES384", "typ": "JWT", "kid": "es", **claims.pop("header", {})}
    key = claims.pop("key", ES384)
    now = int(time.time())
    said = {
        "iss": client.id, "sub": client.id, "aud": audience, "exp": now + 240, "iat": now,
        "jti": secrets.token_urlsafe(12), **claims,
    }  # fmt: skip
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(header, said, key, algorithms=[header["alg"]])


TOKEN_URL = "http://fhir.test/auth/token"


async def ask(auth: Any, client: Client, *, scope: str | None = "system/*.rs", proof: str = "", **more: Any) -> Any:
    """A backend's request for a token; a parameter of None is left out."""
    form = {
        "grant_type": "client_credentials", "scope": scope, "client_assertion_type": BEARER_ASSERTION,
        "client_assertion": proof or assertion(client, TOKEN_URL), **more,
    }  # fmt: skip
    return await auth.post("/auth/token", data={name: value for name, value in form.items() if value is not None})


@dataclass
class Flow:
    """A person's way from an app to its tokens; ``auth`` is an HTTP client of the server's root."""

    world: World
    auth: Any
    client: Client
    secret: str = ""
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def asked(self, scope: str, **more: Any) -> dict[str, str]:
        """An authorize request; a parameter of None is left out."""
        asked = {
            "response_type": "code", "client_id": self.client.id, "redirect_uri": self.client.redirect_uris[0],
            "scope": scope, "state": "s", "aud": "http://fhir.test/fhir", "code_challenge_method": "S256",
            "code_challenge": create_s256_code_challenge(self.verifier), **more,
        }  # fmt: skip
        return {name: value for name, value in asked.items() if value is not None}

    async def authorize(self, scope: str = "patient/*.rs", **more: Any) -> Any:
        return await self.auth.get("/auth/authorize", params=self.asked(scope, **more))

    async def refused(self, scope: str = "patient/*.rs", **more: Any) -> dict[str, str]:
        """What the app hears of a request that is refused."""
        answer = await self.authorize(scope, **more)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith(self.client.redirect_uris[0])
        return said(answer.headers["location"])

    async def waiting(self, scope: str = "patient/*.rs", **more: Any) -> Pending:
        answer = await self.authorize(scope, **more)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"].startswith("/auth/login?request="), answer.headers["location"]
        found = await pending.get(self.world, answer.headers["location"].partition("=")[2])
        assert found is not None
        return found

    async def code(
        self, account: Account, scope: str = "patient/*.rs", *, patient: str = "Patient/1", session: str = "",
        **more: Any,
    ) -> str:  # fmt: skip
        """The code that an approved request gives."""
        waiting = await self.waiting(scope, **more)
        url = await pending.approve(
            self.world, waiting, account, scopes=waiting.scopes, patient=patient, session=session, authenticated=1000
        )
        return said(url)["code"]

    async def post(self, path: str = "/auth/token", **form: Any) -> Any:
        """A request with the client's proof."""
        form = {name: value for name, value in form.items() if value is not None}
        if self.client.kind is Kind.SYMMETRIC:
            return await self.auth.post(path, data=form, auth=(self.client.id, self.secret))
        if self.client.kind is Kind.ASYMMETRIC:
            proof = assertion(self.client, TOKEN_URL)
            form = {"client_assertion_type": BEARER_ASSERTION, "client_assertion": proof, **form}
        else:
            form = {"client_id": self.client.id, **form}
        return await self.auth.post(path, data=form)

    async def redeem(self, code: str, **more: Any) -> Any:
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.client.redirect_uris[0],
            "code_verifier": self.verifier, **more,
        }  # fmt: skip
        return await self.post(**form)

    async def tokens(self, account: Account, scope: str = "patient/*.rs", **more: Any) -> dict[str, Any]:
        answer = await self.redeem(await self.code(account, scope, **more))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def refresh(self, token: str, **more: Any) -> Any:
        return await self.post(grant_type="refresh_token", refresh_token=token, **more)


def said(url: str) -> dict[str, str]:
    """The parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


async def disable(world: World, account: Account) -> None:
    """Close an account."""
    await accounts.disable(world, account.id)


async def login(world: World, account: Account) -> str:
    """A session of an account."""
    return (await sessions.open_session(world, account.id, complete=True)).session.id


async def logout(world: World, session: str) -> None:
    """End a session."""
    await world.store.sessions.remove(session)
    await world.store.access_epoch.moved()


async def launched(world: World, client: Client, **context: Any) -> str:
    """The ``launch`` text of a context as a registration keeps it, whether or not its patient is there."""
    types = {"patient": "Patient", "encounter": "Encounter", "appointment": "Appointment"}
    said = {
        name: f"{types[name]}/{value.removeprefix(f'{types[name]}/')}" if name in types else value
        for name, value in context.items()
    }
    text = secrets.token_urlsafe(24)
    content = {"client": client.id, "by": "emr", "launch": asdict(launches.Launch(**said))}
    kept = launches.KEPT_SECONDS
    await world.store.authorization.launches.put(text, content, expires=world.now() + launches.SECONDS, kept=kept)
    return text
