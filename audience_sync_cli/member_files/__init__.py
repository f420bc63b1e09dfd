"""Files of members: `audience-sync import` and `audience-sync compare`."""
