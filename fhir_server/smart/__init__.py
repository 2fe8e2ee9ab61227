"""The authorization server's door: SMART App Launch, OAuth 2.0 and OpenID Connect over HTTP, and its pages."""
