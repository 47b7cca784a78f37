"""What a probe prints, be it the truth or not."""

import json
import math

import pytest

from lamella.layers.proving import Ending, Outcome, ProbeReader, judge_program
from lamella.layers.proving.reading import LINE_MOST_BYTES, OUTPUT_MOST_BYTES, plain

NONCE = "n" * 32


def line(index: int, event: str, **members: object) -> bytes:
    return json.dumps({"nonce": NONCE, "index": index, "event": event, **members}).encode() + b"\n"


def reader(count: int = 3) -> ProbeReader:
    made = ProbeReader(count, nonce=NONCE, limit_s=10.0)
    made.started(0.0)
    return made


def test_all_goes_well() -> None:
    probe = reader(2)
    probe.feed(line(0, "begin") + line(0, "end", outcome="ok", loaded=[1, 7, "x"]), 1.0)
    assert probe.deadline_s == 11.0
    whole = line(1, "begin") + line(1, "end", outcome="failed", error="E: x", missing="m", at="/opt/x.py:1")
    probe.feed(whole[:50], 2.0)
    probe.feed(whole[50:], 3.0)
    assert probe.finished
    assert probe.deadline_s == math.inf
    assert probe.loaded == {1}
    assert [probe.results[index].outcome for index in (0, 1)] == [Outcome.OK, Outcome.FAILED]
    assert (probe.results[1].error, probe.results[1].missing, probe.results[1].at) == ("E: x", "m", "/opt/x.py:1")


@pytest.mark.parametrize(
    "forged",
    [
        b'{"nonce": "", "index": 0, "event": "end", "outcome": "ok"}\n',
        b'{"nonce": 1}\n{"nonce"\n{"nonce": [' + b"[" * 50_000 + b"\n",
        line(1, "end", outcome="ok"),  # out of turn
        line(-1, "end", outcome="ok"),
        line(True, "end", outcome="ok"),
        line(0, "end", outcome="ok"),  # before its beginning
        b"\xff\xfe\n\x00\n" + b"x" * LINE_MOST_BYTES * 2,
        line(0, "begin", padding="x" * LINE_MOST_BYTES),
    ],
)
def test_what_is_no_result_is_passed_over(forged: bytes) -> None:
    probe = reader()
    probe.feed(forged, 1.0)
    assert probe.results == {}
    assert probe.next_index == 0


def test_a_print_without_a_line_feed_hides_no_result() -> None:
    probe = reader()
    probe.feed(b"loading..." + line(0, "begin") + b"half" + line(0, "end", outcome="ok"), 1.0)
    assert probe.results[0].outcome is Outcome.OK


def test_a_process_that_ends_in_the_middle_costs_one_target() -> None:
    probe = reader()
    probe.feed(line(0, "begin"), 1.0)
    probe.ended(Ending(signal=11), 2.0)
    assert probe.results[0].outcome is Outcome.CRASHED
    assert "segmentation fault" in probe.results[0].error
    assert probe.next_index == 1


def test_a_process_that_never_begins_costs_one_target_too() -> None:
    probe = reader(2)
    for _ in range(2):
        probe.started(0.0)
        probe.ended(Ending(code=1), 1.0)
    assert probe.finished


def test_a_process_that_ends_between_targets_costs_none() -> None:
    probe = reader()
    probe.feed(line(0, "begin") + line(0, "end", outcome="ok"), 1.0)
    probe.ended(Ending(code=0), 2.0)
    assert probe.next_index == 1
    assert set(probe.results) == {0}


def test_time_runs_for_each_target() -> None:
    probe = reader()
    assert probe.deadline_s == 10.0
    probe.feed(line(0, "begin"), 4.0)
    assert probe.deadline_s == 14.0
    probe.ended(Ending(signal=9, killed_for="time"), 14.0)
    assert probe.results[0].outcome is Outcome.TIMED_OUT
    assert probe.results[0].seconds == 10.0


def test_a_flood_is_noticed() -> None:
    probe = reader()
    probe.feed(line(0, "begin"), 1.0)
    for _ in range(OUTPUT_MOST_BYTES // 65536 + 1):
        probe.feed(b"x" * 65536, 1.0)
    assert probe.floods
    probe.ended(Ending(signal=9, killed_for="output"), 2.0)
    assert "without end" in probe.results[0].error
    probe.started(3.0)
    assert not probe.floods


def test_memory_that_ran_out_is_told_from_other_deaths() -> None:
    probe = reader()
    probe.feed(line(0, "begin") + line(0, "end", outcome="crashed", signal=9), 1.0, oom_kills=1)
    probe.feed(line(1, "begin") + line(1, "end", outcome="crashed", signal=9, error="bye"), 2.0, oom_kills=1)
    assert "more memory" in probe.results[0].error
    assert probe.results[1].error == "the process was ended by signal 9 (killed); it printed: bye"


def test_what_there_is_no_time_for() -> None:
    probe = reader()
    probe.feed(line(0, "begin") + line(0, "end", outcome="ok"), 1.0)
    probe.give_up()
    assert [probe.results[index].outcome for index in range(3)] == [Outcome.OK, Outcome.UNTRIED, Outcome.UNTRIED]
    assert probe.finished
    probe.ended(Ending(code=0), 2.0)  # changes nothing more


def test_an_outcome_nobody_knows_is_a_crash() -> None:
    probe = reader()
    probe.feed(line(0, "begin") + line(0, "end", outcome=["ok"], status="x", error=5), 1.0)
    assert probe.results[0].outcome is Outcome.CRASHED


@pytest.mark.parametrize("member", ["status", "signal"])
@pytest.mark.parametrize("value", ["\x1b[31m\n", ["\x1b"], 10**4000, True, None])
def test_how_a_process_ended_is_no_text_of_the_layer(member: str, value: object) -> None:
    made = reader(1)
    made.feed(line(0, "begin") + line(0, "end", outcome="crashed", **{member: value}), 0.2)
    assert made.results[0].outcome is Outcome.CRASHED
    assert made.results[0].error.isprintable()
    assert len(made.results[0].error) < 200


def test_texts_of_layers_are_made_plain() -> None:
    assert plain("a\x1b[31m\tb\n\u202ec") == "a\ufffd[31m b \ufffdc"
    assert plain("x" * 1000, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("ending", "printed", "outcome", "error"),
    [
        (Ending(code=0), "\tlibc.so.6 => /lib64/libc.so.6 (0x7)\n", Outcome.OK, ""),
        (Ending(code=0), "x\n\tliby.so => not found\n", Outcome.FAILED, "liby.so => not found"),
        (
            Ending(code=127),
            "/opt/bin/x: error while loading shared libraries: liby.so: cannot open shared object file\n",
            Outcome.FAILED,
            "/opt/bin/x: error while loading shared libraries: liby.so: cannot open shared object file",
        ),
        (Ending(signal=11), "", Outcome.CRASHED, "the process was ended by signal 11 (segmentation fault)"),
        (Ending(signal=9, killed_for="time"), "", Outcome.TIMED_OUT, ""),
    ],
)
def test_what_the_loader_says(ending: Ending, printed: str, outcome: Outcome, error: str) -> None:
    result = judge_program(ending, printed, 0.1)
    assert (result.outcome, result.error) == (outcome, error)
