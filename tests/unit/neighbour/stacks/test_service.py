"""Stacks over their life: what is made, changed, undone and removed, and what is told of it."""

import json

import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION, World, events, reasons

from lamella.neighbour.stacks.errors import (
    AlreadyExistsError,
    ChangeSetNotFoundError,
    InsufficientCapabilitiesError,
    InvalidChangeSetStatusError,
    StackError,
)
from lamella.neighbour.stacks.model import STACK, Wish

LAYER = "AWS::Lambda::LayerVersion"
"""A type whose every change makes a new one."""


def template(outputs: dict[str, object] | None = None, /, **resources: dict[str, object]) -> str:
    return json.dumps({"Resources": resources, **({"Outputs": outputs} if outputs else {})})


def thing(kind: str = "Test::Thing", /, **more: object) -> dict[str, object]:
    """Keywords with a capital letter are properties; the others stand beside them."""
    beside = {"deletion": "DeletionPolicy", "replacement": "UpdateReplacePolicy", "after": "DependsOn"}
    definition: dict[str, object] = {"Type": kind, "Properties": {k: v for k, v in more.items() if k[0].isupper()}}
    return definition | {beside[name]: value for name, value in more.items() if name in beside}


def layer(key: str, **more: object) -> dict[str, object]:
    return thing(LAYER, Content={"S3Bucket": "b", "S3Key": key}, **more)


class TestCreation:
    def test_resources_are_made_in_order_and_told_of(self) -> None:
        world = World()
        stack = world.create(
            template({"O": {"Value": {"Fn::GetAtt": ["B", "Arn"]}}}, A=thing(X={"Ref": "B"}), B=thing())
        )
        assert events(stack) == [
            "s CREATE_IN_PROGRESS",
            "B CREATE_IN_PROGRESS",
            "B CREATE_IN_PROGRESS",
            "B CREATE_COMPLETE",
            "A CREATE_IN_PROGRESS",
            "A CREATE_IN_PROGRESS",
            "A CREATE_COMPLETE",
            "s CREATE_COMPLETE",
        ]
        assert stack.resources["A"].properties == {"X": "B-1"}
        assert [(output.key, output.value) for output in stack.outputs] == [("O", "arn:B-1")]

    def test_what_fails_takes_the_others_with_it(self) -> None:
        world = World()
        stack = world.create(template(A=thing(), B=thing(X={"Ref": "A"}), C=thing(Fail="create", after="B")))
        assert stack.status == "ROLLBACK_COMPLETE"
        assert world.kind.things == {}
        assert world.kind.calls[-2:] == ["delete B-2", "delete A-1"]
        assert "create does not work" in reasons(stack)
        assert "The following resource(s) failed to create: [C]. Rollback requested by user." in reasons(stack)

    def test_what_was_half_made_is_removed(self) -> None:
        world = World()
        stack = world.create(template(A=thing(Fail="half")))
        assert stack.status == "ROLLBACK_COMPLETE"
        assert world.kind.things == {}

    @pytest.mark.parametrize(("on_failure", "status"), [("DO_NOTHING", "CREATE_FAILED"), ("DELETE", "DELETE_COMPLETE")])
    def test_what_becomes_of_a_failure_can_be_chosen(self, on_failure: str, status: str) -> None:
        world = World()
        stack = world.create(template(A=thing(), B=thing(Fail="create", after="A")), on_failure=on_failure)
        assert stack.status == status
        assert (world.kind.things == {}) is (on_failure == "DELETE")

    def test_a_rollback_that_fails(self) -> None:
        world = World()
        stack = world.create(template(A=thing(Fail="delete"), B=thing(Fail="create", after="A")))
        assert stack.status == "ROLLBACK_FAILED"
        assert stack.resources["A"].status == "DELETE_FAILED"

    def test_properties_are_checked_against_the_type(self) -> None:
        stack = World().create(template(A=thing("AWS::Lambda::Function", Code={"ZipFile": "x"}, Rolle="r")))
        failed = next(event for event in stack.events if event.status == "CREATE_FAILED")
        assert failed.reason == (
            "Properties validation failed for resource A with message:\n"
            "#: required key [Role] not found\n#: extraneous key [Rolle] is not permitted"
        )

    def test_an_attribute_that_is_not_there(self) -> None:
        stack = World().create(template(A=thing(), B=thing(X={"Fn::GetAtt": ["A", "No"]})))
        assert any("does not support attribute type No" in reason for reason in reasons(stack))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (template(A=thing(X={"Ref": "B"}), B=thing(X={"Ref": "A"})), r"Circular dependency .*\[A, B\]"),
            (template(A=thing(X={"Ref": "Missing"})), r"Unresolved resource dependencies \[Missing\] in the Resources"),
            (
                template({"O": {"Value": {"Ref": "No"}}}, A=thing()),
                r"Unresolved resource dependencies \[No\] in the Outp",
            ),
            (template(A=thing(after="Missing")), r"Unresolved resource dependencies \[Missing\] in the Resources"),
            (template(A=thing(after="A")), r"Circular dependency .*\[A\]"),
        ],
    )
    def test_templates_that_do_not_hold_together(self, text: str, said: str) -> None:
        world = World()
        with pytest.raises(StackError, match=said):
            world.change_set(text, "CREATE")
        with pytest.raises(StackError, match=said):
            world.create(text, "t")
        assert [stack.name for stack in world.stacks.every(ACCOUNT, REGION)] == ["s"]  # in review

    def test_what_a_condition_leaves_out_need_not_be_waited_for(self) -> None:
        left_out = {**thing(), "Condition": "Never"}
        never = {"Conditions": {"Never": {"Fn::Equals": ["a", "b"]}}}
        text = json.dumps({**never, "Resources": {"A": thing(after="B"), "B": left_out}})
        stack = World().create(text)
        assert (stack.status, [*stack.resources]) == ("CREATE_COMPLETE", ["A"])

    def test_a_name_is_taken_until_the_stack_is_gone(self) -> None:
        world = World()
        stack = world.create(template(A=thing()))
        with pytest.raises(AlreadyExistsError, match=r"Stack \[s\] already exists"):
            world.create(template(A=thing()))
        world.delete(stack)
        assert world.create(template(A=thing())).id != stack.id

    def test_a_role_has_to_be_acknowledged(self) -> None:
        world = World()
        text = template(R=thing("AWS::IAM::Role", AssumeRolePolicyDocument={}))
        with pytest.raises(InsufficientCapabilitiesError, match=r"Requires capabilities : \[CAPABILITY_IAM\]"):
            world.create(text)
        stack = world.stacks.create(ACCOUNT, REGION, "s", Wish(text, capabilities=("CAPABILITY_IAM",)))
        assert stack.settled.wait(30)
        assert stack.status == "CREATE_COMPLETE"


