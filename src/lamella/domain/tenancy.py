"""Functions whose execution environments serve one tenant each.

Source: developer guide, "Tenant isolation", 2025 and 2026. The mode is chosen when a function is created, and stays.
"""

from typing import Final

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.function import FunctionConfig

TENANCY: Final = "TenancyConfig"
"""Member of `FunctionConfig.other`."""


def isolates_tenants(config: FunctionConfig) -> bool:
    """Whether an invocation has to say whose it is."""
    return TENANCY in config.other


def check_tenant(config: FunctionConfig, tenant_id: str) -> None:
    """Refuse an invocation that does not say whose it is, or says it in vain.

    Raises:
        InvalidParameterValueException: In AWS's words for the former (AWS's compute blog, November 2025). For the
            latter the guide says that it is refused; the text is ours.
    """
    if isolates_tenants(config) == bool(tenant_id):
        return
    if tenant_id:
        raise InvalidParameterValueException(
            "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request "
            "and try again."
        )
    raise InvalidParameterValueException(
        "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try "
        "again."
    )


def check_fits(config: FunctionConfig, feature: str) -> None:
    """Refuse what functions that isolate tenants cannot have.

    Raises:
        InvalidParameterValueException: The function is one. That AWS refuses it is said in the guide; the text is ours.
    """
    if isolates_tenants(config):
        raise InvalidParameterValueException(f"{feature} is not supported for functions with tenant isolation mode.")
