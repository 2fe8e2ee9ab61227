"""Messages to patients about their appointments: planned, sent, reported on and answered."""
