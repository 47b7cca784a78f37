"""Container images of this node: where they come from, how they are unpacked, and the roots made of them."""
