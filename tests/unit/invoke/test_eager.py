"""Coroutines without a task."""

import asyncio

import pytest

from lamella.invoke.eager import Slot, drive


class Ended:
    def __init__(self) -> None:
        self.with_: list[BaseException | None] = []

    def __call__(self, error: BaseException | None) -> None:
        self.with_.append(error)


async def test_it_runs_at_once_and_goes_on_within_the_call_that_sets() -> None:
    slot: Slot[int] = Slot()
    seen: list[int] = []
    ended = Ended()

    async def work() -> None:
        seen.append(1)
        seen.append(await slot)

    drive(work(), ended)
    assert (seen, ended.with_) == ([1], [])
    slot.set_result(2)
    assert (seen, ended.with_) == ([1, 2], [None])
    slot.set_result(3)
    slot.set_error(ValueError())
    assert seen == [1, 2]


async def test_a_slot_that_is_set_before_is_not_waited_for() -> None:
    slot: Slot[str] = Slot()
    slot.set_result("there")
    ended = Ended()

    async def work() -> None:
        assert await slot == "there"

    drive(work(), ended)
    assert ended.with_ == [None]


async def test_an_error_reaches_the_waiter_and_its_end_the_driver() -> None:
    slot: Slot[int] = Slot()
    ended = Ended()

    async def work() -> None:
        with pytest.raises(KeyError):
            await slot
        raise ValueError("later")

    drive(work(), ended)
    slot.set_error(KeyError())
    (error,) = ended.with_
    assert isinstance(error, ValueError)


async def test_it_waits_for_futures_and_threads_of_the_loop() -> None:
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    first: asyncio.Future[int] = loop.create_future()
    seen: list[int] = []

    async def work() -> None:
        seen.append(await first)
        seen.append(await loop.run_in_executor(None, lambda: 2))

    drive(work(), lambda _: done.set())
    first.set_result(1)
    async with asyncio.timeout(10):
        await done.wait()
    assert seen == [1, 2]


async def test_a_task_may_wait_for_a_slot_as_well() -> None:
    slot: Slot[int] = Slot()

    async def work() -> int:
        return await slot

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(work())
        group.create_task(asyncio.to_thread(lambda: None))
        asyncio.get_running_loop().call_soon(slot.set_result, 5)
    assert waiting.result() == 5


async def test_a_task_that_waits_for_a_slot_can_be_cancelled() -> None:
    slot: Slot[int] = Slot()

    async def work() -> int:
        return await slot

    task = asyncio.get_running_loop().create_task(work())
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
