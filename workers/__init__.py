"""The other door: Celery tasks that call the same use cases."""
