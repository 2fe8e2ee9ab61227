"""Transaction Bundles: many writes, all of them or none."""
