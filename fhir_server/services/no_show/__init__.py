"""Missed visits: suspected, counted, flagged, and what the clinic makes of them."""
