import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from tests.support.scripted_images import ScriptedImages

from lamella.control.transitions import Transitions
from lamella.domain.function import Artifact, FunctionConfig, FunctionKey, FunctionVersion, LastUpdateStatus, State
from lamella.domain.image_code import image_code
from lamella.lifecycle.function import UpdateRequested, advance, created
from lamella.ports.errors import UnavailableError
from lamella.ports.images import ImageError
from lamella.testing.stores import MemoryFunctionStore

KEY = FunctionKey("123456789012", "eu-central-1", "f")
NEW = created(
    FunctionVersion(
        key=KEY,
        version="$LATEST",
        artifact=Artifact("d", "c", 1, 1),
        config=FunctionConfig(role="r", runtime="python3.11", handler="h"),
        revision_id="r-0",
        modified_at=datetime(2026, 11, 20, tzinfo=UTC),
    )
)


class Observed:
    def __init__(self) -> None:
        self.settled: list[FunctionVersion] = []

    def function_settled(self, version: FunctionVersion) -> None:
        self.settled.append(version)

    def function_tagged(self, key: FunctionKey, tags: Mapping[str, str]) -> None:
        raise AssertionError

    def function_deleted(self, key: FunctionKey, version: str | None) -> None:
        raise AssertionError

    def concurrency_changed(self, key: FunctionKey, reserved: int | None) -> None:
        raise AssertionError

    def policy_changed(self, key: FunctionKey) -> None:
        raise AssertionError


class Delay:
    """A sleep that ends when it is told to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.over = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self.over.wait()


async def test_the_state_in_between_lasts_for_the_delay() -> None:
    store, observed, delay = MemoryFunctionStore(), Observed(), Delay()
    transitions = Transitions(store, observed, ScriptedImages(), delay_s=0.5, sleep=delay.sleep)
    await store.create(NEW, {})
    transitions.begin(NEW)
    await asyncio.sleep(0)
    assert delay.asked == [0.5]
    assert await store.get(KEY) == NEW
    delay.over.set()
    await transitions.wait_settled()
    stored = await store.get(KEY)
    assert stored is not None
    assert (stored.state, stored.update_status) == (State.ACTIVE, LastUpdateStatus.SUCCESSFUL)
    assert stored.revision_id != NEW.revision_id
    assert observed.settled == [stored]


async def test_a_deleted_function_is_no_error() -> None:
    store, observed, delay = MemoryFunctionStore(), Observed(), Delay()
    transitions = Transitions(store, observed, ScriptedImages(), sleep=delay.sleep)
    await store.create(NEW, {})
    transitions.begin(NEW)
    await store.delete(KEY)
    delay.over.set()
    await transitions.wait_settled()
    assert observed.settled == []


async def test_a_function_made_anew_is_settled_once() -> None:
    store, observed, delay = MemoryFunctionStore(), Observed(), Delay()
    transitions = Transitions(store, observed, ScriptedImages(), sleep=delay.sleep)
    for revision in ("r-1", "r-2"):
        await store.delete(KEY)
        await store.create(replace(NEW, revision_id=revision), {})
        transitions.begin(replace(NEW, revision_id=revision))
    delay.over.set()
    await transitions.wait_settled()
    assert len(observed.settled) == 1


async def test_closing_leaves_it_to_the_next_start() -> None:
    store, delay = MemoryFunctionStore(), Delay()
    first = Transitions(store, Observed(), ScriptedImages(), sleep=delay.sleep)
    await store.create(NEW, {})
    first.begin(NEW)
    await first.close()
    assert await store.get(KEY) == NEW
    observed = Observed()
    await Transitions(store, observed, ScriptedImages(), sleep=delay.sleep).resume()
    [version] = observed.settled
    assert version.state is State.ACTIVE
    assert await store.unsettled() == []


async def test_an_interrupted_update_is_resumed() -> None:
    store, observed = MemoryFunctionStore(), Observed()
    await store.create(NEW, {})
    await Transitions(store, observed, ScriptedImages()).resume()
    updating = advance(observed.settled[0], UpdateRequested(), revision_id="r-9")
    await store.replace(updating, expected_revision_id=observed.settled[0].revision_id)
    await Transitions(store, observed, ScriptedImages()).resume()
    assert observed.settled[-1].update_status is LastUpdateStatus.SUCCESSFUL


class FlakyStore(MemoryFunctionStore):
    """Is unavailable once, and lets a tag change get in between once."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 1
        self.races = 1

    async def get(self, key: FunctionKey, version: str = "$LATEST") -> FunctionVersion | None:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the database is away")
        return await super().get(key, version)

    async def replace(self, changed: FunctionVersion, *, expected_revision_id: str) -> None:
        if self.races:
            self.races -= 1
            stored = await super().get(changed.key)
            assert stored is not None
            await super().replace(replace(stored, revision_id="r-tags"), expected_revision_id=stored.revision_id)
        await super().replace(changed, expected_revision_id=expected_revision_id)


