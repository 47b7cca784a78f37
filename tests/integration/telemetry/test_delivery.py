"""Telemetry on its way to subscribers that answer well, late, wrongly, or not at all: section 5.2."""

import asyncio
import time
from typing import Any

import pytest

from lamella.invoke.telemetry_api import TelemetryApiError
from lamella.lifecycle import telemetry as machine
from lamella.lifecycle.telemetry_events import Schema


async def test_what_a_listener_gets(bench: Any) -> None:
    """TL-20, TL-26: an array in order, at the path of the URI, with no header beside what HTTP asks for."""
    listener = await bench.listener()
    bench.telemetry.emit(1795201681.847, "platform.initStart", {"phase": "init"})
    bench.telemetry.emit(1795201681.847, "extension", "early\n")
    bench.subscribe(listener, "platform", "extension")
    bench.telemetry.close_subscriptions()
    batch = await listener.next()
    assert batch.line == "POST /to?a=b HTTP/1.1"
    assert batch.headers.pop("content-length")
    assert batch.headers == {"host": f"sandbox:{listener.port}", "content-type": "application/json"}
    assert batch.events[0] == {
        "time": "2026-11-20T19:08:01.847Z",
        "type": "platform.initStart",
        "record": {"phase": "init"},
    }
    assert [event["type"] for event in batch.events] == [
        "platform.initStart",
        "extension",
        "platform.telemetrySubscription",
    ]
    assert batch.events[2]["record"] == {
        "name": "extension a",
        "state": "Subscribed",
        "types": ["platform", "extension"],
    }


async def test_the_logs_api(bench: Any) -> None:
    """TL-20: PUT if asked for."""
    listener = await bench.listener()
    bench.telemetry.emit(0.0, "platform.initStart", {"phase": "init"})
    bench.subscribe(listener, "platform", schema=Schema.LOGS_2020_08_15, method="PUT")
    bench.telemetry.close_subscriptions()
    batch = await listener.next()
    assert batch.line == "PUT /to?a=b HTTP/1.1"
    assert [event["type"] for event in batch.events] == ["platform.logsSubscription"]


async def test_batches_share_a_connection(bench: Any) -> None:
    """TL-21, TL-23."""
    listener = await bench.listener()
    bench.subscribe(listener)
    bench.telemetry.close_subscriptions()
    for text in ("1", "2", "3"):
        bench.say(text)
        batch = await listener.next()
        assert (batch.records, batch.connection) == ([f"{text}\n"], 1)
        assert await bench.wait_delivered() == ("a", 1)


async def test_a_listener_that_fails_twice(bench: Any) -> None:
    """TL-23: only a 2xx counts; the same batch again, order kept."""
    listener = await bench.listener()
    listener.answers = [500, 302, 201]
    bench.subscribe(listener)
    bench.say("1")
    bench.telemetry.close_subscriptions()
    assert [(await listener.next()).records for _ in range(3)] == [["1\n"]] * 3
    assert await bench.wait_delivered() == ("a", 1)
    bench.say("2")
    assert (await listener.next()).records == ["2\n"]


