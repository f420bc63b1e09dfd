"""The audiences that events may reach: `audience-sync audiences`."""
