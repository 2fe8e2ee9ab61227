"""The benchmark: a running server beside its floors in the same run; ``python -m bench``."""
