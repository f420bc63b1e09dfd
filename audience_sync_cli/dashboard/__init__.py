"""The dashboard: one page for a deployed and a local stack, and what both put on it."""
