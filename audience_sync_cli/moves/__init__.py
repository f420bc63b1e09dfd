"""Moves of audiences between Amazon's APIs, and their end: `audience-sync audiences move` and `end`."""
