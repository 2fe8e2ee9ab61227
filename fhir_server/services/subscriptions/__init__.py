"""Subscriptions: what is told to whom, and how it reaches them."""
