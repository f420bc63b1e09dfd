"""Amazon's normalization rules for single fields, applied before hashing."""
