"""Machines that this server calls, and the one door to the HTTP client."""
