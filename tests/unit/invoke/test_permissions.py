"""Who may invoke which function, and that memory is right at once after a change."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.invoke.test_router import KEY, VERSION

from lamella.domain.errors import AccessDeniedException
from lamella.domain.function import FunctionKey
from lamella.domain.names import FunctionReference
from lamella.domain.policy import FUNCTION_POLICY
from lamella.domain.principal import ServicePrincipal
from lamella.domain.statements import function_statement, with_statement
from lamella.invoke.permissions import Permissions
from lamella.ports.records import WHOLE, FunctionRecord
from lamella.ports.stores import Page
from lamella.testing.records import MemoryFunctionRecordStore
from lamella.testing.stores import MemoryFunctionStore

OTHER, THIRD, ORGANIZATION = "210987654321", "333333333333", "o-a1b2c3d4e5"
FUNCTION, LIVE = FunctionReference(KEY), FunctionReference(KEY, "live")


class Node:
    def __init__(self) -> None:
        self.functions = MemoryFunctionStore()
        self.store = MemoryFunctionRecordStore(self.functions)
        self.permissions = Permissions(self.store, {OTHER: ORGANIZATION})

    async def let(
        self, qualifier: str = WHOLE, *, effect: str = "Allow", key: FunctionKey = KEY, **members: Any
    ) -> None:
        """Store a policy of one statement, as a handler does, without saying so."""
        request = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": OTHER, **members}
        statement = {**function_statement(key.arn(qualifier or None), request), "Effect": effect}
        await self.store.put(key, FUNCTION_POLICY, with_statement(None, statement), qualifier)

    async def admits(self, account: str, reference: FunctionReference = FUNCTION) -> bool:
        """As an invocation asks: at all only if it has to."""
        if not self.permissions.concern(account, reference.key):
            return True
        try:
            await self.permissions.admit(account, reference)
        except AccessDeniedException:
            return False
        return True


@pytest.fixture
async def node() -> Node:
    node = Node()
    await node.functions.create(VERSION, {})
    return node


async def test_the_owner_needs_no_policy_and_nobody_is_asked(node: Node) -> None:
    assert not node.permissions.concern(KEY.account, KEY)
    assert node.permissions.concern(OTHER, KEY)
    assert await node.admits(KEY.account)
    assert not await node.admits(OTHER)


async def test_the_refusals_are_those_of_aws(node: Node) -> None:
    with pytest.raises(AccessDeniedException) as silent:
        await node.permissions.admit(OTHER, LIVE)
    start = f"User: arn:aws:iam::{OTHER}:root is not authorized to perform: lambda:InvokeFunction on resource: "
    assert silent.value.message == (
        f"{start}{LIVE.arn} because no resource-based policy allows the lambda:InvokeFunction action"
    )
    await node.let(effect="Deny")
    node.permissions.policy_changed(KEY)
    with pytest.raises(AccessDeniedException) as denied:
        await node.permissions.admit(OTHER, FUNCTION)
    assert denied.value.message == f"{start}{FUNCTION.arn} with an explicit deny in a resource-based policy"


async def test_policies_that_were_stored_are_known_after_a_start(node: Node) -> None:
    await node.let()
    await node.let("live", Principal=THIRD)
    await node.permissions.load()
    admitted = [await node.admits(account, of) for account in (OTHER, THIRD) for of in (FUNCTION, LIVE)]
    assert admitted == [True, False, False, True]


async def test_a_change_is_in_force_for_the_next_invocation(node: Node) -> None:
    await node.permissions.load()
    admitted = [await node.admits(OTHER)]
    for change in (node.let, lambda: node.store.delete(KEY, FUNCTION_POLICY), node.let):
        await change()
        node.permissions.policy_changed(KEY)
        admitted.append(await node.admits(OTHER))
    assert admitted == [False, True, False, True]


async def test_what_is_denied_to_its_own_account_is(node: Node) -> None:
    await node.let(effect="Deny", Principal="*")
    node.permissions.policy_changed(KEY)
    assert not await node.admits(KEY.account)
    await node.let(effect="Deny")
    node.permissions.policy_changed(KEY)
    assert await node.admits(KEY.account)


async def test_organizations(node: Node) -> None:
    await node.let(Principal="*", PrincipalOrgID=ORGANIZATION)
    node.permissions.policy_changed(KEY)
    assert [await node.admits(account) for account in (OTHER, THIRD)] == [True, False]


async def test_a_function_that_comes_again_has_nothing_of_the_one_before(node: Node) -> None:
    await node.let()
    await node.permissions.load()
    assert await node.admits(OTHER)
    await node.functions.delete(KEY)
    node.permissions.forget(KEY)
    await node.functions.create(VERSION, {})
    assert not await node.admits(OTHER)


async def test_a_policy_that_is_told_of_after_the_deletion_is_not_believed(node: Node) -> None:
    await node.let()
    await node.functions.delete(KEY)
    node.permissions.forget(KEY)
    node.permissions.policy_changed(KEY)
    await node.functions.create(VERSION, {})
    assert not await node.admits(OTHER)


async def test_policies_of_other_functions_are_no_policies_of_this_one(node: Node) -> None:
    other = FunctionKey(KEY.account, KEY.region, "g")
    await node.functions.create(replace(VERSION, key=other), {})
    await node.let(key=other)
    await node.permissions.load()
    assert await node.admits(OTHER, FunctionReference(other))
    assert not await node.admits(OTHER)


class Slow(MemoryFunctionRecordStore):
    """While policies are read for the first time, something happens."""

    def __init__(self, functions: MemoryFunctionStore, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(functions)
        self._meanwhile = [meanwhile]

    async def list_function(
        self, key: FunctionKey, kind: str, *, limit: int, marker: str | None = None, where: Mapping[str, str] = {}
    ) -> Page[FunctionRecord]:
        page = await super().list_function(key, kind, limit=limit, marker=marker, where=where)
        while self._meanwhile:
            await self._meanwhile.pop()()
        return page


async def test_what_changes_while_it_is_read_is_read_again(node: Node) -> None:
    """Else the permission that was read would outlive its removal."""

    async def removed() -> None:
        await node.store.delete(KEY, FUNCTION_POLICY)
        node.permissions.policy_changed(KEY)

    await node.let()
    node.permissions = Permissions(Slow(node.functions, removed))
    node.permissions.policy_changed(KEY)
    assert await node.admits(OTHER)  # it began before the removal was answered
    assert not await node.admits(OTHER)


BUCKET = "arn:aws:s3:::photos"
S3 = ServicePrincipal(("s3.amazonaws.com",), BUCKET, OTHER)


@pytest.mark.parametrize(
    ("members", "let_in"),
    [
        ({}, True),
        ({"SourceArn": BUCKET, "SourceAccount": OTHER}, True),
        ({"SourceArn": "arn:aws:s3:::p*"}, True),
        ({"SourceArn": "arn:aws:s3:::other"}, False),
        ({"SourceAccount": KEY.account}, False),
        ({"SourceArn": BUCKET, "SourceAccount": KEY.account}, False),
        ({"Principal": "sns.amazonaws.com"}, False),
        ({"Principal": OTHER}, False),  # whose bucket it is does not make it the account's call
        ({"Principal": KEY.account}, False),
        ({"Action": "lambda:GetFunction"}, False),
        ({"effect": "Deny"}, False),
    ],
)
async def test_a_service_is_let_in_by_a_policy_alone(node: Node, members: dict[str, Any], let_in: bool) -> None:
    assert await node.permissions.refusal(S3, FUNCTION) is not None
    await node.let(**{"Principal": "s3.amazonaws.com", **members})
    node.permissions.policy_changed(KEY)
    assert (await node.permissions.refusal(S3, FUNCTION) is None) is let_in


async def test_a_service_with_two_names_is_let_in_under_either_unless_one_is_kept_out(node: Node) -> None:
    logs = ServicePrincipal(("logs.us-east-1.amazonaws.com", "logs.amazonaws.com"))
    await node.let(Principal="logs.amazonaws.com")
    await node.permissions.load()
    assert await node.permissions.refusal(logs, FUNCTION) is None
    await node.let("live", Principal="logs.us-east-1.amazonaws.com", effect="Deny")
    node.permissions.policy_changed(KEY)
    refusal = await node.permissions.refusal(logs, LIVE)
    assert refusal is not None
    assert refusal.message.startswith("logs.us-east-1.amazonaws.com is not authorized to perform: lambda:Invoke")
