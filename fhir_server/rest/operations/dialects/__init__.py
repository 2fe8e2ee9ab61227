"""The request and answer shapes of other scheduling guides."""
