"""Working projects to begin with, one for each language: what `lamella init` writes."""
