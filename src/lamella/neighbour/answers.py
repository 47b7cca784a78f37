"""Where functions answer the requests of custom resources: a path that no bucket can have."""

from typing import Final

ANSWERS_PATH: Final = "/_cloudformation/"
STACKS: Final = "cloudformation"
"""The service that waits for them."""
