"""Who is asked to make what stacks have."""

from functools import lru_cache
from typing import Any, Final

from lamella.neighbour.bridge import lambda_client, neighbour_client

_ATTEMPTS: Final = 6
"""Of a call of Lambda, whose database may be away for a moment: some 15 s in all. AWS's own clients try again too."""


@lru_cache(maxsize=128)
def clients(service: str, account: str, region: str) -> Any:  # Any: botocore
    """See `kinds.Clients`: Lambda is Lamella's, all else is answered by this process itself."""
    if service == "lambda":
        return lambda_client(account, region, attempts=_ATTEMPTS)
    return neighbour_client(service, account, region)
