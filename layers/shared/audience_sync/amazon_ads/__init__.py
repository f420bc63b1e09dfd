"""Everything that knows Amazon Ads: records, normalization and consent, all pure, and a folder for each of its APIs."""
