"""Push messages: what is sent, and Firebase Cloud Messaging for Android.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from fhir_server.remote import google
from fhir_server.remote.sending import NotSent, Sent, ask, field_of, words_of

FCM = "https://fcm.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_EARLY_SECONDS = 60

Kind = Literal["fcm", "apns", "web"]


@dataclass(frozen=True, slots=True)
class Push:
    """To one device: ``device`` is its registration token, for ``web`` the browser's PushSubscription as JSON.

    ``seconds`` is how long the provider keeps it for a device that is away.
    """

    id: str
    device: str
    title: str
    body: str
    link: str = ""
    seconds: int = 4 * 3600


@dataclass(slots=True)
class Fcm:
    """A Firebase project by its service account; the access token is kept until it ends."""

    account: dict[str, Any] = field(repr=False)
    base: str = FCM
    name: str = "fcm"
    _token: str = field(default="", repr=False)
    _until: float = 0.0

    @classmethod
    def of(cls, path: str) -> Self:
        """:raises ValueError: FHIR_FCM_CREDENTIALS is no service account of a project."""
        try:
            account = google.account_of(path)
            return cls({**account, "project_id": str(account["project_id"])})
        except (ValueError, KeyError) as failed:
            msg = "FHIR_FCM_CREDENTIALS names no file of a service account of a Firebase project."
            raise ValueError(msg) from failed

    async def send(self, message: Push) -> Sent:
        """:raises NotSent: Firebase does not take it."""
        body = {
            "token": message.device,
            "notification": {"title": message.title, "body": message.body},
            "data": {"id": message.id, **({"link": message.link} if message.link else {})},
            # A second copy of the same message takes the place of the first on the device.
            "android": {"ttl": f"{message.seconds}s", "notification": {"tag": message.id}},
        }
        url = f"{self.base}/v1/projects/{self.account['project_id']}/messages:send"
        token = await self._access_token()
        try:
            answer = await ask("POST", url, json={"message": body}, headers={"Authorization": f"Bearer {token}"})
        except NotSent as failed:
            if failed.reason == "credentials":
                self._until = 0.0
            raise
        if answer.status_code >= 400:
            gone = answer.status_code == 404 or "UNREGISTERED" in words_of(answer)
            raise NotSent("invalid-address" if gone else "rejected", permanent=True)
        return Sent(self.name, field_of(answer, "name"))

    async def _access_token(self) -> str:
        if time.time() >= self._until:
            now = int(time.time())
            form = {"grant_type": google.GRANT, "assertion": google.assertion(self.account, _SCOPE, now)}
            answer = await ask("POST", self.account["token_uri"], data=form)
            token, seconds = field_of(answer, "access_token"), field_of(answer, "expires_in")
            if answer.status_code != 200 or not token:
                raise NotSent("credentials", permanent=False)
            self._token, self._until = token, now + int(seconds or 0) - _EARLY_SECONDS
        return self._token

    async def close(self) -> None:
        """Nothing is kept open."""
