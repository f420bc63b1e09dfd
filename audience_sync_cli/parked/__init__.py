"""Changes that could not be delivered: `audience-sync parked`."""
