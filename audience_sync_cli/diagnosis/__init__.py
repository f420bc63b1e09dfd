"""Reasons why an audience is empty or small: `audience-sync diagnose`."""
