"""Whole roll-outs against Lambda in memory: to the end, back, with others at work, and with a crash at every place."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.unit.fleet.fake_lambda import LAYER, FakeLambda, layers
from tests.unit.fleet.rolling import QUICK, Crash, FakeWatcher, begin, fleet, go_on, phases, plan_of

from lamella.fleet.errors import JournalError, UnreachableError
from lamella.fleet.events import Baked, Watch
from lamella.fleet.journal import Journal, read_record
from lamella.fleet.lambda_api import FunctionApi
from lamella.fleet.policy import Policy
from lamella.fleet.watching import Comparison, Stats, Watched
from lamella.fleet.work import Performer

NAMES = ("a", "b", "c")


def snapshot(fake: FakeLambda) -> dict[str, Any]:
    """What a roll-back has to bring back."""
    return {
        name: (fake.layers_of(name), {alias: fake.route(name, alias) for alias in one["aliases"]})
        for name, one in fake.functions.items()
    }


def rolled(fake: FakeLambda, name: str, version: int = 8) -> None:
    number, weights = fake.route(name, "live")
    assert (number, weights) == ("2", {})
    assert fake.layers_of(name, number) == fake.layers_of(name) == layers(version)
    assert list(fake.functions[name]["versions"]) == ["$LATEST", "1", "2"]


def test_a_fleet_is_rolled_wave_by_wave(tmp_path: Path) -> None:
    fake = fleet(*NAMES)
    plan = plan_of(fake, waves="1,100%")
    assert plan.waves == (("a",), ("b", "c"))
    begin(tmp_path, fake, plan)
    for name in NAMES:
        rolled(fake, name)
    assert [name for _, name in fake.changes[:4]] == ["a", "a", "a:live", "a:live"]
    assert set(phases(tmp_path / plan.id).values()) == {"done"}


def test_an_alias_has_the_shares_of_the_steps_one_after_the_other(tmp_path: Path) -> None:
    fake = fleet("a")
    seen = []
    fake.after = lambda call, _: seen.append(fake.route("a", "live")) if call == "update_alias" else None
    begin(tmp_path, fake, plan_of(fake), replace(QUICK, steps=(0.1, 0.5, 1.0)))
    assert seen == [("1", {"2": 0.1}), ("1", {"2": 0.5}), ("2", {})]


def test_the_description_says_where_a_version_is_from(tmp_path: Path) -> None:
    fake = fleet("a")
    plan = plan_of(fake)
    begin(tmp_path, fake, plan)
    assert fake.functions["a"]["versions"]["2"]["Description"] == f"about a [roll-out {plan.id}]"


def test_a_bad_version_is_stopped_by_the_probe_and_everything_goes_back(tmp_path: Path) -> None:
    fake = fleet(*NAMES)
    before = snapshot(fake)
    fake.broken["b"] = f"{LAYER}:8"
    plan = plan_of(fake, waves="1,100%")
    begin(tmp_path, fake, plan)
    assert snapshot(fake) == before
    assert phases(tmp_path / plan.id) == {"a": "undone", "b": "undone", "c": "undone"}
    assert "ImportError" in read_record(tmp_path / plan.id).machine.reason
    # The alias of the bad one never sent it anything.
    assert ("update_alias", "b:live") not in fake.changes


def test_a_bad_version_is_seen_by_watching(tmp_path: Path) -> None:
    fake = fleet(*NAMES)
    before = snapshot(fake)
    bad = Comparison(Stats(40, 12), Stats(400, 0))
    plan = plan_of(fake)
    begin(tmp_path, fake, plan, watcher=FakeWatcher({"c": bad}))
    assert snapshot(fake) == before
    assert "12 of 40 invocations" in read_record(tmp_path / plan.id).machine.functions["c"].reason
    assert [call for call in fake.changes if call[1] == "c:live"] == [("update_alias", "c:live")] * 2


def test_what_lambda_refuses_is_a_failure(tmp_path: Path) -> None:
    fake = fleet(*NAMES)
    before = snapshot(fake)
    fake.refused.add("b")
    begin(tmp_path, fake, plan := plan_of(fake))
    assert snapshot(fake) == before
    assert "262144000" in read_record(tmp_path / plan.id).machine.reason


def test_a_rollout_that_is_done_can_be_taken_back(tmp_path: Path) -> None:
    fake = fleet(*NAMES)
    before = snapshot(fake)
    begin(tmp_path, fake, plan := plan_of(fake))
    assert go_on(tmp_path / plan.id, fake, rollback=True)
    assert snapshot(fake) == before


def test_weights_that_were_there_come_back(tmp_path: Path) -> None:
    fake = FakeLambda()
    fake.add_layer("shared", 9)
    fake.add("a", layers(6))
    first = fake.publish("a")
    fake.change("a", Layers=[{"Arn": arn} for arn in layers(7)])
    second = fake.publish("a")
    fake.add_alias("a", "live", first, **{f"v{second}": 0.25})
    before = snapshot(fake)
    begin(tmp_path, fake, plan := plan_of(fake))
    assert fake.route("a", "live") == ("3", {})
    go_on(tmp_path / plan.id, fake, rollback=True)
    assert snapshot(fake) == before


def crashed_and_resumed(
    tmp_path: Path, fake: FakeLambda, *, rollback: bool, watcher: FakeWatcher | None = None, **crash: Any
) -> bool:
    """Whether it came to a crash."""
    plan = plan_of(fake, waves="1,100%")
    try:
        begin(tmp_path, fake, plan, watcher=watcher, **crash)
    except Crash:
        fake.before = fake.after = lambda _call, _arguments: None
        assert go_on(tmp_path / plan.id, fake, watcher, rollback=rollback)
        return True
    return False


@pytest.mark.parametrize(("written", "rollback"), [(False, False), (True, True)])
def test_a_crash_at_every_line_of_the_journal(tmp_path: Path, written: bool, rollback: bool) -> None:
    for line in range(2, 100):
        fake = fleet("a", "b")
        before = snapshot(fake)
        if not crashed_and_resumed(tmp_path / str(line), fake, rollback=rollback, crash_at=line, written=written):
            break
        if rollback:
            assert snapshot(fake) == before
        else:
            rolled(fake, "a")
            rolled(fake, "b")
    assert line > 12


@pytest.mark.parametrize(("answered", "rollback"), [(False, True), (True, False), (True, True)])
def test_a_crash_at_every_call(tmp_path: Path, answered: bool, rollback: bool) -> None:
    """Before the call, and after it has had its effect and nobody was left to hear the answer."""

    for number in range(1, 200):
        fake = fleet("a", "b")
        before = snapshot(fake)
        left = [number]

        def trouble(_call: str, _arguments: Mapping[str, Any], left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise Crash

        plan = plan_of(fake, waves="1,100%")
        setattr(fake, "after" if answered else "before", trouble)
        try:
            begin(tmp_path / str(number), fake, plan)
        except Crash:
            fake.before = fake.after = lambda _call, _arguments: None
            assert go_on(tmp_path / str(number) / plan.id, fake, rollback=rollback)
        else:
            break
        if rollback:
            assert snapshot(fake) == before
        else:
            rolled(fake, "a")
            rolled(fake, "b")
    assert number > 20


def test_a_crash_in_going_back_goes_on_going_back(tmp_path: Path) -> None:
    bad = FakeWatcher({"b": Comparison(Stats(40, 12), Stats(400, 0))})
    for line in range(12, 100):
        fake = fleet("a", "b")
        before = snapshot(fake)
        if not crashed_and_resumed(tmp_path / str(line), fake, rollback=False, watcher=bad, crash_at=line):
            break
        assert snapshot(fake) == before
    assert line > 14


@pytest.mark.parametrize("call", ["update_function_configuration", "publish_version", "update_alias"])
def test_who_changes_a_function_meanwhile_keeps_his_change(tmp_path: Path, call: str) -> None:
    """Right before our change, between looking and changing: the revision gives it away."""
    fake = fleet("a", "b")

    def change(operation: str, arguments: Mapping[str, Any]) -> None:
        if operation == call and arguments["FunctionName"] == "a":
            fake.before = lambda _call, _arguments: None
            fake.change("a", Timeout=60)
            if call == "update_alias":
                fake.add_alias("a", "live", "1", v2=0.7)

    plan = plan_of(fake)
    fake.before = change
    begin(tmp_path, fake, plan)
    found = read_record(tmp_path / plan.id).machine.functions["a"]
    rolled(fake, "b")
    assert fake.functions["a"]["versions"]["$LATEST"]["Timeout"] == 60
    assert fake.layers_of("a") == layers(7)
    if call == "update_alias":
        assert fake.route("a", "live") == ("1", {"2": 0.7})
        assert "somebody has sent alias live to 1 (30%) + 2 (70%)" in found.reason
        assert "left" in found.notes
    else:
        assert "somebody has changed Timeout" in found.reason
        assert fake.route("a", "live") == ("1", {})


def test_a_share_that_is_nearly_ours_is_somebody_elses(tmp_path: Path) -> None:
    fake = fleet("a")
    plan = plan_of(fake)
    shifts = [0]

    def change(operation: str, _: Mapping[str, Any]) -> None:
        shifts[0] += operation == "get_alias"
        if shifts[0] == 2:  # when the second share is about to be given
            fake.before = lambda _call, _arguments: None
            fake.add_alias("a", "live", "1", v2=0.104)

    fake.before = change
    begin(tmp_path, fake, plan)
    assert fake.route("a", "live") == ("1", {"2": 0.104})
    assert phases(tmp_path / plan.id) == {"a": "undone"}


def test_a_change_that_is_none_is_no_conflict(tmp_path: Path) -> None:
    fake = fleet("a")

    def touch(operation: str, _: Mapping[str, Any]) -> None:
        if operation == "update_function_configuration":
            fake.before = lambda _call, _arguments: None
            fake.change("a", Description="other words")

    plan = plan_of(fake)
    fake.before = touch
    begin(tmp_path, fake, plan)
    rolled(fake, "a")


@pytest.mark.parametrize(
    ("call", "code"), [("update_alias", "ResourceConflictException"), ("invoke", "SnapStartNotReadyException")]
)
def test_what_lambda_cannot_do_yet_is_asked_for_again(tmp_path: Path, call: str, code: str) -> None:
    fake = fleet("a")
    plan = plan_of(fake)
    busy = [20]  # more often than a change that somebody else is quicker with is tried

    def be_busy(operation: str, _: Mapping[str, Any]) -> None:
        if operation == call and busy[0]:
            busy[0] -= 1
            raise ClientError({"Error": {"Code": code, "Message": "at this time"}}, operation)

    fake.before = be_busy
    begin(tmp_path, fake, plan)
    rolled(fake, "a")


def test_a_version_of_managed_instances_that_is_no_number_is_passed_over(tmp_path: Path) -> None:
    fake = fleet("a")
    versions = fake.functions["a"]["versions"]
    versions["$LATEST.PUBLISHED"] = {**versions["1"], "Version": "$LATEST.PUBLISHED"}
    assert list(plan_of(fake).functions) == ["a"]


def test_a_step_is_not_well_before_its_metrics_have_come(tmp_path: Path) -> None:
    fake = fleet("a")
    clock = [datetime(2026, 11, 26, tzinfo=UTC)]
    looked: list[datetime] = []

    class Waits(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock[0] += timedelta(seconds=timeout or 0)
            return False

    class Late(FakeWatcher):
        """What goes wrong in the first second is known after three minutes."""

        def observe(
            self, targets: Sequence[Watched], *, since: datetime, until: datetime
        ) -> Mapping[Watched, Comparison]:
            looked.append(until)
            known = until - since >= timedelta(minutes=3)
            return {target: Comparison(Stats(9, 9) if known else Stats(), Stats()) for target in targets}

    def watched(policy: Policy) -> Baked:
        performer = Performer(plan_of(fake), policy, FunctionApi(fake, settle_s=1.0), Late(), now=lambda: clock[0])
        event = performer.perform(Watch((("a", "2"),), 0, 0), Waits())
        assert isinstance(event, Baked)
        return event

    assert not watched(replace(QUICK, bake_s=60.0)).unhealthy
    looked[:] = []
    assert watched(replace(QUICK, bake_s=60.0, metrics_delay_s=180.0)).unhealthy
    assert len(looked) == 10  # in three minutes: on AWS each look costs
    begun = clock[0]
    watched(replace(QUICK, bake_s=60.0, metrics_delay_s=180.0, watch=False))
    assert clock[0] - begun == timedelta(seconds=60)


def test_a_function_that_is_deleted_meanwhile_is_left(tmp_path: Path) -> None:
    fake = fleet("a", "b")
    plan = plan_of(fake)
    del fake.functions["a"]
    begin(tmp_path, fake, plan)
    rolled(fake, "b")
    assert phases(tmp_path / plan.id) == {"a": "left", "b": "done"}


def test_an_api_out_of_reach_ends_it_where_it_can_be_resumed(tmp_path: Path) -> None:
    fake = fleet("a", "b")

    def away(operation: str, _: Mapping[str, Any]) -> None:
        if operation == "publish_version":
            raise UnreachableError("no route to host")

    plan = plan_of(fake)
    fake.before = away
    with pytest.raises(UnreachableError):
        begin(tmp_path, fake, plan)
    fake.before = lambda _call, _arguments: None
    assert go_on(tmp_path / plan.id, fake)
    rolled(fake, "a")
    rolled(fake, "b")


def test_latest_that_was_rolled_by_hand_is_only_published(tmp_path: Path) -> None:
    """What a loop over `update-function-configuration` leaves behind: aliases with the old layer."""
    fake = fleet("a")
    fake.change("a", Layers=[{"Arn": arn} for arn in layers(8)])
    begin(tmp_path, fake, plan_of(fake))
    rolled(fake, "a")
    assert [call for call, _ in fake.changes] == ["publish_version", "update_alias", "update_alias"]


def test_a_version_that_was_there_before_is_not_ours(tmp_path: Path) -> None:
    fake = fleet("a")
    fake.change("a", Layers=[{"Arn": arn} for arn in layers(8)])
    fake.publish("a")
    begin(tmp_path, fake, plan := plan_of(fake))
    machine = read_record(tmp_path / plan.id).machine.functions["a"]
    assert (machine.version, machine.created) == ("2", False)
    assert fake.route("a", "live") == ("2", {})


def test_one_process_at_a_time(tmp_path: Path) -> None:
    plan = plan_of(fleet("a"))
    first = Journal.create(tmp_path, plan, QUICK)
    with first:
        assert read_record(tmp_path / plan.id).at_work
        with pytest.raises(JournalError, match="another process is at work"), Journal(tmp_path / plan.id):
            pass
    assert not read_record(tmp_path / plan.id).at_work
    with pytest.raises(JournalError, match="--resume"):
        Journal.create(tmp_path, plan, QUICK)


def test_half_a_line_is_as_if_it_had_not_been_written(tmp_path: Path) -> None:
    fake = fleet("a")
    plan = plan_of(fake)
    with pytest.raises(Crash):
        begin(tmp_path, fake, plan, crash_at=3)
    path = tmp_path / plan.id / "journal.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"at": "2026-11-26T20:00:00", "event": "Undone", "function": "a", "notes": ""}')
    assert go_on(tmp_path / plan.id, fake)
    rolled(fake, "a")
    assert path.read_bytes().startswith(whole + b'{"at"')


@pytest.mark.parametrize("line", ["{}", "nonsense", '{"at": "x", "event": "Undone", "function": "a", "notes": ""}'])
def test_a_damaged_journal_is_not_followed(tmp_path: Path, line: str) -> None:
    plan = plan_of(fleet("a"))
    Journal.create(tmp_path, plan, QUICK)
    (tmp_path / plan.id / "journal.jsonl").write_text(f"{line}\n")
    with pytest.raises(JournalError, match="damaged"):
        go_on(tmp_path / plan.id, FakeLambda())
