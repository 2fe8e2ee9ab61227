"""The access record in its own database: batches in hash chains, signed checkpoints, only ever added to."""
