"""Following events: `audience-sync send`, `tail` and `rejections`."""
