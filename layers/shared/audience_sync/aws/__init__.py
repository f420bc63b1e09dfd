"""One module for each table, queue and service, with the format of its rows. Clients are handed in."""
