"""Readings, checks and findings about a stack and its audiences, for `test`, `diagnose`, `status` and the page."""
