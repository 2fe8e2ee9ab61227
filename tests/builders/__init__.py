"""Builders, one small file a resource: their defaults make a valid thing, a test states what matters to it."""
