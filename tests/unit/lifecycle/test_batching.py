"""When a batch is full."""

import math

from lamella.lifecycle.batching import Batch


def test_an_empty_batch_is_never_due() -> None:
    batch = Batch(10, 0, 100)
    assert not batch.due(now_s=1e9)
    assert batch.deadline_s == math.inf


def test_without_a_window_it_is_due_with_its_first_message() -> None:
    batch = Batch(10, 0, 100)
    batch.add("a", 1, now_s=5.0)
    assert batch.due(now_s=5.0)
    assert batch.take() == ["a"]
    assert not batch.due(now_s=5.0)


def test_a_window_begins_with_the_first_message() -> None:
    batch = Batch(10, 3, 100)
    batch.add("a", 1, now_s=5.0)
    batch.add("b", 1, now_s=7.0)
    assert not batch.due(now_s=7.9)
    assert batch.due(now_s=8.0)
    assert batch.take() == ["a", "b"]
    batch.add("c", 1, now_s=9.0)
    assert batch.deadline_s == 12.0


def test_its_number_of_messages_makes_it_full() -> None:
    batch = Batch(25, 300, 10_000)
    for number in range(25):
        assert batch.wanted == min(10, 25 - number)
        assert not batch.due(now_s=0.0)
        batch.add(number, 1, now_s=0.0)
    assert batch.due(now_s=0.0)


def test_its_size_makes_it_full() -> None:
    batch = Batch(10, 300, 100)
    assert batch.add("a", 60, now_s=0.0) is None
    assert batch.add("b", 60, now_s=1.0) == ["a"]
    assert batch.deadline_s == 301.0
    assert batch.take() == ["b"]


def test_one_message_that_is_too_large_by_itself_goes_alone() -> None:
    batch = Batch(10, 0, 100)
    assert batch.add("a", 200, now_s=0.0) is None
    assert batch.take() == ["a"]
