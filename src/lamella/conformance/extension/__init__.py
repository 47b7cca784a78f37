"""What the conformance kit plays against extensions."""
