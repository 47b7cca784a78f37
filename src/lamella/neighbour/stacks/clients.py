"""Who is asked to make what stacks have."""

from functools import lru_cache
from typing import Any

from lamella.neighbour.bridge import lambda_client, neighbour_client


@lru_cache(maxsize=128)
def clients(service: str, account: str, region: str) -> Any:  # Any: botocore
    """See `kinds.Clients`: Lambda is Lamella's, all else is answered by this process itself."""
    return lambda_client(account, region) if service == "lambda" else neighbour_client(service, account, region)
