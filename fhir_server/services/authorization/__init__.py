"""Use cases of the authorization server: clients, accounts, launches, grants and tokens."""
