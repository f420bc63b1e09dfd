"""Who may send: keys, signatures and source addresses."""
