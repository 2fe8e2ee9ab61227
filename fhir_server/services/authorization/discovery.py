"""What this authorization server says of itself; every member is true.

https://hl7.org/fhir/smart-app-launch/conformance.html, https://www.rfc-editor.org/rfc/rfc8414,
https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.services.authorization.authentication import ALGORITHMS
from fhir_server.services.world import World

SCOPES = (
    "openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "launch/appointment",
    "offline_access", "online_access", "patient/*.cruds", "user/*.cruds", "system/*.cruds", "patient/*.rs", "user/*.rs",
    "system/*.rs", "patient/*.read", "patient/*.write", "user/*.read", "user/*.write", "system/*.read",
    "system/*.write",
)  # fmt: skip
CAPABILITIES = (
    "launch-ehr", "launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric",
    "client-confidential-asymmetric", "sso-openid-connect", "context-banner", "context-style", "context-ehr-patient",
    "context-ehr-encounter", "context-standalone-patient", "permission-offline", "permission-online",
    "permission-patient", "permission-user", "permission-v1", "permission-v2",
)  # fmt: skip
CONFIDENTIAL = ("client_secret_basic", "client_secret_post", "private_key_jwt")


def authorization_server(world: World) -> dict[str, Any]:
    """RFC 8414's metadata."""
    root = world.settings.issuer
    found: dict[str, Any] = {
        "issuer": root,
        "jwks_uri": f"{root}/.well-known/jwks.json",
        "authorization_endpoint": f"{root}/auth/authorize",
        "token_endpoint": f"{root}/auth/token",
        "introspection_endpoint": f"{root}/auth/introspect",
        "revocation_endpoint": f"{root}/auth/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": ["none", *CONFIDENTIAL],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(CONFIDENTIAL),
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": ["none", *CONFIDENTIAL],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
    }
    if world.settings.registration:
        found["registration_endpoint"] = f"{root}/auth/register"
    return found


def smart_configuration(world: World) -> dict[str, Any]:
    """SMART's: the same, with capabilities and the place where people manage their apps."""
    return {
        **authorization_server(world),
        "management_endpoint": f"{world.settings.issuer}/auth/apps",
        "capabilities": list(CAPABILITIES),
    }


def openid_configuration(world: World) -> dict[str, Any]:
    """OpenID's: the same, with ID tokens."""
    return {
        **authorization_server(world),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "fhirUser", "profile", "name",
        ],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }  # fmt: skip
