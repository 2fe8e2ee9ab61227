"""The waitlist: who waits, rounds that offer freed time, and the answers."""
