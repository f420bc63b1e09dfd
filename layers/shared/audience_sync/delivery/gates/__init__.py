"""Whether an upload may be tried now."""
