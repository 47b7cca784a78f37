"""How a trace is drawn; each picture is what somebody sees in a terminal of 80 columns."""

from tests.support.traces import ENVIRONMENT, Life

from lamella.cli.timeline import ASCII, UNICODE, draw, duration, glyphs_for, size
from lamella.lifecycle.events import (
    DeadlinePassed,
    ExtensionExited,
    ExtensionPolled,
    NextPolled,
    ProcessesGone,
    ResponsePosted,
    RuntimeExited,
    TelemetryFlushed,
)

HEAD = f"""\
Function     orders, version 7
Environment  {ENVIRONMENT}, live
Began        2026-01-01T00:00:00.000000Z
"""
COLD_START = """\

Cold start and request 00000000-0000-4000-8000-000000000001
  success in 27.0 ms, event of 12 bytes, response of 2.0 KiB
                         0 ms       20          40          60
sandbox                  ######                                          10.0 ms
ext. metrics: init            ##########                                 15.0 ms
runtime init                        #############                        20.0 ms
invoke                                          #########                13.0 ms
response                                                |                2.0 KiB
runtime overhead                                        ##                1.0 ms
ext. metrics: event                             #################        27.0 ms
extension overhead                                       ########        13.0 ms
frozen                                                           ...   until now
"""
FAILURES = """\

Request 00000000-0000-4000-8000-000000000002
  timeout in 3000.0 ms, event of 2 bytes, no response
                         0 s           1             2             3
invoke                   ##########################################!   3000.0 ms
ext. metrics: event      ###########################################   3002.0 ms
ext. metrics: shutdown                                             #      2.0 ms
reset                                                              #      3.0 ms
  ! at 3000.0 ms, invoke: the deadline passed
"""


def drawn(life: Life, request_id: str = "", **options: int) -> str:
    lines = list(draw(life.trace(), request_id, glyphs=ASCII, **options))
    assert all(len(line) <= options.get("width", 80) for line in lines)
    return "\n".join(lines) + "\n"


def served() -> tuple[Life, str]:
    life = Life("metrics").ready_with("metrics")
    request_id = life.assigned(b'{"order":42}')
    life.after(13, ResponsePosted(request_id, bytes(2048))).after(1, NextPolled())
    life.after(13, ExtensionPolled("x-metrics")).mark(1, "frozen")
    return life, request_id


def test_a_cold_start() -> None:
    life, request_id = served()
    assert drawn(life) == HEAD + COLD_START
    assert drawn(life, request_id) == HEAD + COLD_START


def test_a_timeout() -> None:
    life, _ = served()
    life.mark(500, "thawed")
    request_id = life.assigned()
    life.after(3000, DeadlinePassed()).after(
        1, RuntimeExited("Runtime exited with error: signal: terminated"), TelemetryFlushed()
    )
    life.after(1, ExtensionPolled("x-metrics")).after(2, ExtensionExited("metrics", "exit status 0"))
    life.after(3, ProcessesGone())
    assert drawn(life, request_id) == HEAD + FAILURES
    assert drawn(life) == HEAD + COLD_START.replace("until now", " 500.0 ms") + FAILURES


def test_a_wide_terminal_gets_a_wider_picture() -> None:
    life, _ = served()
    assert max(map(len, drawn(life, width=120).splitlines())) == 120


def test_blocks_where_the_output_can_show_them() -> None:
    assert glyphs_for("utf-8") is UNICODE
    assert glyphs_for("ascii") is glyphs_for(None) is glyphs_for("no such encoding") is ASCII
    life, _ = served()
    text = "\n".join(draw(life.trace(), glyphs=UNICODE))
    assert "█" in text
    assert "░" in text


def test_many_invocations_are_not_all_drawn_unless_asked_for() -> None:
    life = Life().ready()
    ids = [life.invoked(ms=100) for _ in range(20)]
    text = drawn(life)
    assert ids[-1] in text
    assert ids[2] not in text
    assert "others are not shown" in text
    assert ids[2] in drawn(life, ids[2])


def test_a_sandbox_made_ahead_of_need_is_drawn_apart() -> None:
    life = Life().mark(0, "sandbox.asked").mark(10, "sandbox.made")
    text = drawn(life.mark(60_000, "news"))
    assert "Sandbox, made ahead of need: 10.0 ms" in text
    assert "60.0 s" not in text


def test_nothing_yet() -> None:
    assert drawn(Life()).endswith("\nNothing has happened yet.\n")


def test_an_incomplete_record_says_so() -> None:
    life = Life().ready()
    for _ in range(200):
        life.invoked(ms=100)
    assert "the record is not complete" in drawn(life)


def test_what_a_function_chose_cannot_leave_its_line() -> None:
    life = Life().ready()
    life.assigned()
    life.after(1, RuntimeExited("bad\x1b[2J\nworse" + "x" * 200), ProcessesGone())
    text = drawn(life)
    assert "\x1b" not in text
    assert "bad?[2J?worse" in text


def test_durations_and_sizes() -> None:
    assert [duration(us) for us in (0, 99, 100, 1234, 9_999_000, 61_000_000)] == [
        "0 us",
        "99 us",
        "0.1 ms",
        "1.2 ms",
        "9999.0 ms",
        "61.0 s",
    ]
    assert [size(count) for count in (0, 1, 1023, 2048, 6 * 1024 * 1024)] == [
        "0 bytes",
        "1 byte",
        "1023 bytes",
        "2.0 KiB",
        "6.0 MiB",
    ]
