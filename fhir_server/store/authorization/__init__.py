"""Collections of the authorization server."""