@pytest.mark.parametrize(
    "answer", [-1, b"rubbish\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 2_000_000]
)
async def test_a_listener_that_talks_rubbish(answer: int | bytes, bench: Any) -> None:
    """TL-23: it harms itself alone."""
    bad, good = await bench.listener(), await bench.listener()
    bad.answers = [answer]
    bench.subscribe(bad, identifier="a")
    bench.subscribe(good, identifier="b")
    bench.say("1")
    bench.telemetry.close_subscriptions()
    assert (await good.next()).records == ["1\n"]
    first, second = await bad.next(), await bad.next()
    assert first.records == second.records == ["1\n"]
    assert second.connection == 2
    assert sorted([await bench.wait_delivered(), await bench.wait_delivered()]) == [("a", 1), ("b", 1)]


async def test_nobody_listens_yet(bench: Any) -> None:
    """TL-23: refused connections are tried again within milliseconds."""
    listener = await bench.listener(listening=False)
    bench.subscribe(listener)
    bench.say("1")
    bench.telemetry.close_subscriptions()
    await bench.wait_sockets(4)
    await listener.listen()
    assert (await listener.next()).records == ["1\n"]


async def test_a_listener_that_binds_anew_for_each_connection(bench: Any) -> None:
    """TL-23: what the Rust client does."""
    listener = await bench.listener()
    listener.once = True
    bench.subscribe(listener)
    bench.telemetry.close_subscriptions()
    for number in range(5):
        bench.say(str(number))
        assert (await listener.next()).records == [f"{number}\n"]
        listener.close()
        await bench.wait_delivered()
        await listener.gone.wait()
        listener.gone.clear()
        await listener.listen()


async def test_a_slow_listener(bench: Any) -> None:
    """TL-25: nobody waits for it."""
    slow, good = await bench.listener(), await bench.listener()
    slow.answers = [0]
    good.plain = True
    bench.subscribe(slow, identifier="slow")
    bench.subscribe(good, identifier="good", protocol="TCP")
    bench.say("first")
    bench.telemetry.close_subscriptions()
    assert (await slow.next()).records == ["first\n"]
    bench.say(*(str(number) for number in range(200)))
    heard = [(await good.next_line())["record"] for _ in range(201)]
    assert heard == ["first\n", *(f"{number}\n" for number in range(200))]
    assert slow.batches.empty()


async def test_a_listener_that_never_answers_is_tried_again(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-23, TL-25: over a new connection, with the same batch, and then with word of what is missing."""
    monkeypatch.setattr(machine, "QUEUE_BYTES", 2_000)
    monkeypatch.setattr(machine, "DELIVERY_TIMEOUT_S", 0.2)
    listener = await bench.listener()
    listener.answers = [0]
    bench.subscribe(listener)
    bench.say("first")
    bench.telemetry.close_subscriptions()
    assert (await listener.next()).records == ["first\n"]
    bench.say(*(str(number) for number in range(100)))
    again = await listener.next()
    assert (again.records, again.connection) == (["first\n"], 2)
    late = await listener.next()
    dropped = late.events[0]
    assert dropped["type"] == "platform.logsDropped"
    kept = late.records[1:]
    assert kept == [f"{number}\n" for number in range(100 - len(kept), 100)]
    assert dropped["record"]["droppedRecords"] == 100 - len(kept)


async def test_plain_tcp(bench: Any) -> None:
    """TL-24: a JSON object to a line."""
    listener = await bench.listener()
    listener.plain = True
    bench.subscribe(listener, protocol="TCP")
    bench.telemetry.close_subscriptions()
    bench.say("1", "2")
    assert [(await listener.next_line())["record"] for _ in range(2)] == ["1\n", "2\n"]
    await bench.flush()
    bench.say("3")
    assert await listener.next_line() == {"time": "2026-11-20T19:08:01.847Z", "type": "function", "record": "3\n"}
    assert listener.connections == 1


async def test_plain_tcp_that_breaks(bench: Any) -> None:
    """TL-24: what was written counts as delivered, what comes later goes over a new connection."""
    listener = await bench.listener()
    listener.plain = listener.once = True
    bench.subscribe(listener, protocol="TCP")
    bench.telemetry.close_subscriptions()
    for number in range(3):
        bench.say(str(number))
        assert (await listener.next_line())["record"] == f"{number}\n"
        await bench.wait_delivered()
        await listener.gone.wait()
        listener.gone.clear()
        client = bench.telemetry._clients["a"][1]
        async with asyncio.timeout(20):
            while client.usable:  # noqa: ASYNC110 - the end of a connection has no event of its own
                await asyncio.sleep(0)
    assert listener.connections == 3


async def test_nothing_is_sent_to_a_frozen_environment(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """TL-27: and all of it when it thaws."""
    monkeypatch.setattr(machine, "FLUSH_S", 0.1)
    listener = await bench.listener()
    bench.subscribe(listener)
    bench.telemetry.close_subscriptions()
    bench.telemetry.pause()
    bench.say("1")
    await bench.flush()  # gives up long after the batch's own time
    assert (bench.sockets, listener.connections) == (0, 0)
    bench.telemetry.resume()
    assert (await listener.next()).records == ["1\n"]


async def test_a_flush_delivers_before_it_ends(bench: Any) -> None:
    """TL-21: at shutdown."""
    listener = await bench.listener()
    bench.subscribe(listener, timeout_s=30.0)
    bench.telemetry.close_subscriptions()
    bench.say("1", "2")
    await bench.flush()
    assert listener.batches.get_nowait().records == ["1\n", "2\n"]


async def test_a_flush_of_nothing_and_to_nobody_ends(bench: Any) -> None:
    flushed = []
    bench.telemetry.flush(lambda: flushed.append(1))
    assert flushed == [], "never before the call returns"
    await bench.flush()
    assert flushed == [1]
    nobody = await bench.listener(listening=False)
    bench.subscribe(nobody)
    bench.say("1")
    before_s = time.monotonic()
    await bench.flush()
    assert time.monotonic() - before_s < machine.FLUSH_S
    bench.telemetry.close()
    await bench.flush()


async def test_a_reset_ends_what_the_dead_have_begun(bench: Any) -> None:
    """Section 4.7: connections, subscriptions and history."""
    listener = await bench.listener()
    listener.answers = [0]
    bench.telemetry.emit(1.0, "platform.initStart", {"phase": "init"})
    bench.subscribe(listener, "platform", "function")
    bench.telemetry.close_subscriptions()
    await listener.next()
    bench.telemetry.reset()
    await listener.gone.wait()
    assert bench.telemetry.active
    bench.telemetry.emit(2.0, "platform.initStart", {"phase": "invoke"})
    bench.subscribe(listener, "platform", identifier="b")
    bench.telemetry.close_subscriptions()
    batch = await listener.next()
    assert [event["record"].get("phase") for event in batch.events] == ["invoke", None]


async def test_subscribing_too_late(bench: Any) -> None:
    """TL-04."""
    listener = await bench.listener()
    bench.telemetry.close_subscriptions()
    with pytest.raises(TelemetryApiError) as refusal:
        bench.subscribe(listener)
    assert (refusal.value.status, refusal.value.error_type) == (403, "Telemetry.SubscriptionClosed")
    assert not bench.telemetry.active


async def test_subscribing_twice(bench: Any) -> None:
    """TL-05, TL-06, TL-07: the identifier is all that counts."""
    first, second = await bench.listener(), await bench.listener()
    bench.subscribe(first)
    bench.subscribe(second)
    with pytest.raises(TelemetryApiError) as refusal:
        bench.subscribe(first, schema=Schema.LOGS_2021_03_18)
    assert (refusal.value.status, refusal.value.error_type) == (403, "Logs.SubscriptionConflict")
    bench.say("1")
    bench.telemetry.close_subscriptions()
    assert (await second.next()).records == ["1\n"]
    assert first.connections == 0


async def test_the_end(bench: Any) -> None:
    """Nothing of it is left, whatever was going on."""
    hanging, refusing = await bench.listener(), await bench.listener(listening=False)
    hanging.answers = [0]
    bench.subscribe(hanging, identifier="a")
    bench.subscribe(refusing, identifier="b")
    bench.say("1")
    bench.telemetry.close_subscriptions()
    await hanging.next()
    bench.telemetry.close()
    bench.telemetry.close()
    assert not bench.telemetry.active
    await bench.telemetry.wait_closed()
    await hanging.gone.wait()
    before = bench.sockets
    bench.say("2")
    bench.telemetry.reset()
    await bench.flush()
    assert bench.sockets == before
