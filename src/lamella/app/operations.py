"""All operations that Lamella implements: whoever imports this has their handlers registered."""

import lamella.control.account
import lamella.control.aliases
import lamella.control.concurrency
import lamella.control.event_invoke
import lamella.control.functions
import lamella.control.layers
import lamella.control.managed_runtimes
import lamella.control.managed_versions
import lamella.control.mappings
import lamella.control.permissions
import lamella.control.provisioned
import lamella.control.recursion
import lamella.control.runtime_management
import lamella.control.scaling_config
import lamella.control.sharing
import lamella.control.signing
import lamella.control.tags
import lamella.control.urls
import lamella.control.versions
import lamella.invoke.asynchronous
import lamella.invoke.service  # noqa: F401
from lamella.awsapi.registry import OPERATIONS

__all__ = ["OPERATIONS"]
