"""What happens to stacks at once, or in an order that nobody meant."""

import json
import threading
from typing import Any

import pytest
from tests.unit.neighbour.stacks.fakes import ACCOUNT, REGION, World, events

from lamella.neighbour.stacks import model, shelf
from lamella.neighbour.stacks.errors import AlreadyExistsError, LimitExceededError, StackError
from lamella.neighbour.stacks.kinds import Made, Properties, Task
from lamella.neighbour.stacks.model import STACK, Stack, Wish
from lamella.neighbour.stacks.runner import Runner
from lamella.neighbour.stacks.waiting import wait_for


def template(**resources: object) -> str:
    return json.dumps({"Resources": {"A": {"Type": "Test::Thing"}, **resources}})


def thing(**properties: object) -> dict[str, object]:
    return {"Type": "Test::Thing", "Properties": properties}


def nested(url: str) -> dict[str, object]:
    return {"Type": STACK, "Properties": {"TemplateURL": url}}


class Patient:
    """Takes a moment for everything, as functions do that are not active yet."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()

    def create(self, task: Task, properties: Properties) -> Made:
        return Made(task.name)

    def update(self, task: Task, made: Made, old: Properties, new: Properties) -> Made:
        self.began.set()
        looks = iter((False, False))
        wait_for(lambda: self.release.is_set() and next(looks, True), task)
        return made

    def delete(self, task: Task, made: Made, properties: Properties) -> None:
        """At once."""


class TestNesting:
    def test_a_template_that_has_itself_in_it_comes_to_an_end(self) -> None:
        world = World({"self": template(N=nested("self"))})
        stack = world.create(template(N=nested("self")))
        assert stack.status == "ROLLBACK_COMPLETE"
        every = world.stacks.every(ACCOUNT, REGION, gone=True)
        assert len(every) == 10
        assert any("Stacks are nested 10 deep at most here" in event.reason for one in every for event in one.events)
        assert world.kind.things == {}

    def test_an_end_is_handed_on_to_what_is_within(self) -> None:
        world = World({"inner": template(B=thing(Fail="wait"))})
        stack = world.stacks.create(ACCOUNT, REGION, "s", Wish(template(N=nested("inner"))))
        world.delete(stack)
        assert stack.status == "DELETE_COMPLETE"
        assert world.kind.things == {}

    def test_one_that_was_removed_by_itself_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shelf, "_GONE_MOST", 0)
        world = World({"inner": template()})
        stack = world.create(template(N=nested("inner")))
        child = next(one for one in world.stacks.every(ACCOUNT, REGION) if one.parent)
        world.delete(child)
        world.create(template(), "other")
        assert not world.stacks.is_known(child.id)
        world.delete(stack)
        assert stack.status == "DELETE_COMPLETE"


class TestChangeSets:
    def test_the_first_to_be_carried_out_is_the_only_one(self) -> None:
        world = World()
        first = world.change_set(template(), "CREATE", called="a")
        second = world.change_set(template(B=thing()), "CREATE", called="b")
        world.stacks.execute(first, "")
        with pytest.raises(StackError, match="can not be created"):
            world.stacks.execute(second, "")
        assert first.stack.settled.wait(30)
        assert world.stacks.change_sets(first.stack) == [first]
        assert world.kind.things.keys() == {"A-1"}

    def test_of_a_stack_that_was_removed(self) -> None:
        world = World()
        change_set = world.change_set(template(), "CREATE")
        world.delete(change_set.stack)
        with pytest.raises(StackError, match="can not be created"):
            world.stacks.execute(change_set, "")

    def test_an_update_outdates_them(self) -> None:
        world = World()
        stack = world.create(template())
        change_set = world.change_set(template(B=thing()), "UPDATE")
        world.update(stack, template(C=thing()))
        assert change_set.execution == "OBSOLETE"
        with pytest.raises(StackError, match="cannot be executed"):
            world.stacks.execute(change_set, "")


class TestOrder:
    def test_what_was_cancelled_is_undone_with_patience(self) -> None:
        world, patient = World(), Patient()
        world.more["Test::Patient"] = patient
        stack = world.create(template(P={"Type": "Test::Patient", "Properties": {"Size": 1}}))
        wish = Wish(template(P={"Type": "Test::Patient", "Properties": {"Size": 2}}))
        world.stacks.update(stack, wish)
        assert patient.began.wait(30)
        stack.stop.set()  # as CancelUpdateStack does
        patient.release.set()
        assert stack.settled.wait(30)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"
        assert stack.resources["P"].properties == {"Size": 1}

    def test_a_removal_has_begun_when_it_was_asked_for(self) -> None:
        world = World()
        stack = world.create(template())
        done = world.stacks.delete(stack, "")
        assert "s DELETE_IN_PROGRESS" in events(stack)
        assert done.wait(30)
        assert stack.status == "DELETE_COMPLETE"

    def test_an_operation_is_not_over_because_the_one_before_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        complete, go_on = threading.Event(), threading.Event()
        tell = Runner._tell  # the moment between the last status and the end is what this is about

        def slow(self: Runner, status: str, reason: str = "") -> None:
            tell(self, status, reason)
            if status == "CREATE_COMPLETE":
                complete.set()
                assert go_on.wait(30)

        monkeypatch.setattr(Runner, "_tell", slow)
        world = World()
        stack = world.stacks.create(ACCOUNT, REGION, "s", Wish(template()))
        first = next(thread for thread in threading.enumerate() if thread.name == "stack s")
        assert complete.wait(30)
        world.stacks.update(stack, Wish(template(B=thing(Fail="wait"))))
        go_on.set()
        first.join(30)
        assert not stack.settled.is_set()
        stack.stop.set()
        assert stack.settled.wait(30)
        assert stack.status == "UPDATE_ROLLBACK_COMPLETE"

    def test_one_template_that_takes_long_to_read_holds_nobody_up(self) -> None:
        asked, release = threading.Event(), threading.Event()

        class Slow:
            def __call__(self, service: str, account: str, region: str) -> Any:  # Any: as a client of botocore
                return self

            def get_parameter(self, **_: object) -> Any:
                asked.set()
                assert release.wait(30)
                return {"Parameter": {"Type": "String", "Value": "v"}}

        world = World(clients=Slow())
        text = json.dumps(
            {
                "Parameters": {"P": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/p"}},
                "Resources": {"A": {"Type": "Test::Thing"}},
            }
        )
        made: list[Stack] = []
        slow = threading.Thread(target=lambda: made.append(world.create(text, "slow")))
        slow.start()
        assert asked.wait(30)
        assert world.create(template(), "quick").status == "CREATE_COMPLETE"
        release.set()
        slow.join(30)
        assert made[0].status == "CREATE_COMPLETE"


class TestLimits:
    @pytest.mark.parametrize("name", ["", "1a", "a/b", "../a", "arn:aws:x", "a\n", "ä", "a" * 129, "-a"])
    def test_names_that_are_none(self, name: str) -> None:
        """They become part of ARNs, and of the names of functions, buckets and queues."""
        world = World()
        with pytest.raises(StackError, match=r"at 'stackName' failed to satisfy constraint"):
            world.create(template(), name)
        with pytest.raises(StackError, match=r"at 'stackName' failed to satisfy constraint"):
            world.change_set(template(), "CREATE", name=name)
        with pytest.raises(StackError, match=r"at 'changeSetName' failed to satisfy constraint"):
            world.change_set(template(), "CREATE", called=name)

    def test_stacks_of_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shelf, "_STACKS_MOST", 2)
        world = World()
        stack = world.create(template(), "a")
        world.create(template(), "b")
        with pytest.raises(LimitExceededError):
            world.create(template(), "c")
        world.delete(stack)
        world.create(template(), "c")

    def test_those_that_are_gone_are_forgotten_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shelf, "_GONE_MOST", 2)
        world = World()
        for name in "abcd":
            world.delete(world.create(template(), name))
        world.create(template(), "e")
        assert [one.name for one in world.stacks.every(ACCOUNT, REGION, gone=True)] == ["e", "d", "c"]

    def test_change_sets_of_a_stack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shelf, "_CHANGE_SETS_MOST", 1)
        world = World()
        world.change_set(template(), "CREATE", called="a")
        with pytest.raises(AlreadyExistsError):
            world.change_set(template(), "CREATE", called="a")
        with pytest.raises(LimitExceededError):
            world.change_set(template(), "CREATE", called="b")

    def test_events_of_a_stack(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(model, "_EVENTS_MOST", 3)
        stack = World().create(template())
        assert events(stack) == ["A CREATE_IN_PROGRESS", "A CREATE_COMPLETE", "s CREATE_COMPLETE"]
