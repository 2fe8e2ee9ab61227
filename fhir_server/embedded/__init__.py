"""Find or start a MongoDB replica set and a Redis for one machine."""
