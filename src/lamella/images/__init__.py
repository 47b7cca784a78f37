"""Container images on this node: fetched without a daemon, kept once, and shown to sandboxes as read-only roots."""