async def test_a_database_that_is_away_and_a_change_in_between() -> None:
    store, observed, delay = FlakyStore(), Observed(), Delay()
    delay.over.set()
    transitions = Transitions(store, observed, ScriptedImages(), delay_s=0.25, sleep=delay.sleep)
    await store.create(NEW, {})
    transitions.begin(NEW)
    await transitions.wait_settled()
    assert delay.asked == [0.25, 1.0]
    assert [version.state for version in observed.settled] == [State.ACTIVE]


SHA = "a" * 64


def of_image(state: State = State.PENDING) -> FunctionVersion:
    artifact, config = image_code(replace(NEW.config, package_type="Image"), "localhost:5000/f:1", SHA)
    status = LastUpdateStatus.IN_PROGRESS if state is State.PENDING else LastUpdateStatus.SUCCESSFUL
    return replace(NEW, artifact=artifact, config=config, state=state, update_status=status)


async def test_a_start_does_not_wait_for_images() -> None:
    store, observed, images, delay = MemoryFunctionStore(), Observed(), ScriptedImages(), Delay()
    delay.over.set()
    images.held.clear()
    await store.create(of_image(), {})
    transitions = Transitions(store, observed, images, sleep=delay.sleep)
    await transitions.resume()
    assert observed.settled == []
    images.held.set()
    await transitions.wait_settled()
    assert [version.state for version in observed.settled] == [State.ACTIVE]


async def test_an_image_that_is_here_is_no_reason_to_wait() -> None:
    store, observed, images = MemoryFunctionStore(), Observed(), ScriptedImages()
    await images.fetch("", SHA)
    images.held.clear()
    await store.create(of_image(), {})
    await Transitions(store, observed, images).resume()
    assert [version.state for version in observed.settled] == [State.ACTIVE]


async def test_a_start_fetches_what_is_missing() -> None:
    store, observed, images = MemoryFunctionStore(), Observed(), ScriptedImages()
    await store.create(of_image(State.ACTIVE), {})
    transitions = Transitions(store, observed, images)
    await transitions.resume()
    await transitions.wait_settled()
    assert images.fetched == [SHA]
    assert observed.settled == []
    images.here.clear()
    images.failures[SHA] = ImageError("gone", "ImageDeleted")
    await transitions.resume()
    await transitions.wait_settled()  # which is in the log, and told to whoever invokes it


async def test_a_function_deleted_while_its_image_is_fetched() -> None:
    store, observed, images, delay = MemoryFunctionStore(), Observed(), ScriptedImages(), Delay()
    delay.over.set()
    images.held.clear()
    images.failures[SHA] = ImageError("of the one before", "InvalidImage")
    transitions = Transitions(store, observed, images, sleep=delay.sleep)
    await store.create(of_image(), {})
    transitions.begin(of_image())
    await images.asked.wait()
    await store.delete(KEY)
    artifact, config = image_code(of_image().config, "localhost:5000/f:2", "b" * 64)
    await store.create(replace(of_image(), artifact=artifact, config=config), {})
    images.held.set()
    await transitions.wait_settled()
    assert [(version.state, version.artifact.code_sha256) for version in observed.settled] == [(State.ACTIVE, "b" * 64)]


async def test_functions_of_images_from_before_images_were_run() -> None:
    store, observed = MemoryFunctionStore(), Observed()
    old = of_image(State.FAILED)
    old = replace(old, artifact=replace(old.artifact, code_sha256=""), update_status=LastUpdateStatus.IN_PROGRESS)
    await store.create(old, {})
    delay = Delay()
    delay.over.set()
    transitions = Transitions(store, observed, ScriptedImages(), sleep=delay.sleep)
    await transitions.resume()
    await transitions.wait_settled()
    assert [version.state for version in observed.settled] == [State.FAILED]
    assert "update the code" in observed.settled[0].update_reason
