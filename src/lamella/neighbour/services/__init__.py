"""What makes moto's services invoke the functions of Lamella, and keeps their callers apart. Runs within the child."""

from lamella.neighbour.services import (
    apart,
    buckets,
    events,
    functions,
    logs,
    metrics,
    patterns,
    s3,
    secrets,
    ses,
    sns,
    steps,
)


def install(*, accounts_apart: bool) -> None:
    """Replace what moto would do with functions of its own.

    Args:
        accounts_apart: Whether nothing is to lead from one account into another.

    Raises:
        UnknownMotoError: This version of moto is built differently.
    """
    for service in (functions, s3, buckets, sns, events, logs, metrics, secrets, ses, steps, patterns):
        service.install()
    if accounts_apart:
        apart.install()
