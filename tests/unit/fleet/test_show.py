"""How plans and roll-outs look: in lines, in JSON, and as a picture."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from tests.unit.fleet.fake_lambda import LAYER
from tests.unit.fleet.rolling import QUICK, Crash, begin, fleet, phases, plan_of

from lamella.cli.fleet.show import as_document, clean, headline, picture, print_plan, stage, worded
from lamella.fleet.events import EVENTS, Baked, Conflicted, Failed, Published, RollbackRequested, UndoFailed, Undone
from lamella.fleet.journal import read_record


def test_a_plan_shows_what_changes_and_what_stays(capsys: pytest.CaptureFixture[str]) -> None:
    fake = fleet("a", "b", "c")
    fake.change("b", Timeout=9)
    fake.add_alias("c", "dev", "$LATEST")
    print_plan(plan_of(fake, waves="1,100%"))
    shown = capsys.readouterr().out
    assert "other:3 shared:7->8 tail:1" in shown
    assert "c: dev invokes $LATEST, which gets the layer at once" in shown
    assert "$LATEST differs from version 1 in Timeout" in shown
    assert "2 functions in 2 waves: 2 versions published, 2 aliases moved; 1 function left as they are" in shown


def test_the_reason_why_many_functions_stay_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan_of(fleet(*"abcde", version=8)))
    shown = capsys.readouterr().out
    assert "a, b, c and 2 more" in shown
    assert shown.count("it has version 8 already") == 1


def test_a_plan_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(plan_of(fleet("a", version=8)))
    assert "Nothing to do." in capsys.readouterr().out


def test_how_far_a_rollout_is(tmp_path: Path) -> None:
    fake = fleet("a", "b")
    plan = plan_of(fake, waves="1,100%")
    with pytest.raises(Crash):
        begin(tmp_path, fake, plan, crash_at=5)  # started, updated, published, probed, shifted
    record = read_record(tmp_path / plan.id)
    machine = record.machine
    assert headline(machine, at_work=False) == "in wave 1 of 2, nobody at work on it"
    assert stage(machine, QUICK.steps) == "in wave 1 of 2: watching 10% of invocations"
    document = as_document(record)
    assert (document["wave"], document["stage"], document["share"]) == (1, "baking", 0.1)
    assert [one["phase"] for one in document["functions"]] == ["shifted", "waiting"]
    text = io.StringIO()
    Console(file=text, width=100).print(picture(plan, machine, QUICK.steps, {"a": "new: 3 invocations"}))
    assert "1 shifted" in text.getvalue()
    assert "watching 10% of invocations" in text.getvalue()
    assert "new: 3 invocations" in text.getvalue()


def test_a_rollout_that_went_back(tmp_path: Path) -> None:
    fake = fleet("a")
    fake.broken["a"] = f"{LAYER}:8"
    plan = plan_of(fake)
    begin(tmp_path, fake, plan)
    record = read_record(tmp_path / plan.id)
    assert headline(record.machine, at_work=False) == "rolled back"
    assert phases(record.directory) == {"a": "undone"}
    assert as_document(record)["reason"] == 'a: the probe: Unhandled: {"errorType":"ImportError"}'


def test_every_event_has_words() -> None:
    assert len(EVENTS) == 12
    assert worded(Baked({"f": "bad"}, {"f": "x"}, 10, 3)) == [
        "f: FAILED: bad",
        "new versions of 1 function were invoked 10 times, and failed 3 times",
    ]
    assert worded(Baked({}, {})) == ["nothing was looked at"]
    assert worded(Published("f", "2", created=False)) == ["f: version 2 was there already"]
    assert worded(Failed("f", "why")) == ["f: FAILED: why"]
    assert worded(Conflicted("f", "who")) == ["f: left alone: who"]
    assert worded(Undone("f", "but")) == ["f: as it was, but: but"]
    assert worded(UndoFailed("f", "why")) == ["f: could NOT be put back: why"]
    assert worded(RollbackRequested("why")) == ["rolling back: why"]


def test_what_functions_write_moves_no_cursor() -> None:
    assert clean("a\x1b[2Jb\nc\x9bd") == "a [2Jb c d"
