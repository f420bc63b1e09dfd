"""Everything that knows Amazon Ads: records, normalization and consent (pure), and a folder for each of its two APIs."""
