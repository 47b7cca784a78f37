"""The services beside Lambda: who answers for them, and how Lamella calls them itself."""

import asyncio
import os
from contextlib import AsyncExitStack

from lamella.awsapi.context import Services
from lamella.awsapi.endpoint import Api
from lamella.config.settings import Settings
from lamella.domain.quotas import LimitProfile
from lamella.invoke.measurements import Measurements
from lamella.neighbour.client import AwsClient
from lamella.neighbour.endpoint import Endpoint, parse_override
from lamella.neighbour.moto import MotoProcess, is_installed
from lamella.neighbour.proxy import Neighbours
from lamella.neighbour.upstream import UpstreamError
from lamella.sidedoor import SideDoor


class NeighbourError(Exception):
    """The neighbour that the settings ask for cannot be had."""


def choose_neighbours(settings: Settings, stack: AsyncExitStack) -> Neighbours:
    """Who answers for the services that are not Lambda's; the stack ends a child, if there is one.

    Raises:
        NeighbourError: moto is asked for, and is not installed.
    """
    overrides = dict(parse_override(text) for text in settings.neighbour_services)
    wanted = settings.neighbour
    if wanted == "off":
        return Neighbours(overrides, None, "its neighbour is turned off by the setting neighbour = off")
    if wanted not in ("auto", "moto"):
        return Neighbours(overrides, Endpoint.parse(wanted))
    if not is_installed():
        advice = "run pip install 'lamella[neighbour]', or name an endpoint in the setting neighbour or "
        absence = f"no neighbour is installed that would: {advice}neighbour_services"
        if wanted == "moto":
            raise NeighbourError("moto is not installed: run pip install 'lamella[neighbour]'")
        return Neighbours(overrides, None, absence)
    apart = settings.auth == "sigv4"
    moto = MotoProcess(settings.data / "neighbour", account=settings.account_id, apart=apart)
    stack.push_async_callback(moto.close)
    return Neighbours(overrides, moto)


async def start_neighbour(
    settings: Settings,
    neighbours: Neighbours,
    api: Api,
    services: Services,
    own_url: str,
    measurements: Measurements,
) -> None:
    """Let moto, if it is the neighbour, reach Lambda here; start it if the settings want it at once.

    Raises:
        NeighbourError: It does not start.
    """
    moto = neighbours.other
    if not isinstance(moto, MotoProcess):
        return
    limits = LimitProfile(settings.limits)
    moto.answer_with(
        SideDoor(api, services, base_url=own_url, secret=moto.secret, limits=limits, measurements=measurements)
    )
    if settings.neighbour == "moto":
        try:
            await moto.wait_ready()
        except UpstreamError as error:
            raise NeighbourError(f"moto does not start: {error}") from error


async def aws_client(settings: Settings, neighbours: Neighbours) -> AwsClient:
    """Lamella's own client of them."""
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    # For endpoints of the settings, which may verify signatures.
    credentials = (key, secret) if key and secret else None
    return await asyncio.to_thread(AwsClient, neighbours, settings.data / "downloads", credentials=credentials)
