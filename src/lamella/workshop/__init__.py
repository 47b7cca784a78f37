"""The server's side of the layer workshop: proves layers in sandboxes, and keeps watch where they are published."""
