"""What is served below `/_lamella/`: everything that the operator's tools ask and Lambda's API has no words for."""

from lamella.pages.host import (
    Credentials,
    Downloads,
    Events,
    Health,
    Logs,
    Traces,
    host_pages,
    sandbox_pages,
)
from lamella.pages.runtimes import Runtimes

__all__ = ["Credentials", "Downloads", "Events", "Health", "Logs", "Runtimes", "Traces", "host_pages", "sandbox_pages"]