class TestUpdate:
    def test_only_what_differs_is_touched(self) -> None:
        world = World()
        stack = world.create(template(A=thing(Size=1), B=thing(), C=thing()))
        world.kind.calls.clear()
        world.update(stack, template(A=thing(Size=2), B=thing(), D=thing()))
        assert stack.status == "UPDATE_COMPLETE"
        assert world.kind.calls == ["update A", "create D", "delete C-3"]
        assert stack.resources.keys() == {"A", "B", "D"}

    def test_a_replacement_is_there_before_the_old_one_goes(self) -> None:
        world = World()
        stack = world.create(template(L=layer("a"), U=thing(Layer={"Ref": "L"})))
        world.kind.calls.clear()
        world.update(stack, template(L=layer("b"), U=thing(Layer={"Ref": "L"})))
        assert world.kind.calls == ["create L", "update U", "delete L-1"]
        assert world.kind.things["U-2"] == {"Layer": "L-3"}

    def test_a_replaced_one_can_be_kept(self) -> None:
        world = World()
        stack = world.create(template(K=layer("a"), L=layer("a")))
        # The policy is that of the resource as it was; the other one is for when it goes altogether.
        world.update(stack, template(K=layer("a", replacement="Retain"), L=layer("a", deletion="Retain"), N=thing()))
        world.update(stack, template(K=layer("b"), L=layer("b"), N=thing()))
        assert world.kind.things.keys() == {"K-1", "N-3", "K-4", "L-5"}

    def test_a_failure_brings_back_what_was(self) -> None:
        world = World()
        before = template({"O": {"Value": "1"}}, A=thing(Size=1), L=layer("a"), Z=thing(after=["A", "L"]), G=thing())
        stack = world.create(before)
        things = dict(world.kind.things)
        after = template(
            {"O": {"Value": "2"}},
            A=thing(Size=2),
            L=layer("b"),
            N=thing(after="A"),
            Z=thing(Fail="update", after=["N", "L"]),
        )
        world.update(stack, after)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert world.kind.things == things
        assert stack.outputs[0].value == "1"
        assert stack.design.text == before
        assert stack.resources.keys() == {"A", "L", "Z", "G"}
        assert "The following resource(s) failed to update: [Z]." in reasons(stack)
        world.update(stack, template(A=thing(Size=3)))
        assert stack.status == "UPDATE_COMPLETE"

    def test_a_failure_can_be_left_as_it_is(self) -> None:
        world = World()
        stack = world.create(template(A=thing()))
        world.update(stack, template(A=thing(), B=thing(Fail="create")), disable_rollback=True)
        assert stack.status == "UPDATE_FAILED"
        world.update(stack, template(A=thing(), B=thing()))
        assert stack.status == "UPDATE_COMPLETE"

    def test_what_cannot_be_cleaned_up_does_not_fail_the_update(self) -> None:
        world = World()
        stack = world.create(template(A=thing(), B=thing(Fail="delete")))
        world.update(stack, template(A=thing()))
        assert stack.status == "UPDATE_COMPLETE"
        assert "B DELETE_FAILED" in events(stack)

    def test_a_resource_with_a_name_of_its_own_cannot_be_replaced_under_it(self) -> None:
        world = World()
        stack = world.create(template(L=layer("a", LayerName="L-1")))
        world.update(stack, template(L=layer("b", LayerName="L-1")))
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert any("custom-named resource requires replacing" in reason for reason in reasons(stack))

    def test_nothing_to_do_is_an_error(self) -> None:
        world = World()
        stack = world.create(template({"O": {"Value": "1"}}, A=thing()))
        with pytest.raises(StackError, match="No updates are to be performed"):
            world.update(stack, template({"O": {"Value": "1"}}, A=thing()))
        world.update(stack, template({"O": {"Value": "2"}}, A=thing()))
        assert stack.outputs[0].value == "2"

    def test_a_stack_that_was_rolled_back_can_only_be_removed(self) -> None:
        world = World()
        stack = world.create(template(A=thing(Fail="create")))
        with pytest.raises(StackError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
            world.update(stack, template(A=thing()))
        world.delete(stack)
        assert stack.status == "DELETE_COMPLETE"

    def test_a_type_does_not_change(self) -> None:
        world = World()
        stack = world.create(template(A=thing("Test::One")))
        with pytest.raises(StackError, match=r"Update of resource type is not permitted.*\[A\]"):
            world.update(stack, template(A=thing("Test::Two")))


class TestDeletion:
    def test_what_depends_on_others_goes_first(self) -> None:
        world = World()
        stack = world.create(template(A=thing(), B=thing(X={"Ref": "A"}), C=thing(X={"Ref": "B"})))
        world.kind.calls.clear()
        world.delete(stack)
        assert world.kind.calls == ["delete C-3", "delete B-2", "delete A-1"]
        with pytest.raises(StackError, match="does not exist"):
            world.stacks.find(ACCOUNT, REGION, "s")
        assert world.stacks.find(ACCOUNT, REGION, stack.id).status == "DELETE_COMPLETE"

    def test_what_is_to_be_kept_is_kept(self) -> None:
        world = World()
        stack = world.create(template(A=thing(deletion="Retain"), B=thing()))
        world.delete(stack)
        assert world.kind.things.keys() == {"A-1"}
        assert "A DELETE_SKIPPED" in events(stack)

    def test_a_failure_keeps_what_it_depends_on_and_can_be_tried_again(self) -> None:
        world = World()
        stack = world.create(template(A=thing(), B=thing(Fail="delete", X={"Ref": "A"}), C=thing()))
        world.delete(stack)
        assert stack.status == "DELETE_FAILED"
        assert world.kind.things.keys() == {"A-1", "B-3"}
        world.delete(stack, frozenset({"B"}))
        assert stack.status == "DELETE_COMPLETE"
        assert "A-1" not in world.kind.things

    def test_it_ends_what_is_under_way(self) -> None:
        world = World()
        stack = world.stacks.create(ACCOUNT, REGION, "s", Wish(template(A=thing(), B=thing(Fail="wait", after="A"))))
        world.delete(stack)
        assert stack.status == "DELETE_COMPLETE"
        assert world.kind.things == {}

    def test_a_protected_one_stays(self) -> None:
        world = World()
        stack = world.create(template(A=thing()), protected=True)
        with pytest.raises(StackError, match="TerminationProtection"):
            world.delete(stack)


class TestChangeSets:
    def test_of_a_new_stack(self) -> None:
        world = World()
        change_set = world.change_set(template(A=thing()), "CREATE")
        assert change_set.stack.status == "REVIEW_IN_PROGRESS"
        assert [(one.action, one.logical_id) for one in change_set.changes] == [("Add", "A")]
        assert world.kind.calls == []
        world.stacks.execute(change_set, "")
        assert change_set.stack.settled.wait(30)
        assert (change_set.stack.status, change_set.execution) == ("CREATE_COMPLETE", "EXECUTE_COMPLETE")
        with pytest.raises(InvalidChangeSetStatusError):
            world.stacks.execute(change_set, "")

    def test_says_what_would_change_and_how(self) -> None:
        world = World()
        world.create(template(L=layer("a"), U=thing(Layer={"Ref": "L"}, Size=1), G=thing(), K=thing()))
        change_set = world.change_set(
            template(L=layer("b"), U=thing(Layer={"Ref": "L"}, Size=1), K=thing(), N=thing()), "UPDATE"
        )
        assert [(one.action, one.logical_id, one.replacement) for one in change_set.changes] == [
            ("Remove", "G", ""),
            ("Modify", "L", "True"),
            ("Add", "N", ""),
            ("Modify", "U", "False"),
        ]

    def test_without_changes_it_has_failed(self) -> None:
        world = World()
        world.create(template(A=thing()))
        change_set = world.change_set(template(A=thing()), "UPDATE")
        assert (change_set.status, change_set.execution) == ("FAILED", "UNAVAILABLE")
        assert change_set.reason.startswith("The submitted information didn't contain changes.")

    def test_a_transform_that_fails_is_its_reason(self) -> None:
        change_set = World().change_set('{"Transform": "No::Such", "Resources": {}}', "CREATE")
        assert (change_set.status, change_set.reason) == ("FAILED", "No transform named No::Such found.")

    def test_is_found_by_name_and_stack_or_by_id(self) -> None:
        world = World()
        change_set = world.change_set(template(A=thing()), "CREATE")
        assert world.stacks.change_set(ACCOUNT, REGION, "c", "s") is change_set
        assert world.stacks.change_set(ACCOUNT, REGION, change_set.id, None) is change_set
        for account, name in ((ACCOUNT, "d"), ("444455556666", change_set.id)):
            with pytest.raises((ChangeSetNotFoundError, StackError)):
                world.stacks.change_set(account, REGION, name, "s")


class TestSeveralStacks:
    def test_accounts_and_regions_are_kept_apart(self) -> None:
        world = World()
        stack = world.create(template(A=thing()))
        for account, region in (("444455556666", REGION), (ACCOUNT, "eu-west-2")):
            assert world.stacks.every(account, region) == []
            with pytest.raises(StackError):
                world.stacks.find(account, region, stack.id)

    def test_what_one_exports_others_import_and_hold(self) -> None:
        world = World()
        exporting = world.create(template({"O": {"Value": "v", "Export": {"Name": "shared"}}}, A=thing()))
        importing = world.create(template(A=thing(X={"Fn::ImportValue": "shared"})), name="t")
        assert importing.resources["A"].properties == {"X": "v"}
        world.delete(exporting)
        assert exporting.status == "DELETE_FAILED"
        again = world.create(template({"O": {"Value": "v", "Export": {"Name": "shared"}}}, A=thing()), name="u")
        assert again.status == "ROLLBACK_COMPLETE"
        world.delete(importing)
        world.delete(exporting)
        assert exporting.status == "DELETE_COMPLETE"

    def test_a_stack_within_a_stack(self) -> None:
        inner = json.dumps(
            {
                "Parameters": {"Size": {"Type": "Number"}},
                "Resources": {"A": thing(Size={"Ref": "Size"})},
                "Outputs": {"Made": {"Value": {"Ref": "A"}}},
            }
        )
        world = World({"http://inner": inner})

        def outer(size: int) -> str:
            nested = thing(STACK, TemplateURL="http://inner", Parameters={"Size": size})
            return template({"O": {"Value": {"Fn::GetAtt": ["N", "Outputs.Made"]}}}, N=nested)

        stack = world.create(outer(1))
        assert stack.outputs[0].value == "A-1"
        assert world.kind.things == {"A-1": {"Size": "1"}}
        child = next(one for one in world.stacks.every(ACCOUNT, REGION) if one is not stack)
        assert (child.parent, child.name.startswith("s-N-")) == (stack.id, True)
        world.update(stack, outer(2))
        assert world.kind.things == {"A-1": {"Size": "2"}}
        world.delete(stack)
        assert world.stacks.every(ACCOUNT, REGION) == []
        assert world.kind.things == {}
