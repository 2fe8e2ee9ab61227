"""MongoDB; nothing outside imports the driver."""
