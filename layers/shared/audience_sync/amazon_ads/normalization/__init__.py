"""The rules by which Amazon normalizes single fields before it hashes them."""
