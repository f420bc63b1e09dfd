"""Everything that knows Amazon Ads: records and their rules (pure), and its HTTP interface."""
