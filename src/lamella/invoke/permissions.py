"""What resource policies say of invocations, from memory.

All policies are read once, at the start. Whoever has changed one says so, and it is read anew before the next
invocation that it concerns. What is read while something changes is used and not remembered.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lamella.domain.errors import AccessDeniedException
from lamella.domain.function import FunctionKey
from lamella.domain.names import FunctionReference, explicit_denial, foreign_account, service_kept_out
from lamella.domain.policy import FUNCTION_POLICY, Access, Caller, Decision, Policy, decide
from lamella.domain.principal import ServicePrincipal
from lamella.ports.records import WHOLE, FunctionRecordStore

_NONE: Final[Mapping[str, Policy]] = MappingProxyType({})
_PAGE: Final = 1000


class Permissions:
    """Decides who may invoke which function.

    Args:
        store: Where policies are kept.
        organizations: Organisation by account.
    """

    def __init__(self, store: FunctionRecordStore, organizations: Mapping[str, str] = MappingProxyType({})) -> None:
        self._store: Final = store
        self._organizations: Final = organizations
        # By function, then by qualifier; functions without policies are not in it.
        self._known: Final[dict[FunctionKey, Mapping[str, Policy]]] = {}
        self._stale: Final[set[FunctionKey]] = set()
        self._changes = 0

    async def load(self) -> None:
        """Learn all policies; before any invocation."""
        found: dict[FunctionKey, dict[str, Policy]] = {}
        for record in await self._store.every(FUNCTION_POLICY):
            found.setdefault(record.key, {})[record.qualifier] = Policy.parse(record.document)
        self._known.update(found)

    def concern(self, account: str, key: FunctionKey) -> bool:
        """Whether an invocation by the account has to be let in by `admit`. On the path of every invocation."""
        return account != key.account or key in self._known or key in self._stale

    async def admit(self, account: str, reference: FunctionReference, action: str = "InvokeFunction") -> None:
        """Let an account do something with a function, or refuse it.

        Raises:
            AccessDeniedException: The function is another account's and no policy lets the caller in, or a policy keeps
                the caller out.
        """
        caller = Caller(account, self._organizations.get(account))
        decision = await self.decide(reference, Access(caller, f"lambda:{action}", reference.arn))
        if decision is Decision.DENIED:
            raise explicit_denial(account, action, reference.arn)
        if decision is Decision.SILENT and account != reference.key.account:
            raise foreign_account(account, action, reference.arn)

    async def refusal(
        self, principal: ServicePrincipal, reference: FunctionReference, action: str = "InvokeFunction"
    ) -> AccessDeniedException | None:
        """Why a service may not do something with a function; unlike an account it needs to be let in."""
        accesses = principal.accesses(f"lambda:{action}", reference.arn)
        decisions = [await self.decide(reference, access) for access in accesses]
        if Decision.DENIED in decisions or Decision.ALLOWED not in decisions:
            return service_kept_out(principal.names[0], action, reference.arn)
        return None

    async def decide(self, reference: FunctionReference, access: Access) -> Decision:
        """What the policies of a function and of the qualifier that was named say of an access."""
        policies = await self._policies(reference.key)
        concerned = (policies.get(WHOLE), policies.get(reference.qualifier or WHOLE))
        return decide((policy for policy in concerned if policy is not None), access)

    def policy_changed(self, key: FunctionKey) -> None:
        """A policy of the function is another one now, or gone."""
        self._changes += 1
        self._stale.add(key)

    def forget(self, key: FunctionKey) -> None:
        """The function is gone, and its policies with it."""
        self._changes += 1
        self._known.pop(key, None)
        self._stale.discard(key)

    async def _policies(self, key: FunctionKey) -> Mapping[str, Policy]:
        if key not in self._stale:
            return self._known.get(key, _NONE)
        changes = self._changes
        found: dict[str, Policy] = {}
        marker: str | None = None
        while True:
            page = await self._store.list_function(key, FUNCTION_POLICY, limit=_PAGE, marker=marker)
            found |= {record.qualifier: Policy.parse(record.document) for record in page.items}
            marker = page.next_marker
            if marker is None:
                break
        if changes == self._changes:
            self._stale.discard(key)
            if found:
                self._known[key] = found
            else:
                self._known.pop(key, None)
        return found
