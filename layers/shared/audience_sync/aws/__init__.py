"""One module for each AWS service. Clients are handed in."""
