"""Events on their way: `audience-sync send`, `tail` and `rejections`."""
