"""What every function store promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from lamella.adapters.sql.database import Database
from lamella.adapters.sql.functions import SqlFunctionStore
from lamella.domain.function import (
    NO_ARCHIVE,
    Architecture,
    Artifact,
    FunctionConfig,
    FunctionKey,
    FunctionVersion,
    LastUpdateStatus,
    LayerReference,
    State,
)
from lamella.domain.image_code import image_code, updated_image
from lamella.ports.errors import ConflictError
from lamella.ports.stores import FunctionStore, Page
from lamella.testing.stores import MemoryFunctionStore

ACCOUNT, REGION = "000000000000", "us-east-1"


def artifact(letter: str, size_bytes: int = 10) -> Artifact:
    return Artifact(letter * 64, f"{letter}=", size_bytes, size_bytes * 3)


def key(name: str, account: str = ACCOUNT, region: str = REGION) -> FunctionKey:
    return FunctionKey(account, region, name)


def latest(name: str = "f", *, account: str = ACCOUNT, region: str = REGION, code: str = "a") -> FunctionVersion:
    return FunctionVersion(
        key=key(name, account, region),
        version="$LATEST",
        artifact=artifact(code),
        config=FunctionConfig(role="arn:aws:iam::0:role/r", runtime="python3.11", handler="m.h"),
        revision_id=f"rev-{name}",
        modified_at=datetime(2026, 5, 17, 8, 30, 1, 123456, tzinfo=UTC),
        state=State.ACTIVE,
    )


FULL = FunctionVersion(
    key=key("full"),
    version="$LATEST",
    artifact=Artifact("f" * 64, "Zg==", 5_000_000_000, 6_000_000_000),
    config=FunctionConfig(
        role="arn:aws:iam::0:role/r",
        runtime=None,
        handler=None,
        description="ünïcode \U0001f389 and \ud800 a lone surrogate",
        timeout_s=900,
        memory_mib=10240,
        tmp_mib=1024,
        architecture=Architecture.ARM64,
        package_type="Image",
        layers=(LayerReference("arn:second:2", artifact("2")), LayerReference("arn:first:1", artifact("1"))),
        environment={"Z": "1", "A": "", "quote": "'; DROP TABLE functions; --"},
        other={"VpcConfig": {"SubnetIds": ["a", "b"], "Ipv6": False}, "Nothing": None, "Number": 1.5},
    ),
    revision_id="00000000-0000-0000-0000-000000000001",
    modified_at=datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    state=State.FAILED,
    state_reason="why",
    state_reason_code="InternalError",
    update_status=LastUpdateStatus.FAILED,
    update_reason="because",
    update_reason_code="InvalidSubnet",
)


async def everything(store: FunctionStore, *, all_versions: bool, limit: int) -> list[tuple[str, str]]:
    """The whole listing, page by page."""
    found: list[tuple[str, str]] = []
    marker = None
    while True:
        page = await store.list_functions(ACCOUNT, REGION, all_versions=all_versions, limit=limit, marker=marker)
        assert 0 < len(page.items) <= limit
        found += [(item.key.name, item.version) for item in page.items]
        marker = page.next_marker
        if marker is None:
            return found


class FunctionStoreContract:
    async def test_an_image_refers_to_no_archive(self, store: FunctionStore) -> None:
        image = replace(latest(), artifact=Artifact(NO_ARCHIVE, "", 0, 0))
        await store.create(image, {})
        assert await store.get(image.key) == image
        assert await store.digests() == frozenset()

    async def test_gives_back_what_was_stored(self, store: FunctionStore) -> None:
        plain = latest()
        await store.create(plain, {})
        await store.create(FULL, {"team": "a"})
        assert await store.get(plain.key) == plain
        stored = await store.get(FULL.key, "$LATEST")
        assert stored == FULL
        assert stored.modified_at.utcoffset() == timedelta(0)
        assert stored.config.environment is not None
        assert list(stored.config.environment) == ["Z", "A", "quote"]

    async def test_keeps_an_empty_environment_apart_from_none(self, store: FunctionStore) -> None:
        await store.create(replace(latest("none"), config=replace(latest().config, environment=None)), {})
        await store.create(replace(latest("empty"), config=replace(latest().config, environment={})), {})
        found = [await store.get(key("none")), await store.get(key("empty"))]
        assert [one.config.environment for one in found if one] == [None, {}]

    async def test_keeps_a_time_of_another_zone_as_the_same_moment(self, store: FunctionStore) -> None:
        moment = datetime(2026, 1, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        await store.create(replace(latest(), modified_at=moment), {})
        stored = await store.get(key("f"))
        assert stored
        assert stored.modified_at == moment

    async def test_is_not_changed_through_values_it_was_given(self, store: FunctionStore) -> None:
        environment, tags = {"A": "1"}, {"t": "1"}
        given = replace(latest(), config=replace(latest().config, environment=environment))
        await store.create(given, tags)
        environment["A"] = tags["t"] = "2"
        stored = await store.get(given.key)
        assert stored
        assert stored.config.environment == {"A": "1"}
        assert await store.tags(given.key) == {"t": "1"}

    @pytest.mark.parametrize("version", ["1", "0", "-1", "01", "+1", "", "alias", "\u0661", "9" * 40, "$LATEST "])
    async def test_has_no_version_that_was_not_published(self, store: FunctionStore, version: str) -> None:
        await store.create(latest(), {})
        assert await store.get(key("f"), version) is None
        assert not await store.delete(key("f"), version)
        assert await store.get(key("f")) == latest()

    async def test_creates_a_function_once(self, store: FunctionStore) -> None:
        await store.create(latest(), {"first": "yes"})
        with pytest.raises(ConflictError):
            await store.create(latest(code="b"), {"first": "no"})
        assert await store.get(key("f")) == latest()
        assert await store.tags(key("f")) == {"first": "yes"}

    async def test_replaces_the_expected_revision_only(self, store: FunctionStore) -> None:
        await store.create(latest(), {})
        second = replace(latest(code="b"), revision_id="rev-2", state=State.PENDING)
        with pytest.raises(ConflictError):
            await store.replace(second, expected_revision_id="rev-2")
        assert await store.get(key("f")) == latest()
        await store.replace(second, expected_revision_id="rev-f")
        assert await store.get(key("f")) == second
        with pytest.raises(ConflictError):
            await store.replace(second, expected_revision_id="rev-f")

    async def test_replaces_nothing_that_is_gone(self, store: FunctionStore) -> None:
        with pytest.raises(ConflictError):
            await store.replace(latest(), expected_revision_id="rev-f")
        await store.create(latest(), {})
        with pytest.raises(ConflictError):
            await store.replace(replace(latest(), version="1"), expected_revision_id="rev-f")
        with pytest.raises(ConflictError):
            await store.replace(replace(latest(), version="alias"), expected_revision_id="rev-f")

    async def test_replaces_one_version_among_several(self, store: FunctionStore) -> None:
        await store.create(latest(), {})
        published = await store.publish(replace(latest(), state=State.PENDING))
        active = replace(published, state=State.ACTIVE, revision_id="rev-active")
        await store.replace(active, expected_revision_id=published.revision_id)
        assert await store.get(key("f"), "1") == active
        assert await store.get(key("f")) == latest()

    async def test_numbers_versions_from_one_and_never_twice(self, store: FunctionStore) -> None:
        await store.create(latest(), {})
        first = await store.publish(latest())
        assert first == replace(latest(), version="1")
        assert (await store.publish(replace(latest(), version="77"))).version == "2"
        assert await store.delete(key("f"), "2")
        assert not await store.delete(key("f"), "2")
        assert (await store.publish(latest())).version == "3"
        assert await store.get(key("f"), "1") == first
        assert await store.get(key("f"), "2") is None

    async def test_a_function_created_again_starts_anew(self, store: FunctionStore) -> None:
        await store.create(latest(), {"old": "1"})
        await store.publish(latest())
        assert await store.delete(key("f"))
        assert not await store.delete(key("f"))
        assert await store.get(key("f")) is None
        assert await store.get(key("f"), "1") is None
        assert await store.tags(key("f")) is None
        await store.create(latest(), {})
        assert await store.get(key("f"), "1") is None
        assert (await store.publish(latest())).version == "1"
        assert await store.tags(key("f")) == {}

    async def test_publishes_nothing_of_a_function_that_is_gone(self, store: FunctionStore) -> None:
        with pytest.raises(ConflictError):
            await store.publish(latest())
        assert await store.get(key("f"), "1") is None

    async def test_does_not_delete_latest_alone(self, store: FunctionStore) -> None:
        await store.create(latest(), {})
        assert not await store.delete(key("f"), "$LATEST")
        assert await store.get(key("f")) == latest()

    async def test_keeps_accounts_and_regions_apart(self, store: FunctionStore) -> None:
        other = latest(account="111111111111", code="b")
        abroad = latest(region="eu-west-1", code="c")
        for version in (latest(), other, abroad):
            await store.create(version, {"account": version.key.account})
        await store.publish(other)
        assert await store.get(key("f")) == latest()
        assert await store.get(other.key) == other
        assert await store.get(key("f"), "1") is None
        assert await everything(store, all_versions=True, limit=10) == [("f", "$LATEST")]
        assert await store.usage("111111111111", REGION) == (1, 20)
        assert await store.delete(other.key)
        assert await store.get(abroad.key) == abroad
        assert await store.tags(key("f")) == {"account": ACCOUNT}

    @pytest.mark.parametrize("limit", [1, 2, 3, 50])
    async def test_lists_functions_in_the_order_of_code_points(self, store: FunctionStore, limit: int) -> None:
        for name in ("b", "a-1", "a", "a_1", "B", "ab"):
            await store.create(latest(name), {})
        found = await everything(store, all_versions=False, limit=limit)
        assert [name for name, _ in found] == ["B", "a", "a-1", "a_1", "ab", "b"]

    @pytest.mark.parametrize("limit", [1, 2, 5, 50])
    async def test_lists_all_versions_by_number(self, store: FunctionStore, limit: int) -> None:
        for name in ("b", "a"):
            await store.create(latest(name), {})
            for _ in range(11):
                await store.publish(latest(name))
        of_each = ["$LATEST", *map(str, range(1, 12))]
        expected = [("a", version) for version in of_each] + [("b", version) for version in of_each]
        assert await everything(store, all_versions=True, limit=limit) == expected

    async def test_lists_versions_of_one_function(self, store: FunctionStore) -> None:
        assert await store.list_versions(key("f"), limit=5) == Page([])
        for name in ("f", "g"):
            await store.create(latest(name), {})
        for _ in range(3):
            await store.publish(latest())
        one = await store.list_versions(key("f"), limit=2)
        assert [item.version for item in one.items] == ["$LATEST", "1"]
        two = await store.list_versions(key("f"), limit=2, marker=one.next_marker)
        assert [item.version for item in two.items] == ["2", "3"]
        assert two.next_marker is None

    async def test_a_marker_outlives_its_item(self, store: FunctionStore) -> None:
        for name in ("a", "b", "c", "d"):
            await store.create(latest(name), {})
        page = await store.list_functions(ACCOUNT, REGION, all_versions=False, limit=2)
        await store.delete(key("b"))
        await store.create(latest("aa"), {})
        await store.create(latest("bb"), {})
        rest = await store.list_functions(ACCOUNT, REGION, all_versions=False, limit=9, marker=page.next_marker)
        assert [item.key.name for item in rest.items] == ["bb", "c", "d"]

    async def test_refuses_a_marker_of_another_listing(self, store: FunctionStore) -> None:
        for name in ("a", "b"):
            await store.create(latest(name), {})
            await store.publish(latest(name))
        marker = (await store.list_functions(ACCOUNT, REGION, all_versions=False, limit=1)).next_marker
        assert marker
        with pytest.raises(ValueError):
            await store.list_functions(ACCOUNT, REGION, all_versions=True, limit=1, marker=marker)
        with pytest.raises(ValueError):
            await store.list_functions(ACCOUNT, "eu-west-1", all_versions=False, limit=1, marker=marker)
        with pytest.raises(ValueError):
            await store.list_versions(key("a"), limit=1, marker=marker)

    @pytest.mark.parametrize("marker", ["", "a", "\u00e9", "bnVsbA==", "W10=", "e30=", "W1tbW1s=", "A" * 5000])
    async def test_refuses_what_is_no_marker(self, store: FunctionStore, marker: str) -> None:
        with pytest.raises(ValueError):
            await store.list_functions(ACCOUNT, REGION, all_versions=False, limit=1, marker=marker)
        with pytest.raises(ValueError):
            await store.list_versions(key("a"), limit=1, marker=marker)

    async def test_replaces_all_tags(self, store: FunctionStore) -> None:
        with pytest.raises(ConflictError):
            await store.set_tags(key("f"), {"a": "1"})
        await store.create(latest(), {"a": "1", "b": "2"})
        await store.set_tags(key("f"), {"b": "3"})
        assert await store.tags(key("f")) == {"b": "3"}

    async def test_reserves_concurrency_for_functions(self, store: FunctionStore) -> None:
        with pytest.raises(ConflictError):
            await store.reserve(key("f"), 2000, at_most=900)
        for name in ("f", "g", "h"):
            await store.create(latest(name), {})
        assert await store.reservation(key("f")) is None
        assert await store.reservations() == {}
        assert await store.reserve(key("f"), 2, at_most=900)
        assert await store.reserve(key("f"), 3, at_most=900)
        assert await store.reserve(key("g"), 0, at_most=900)
        assert await store.reservation(key("f")) == 3
        assert await store.reservation(key("g")) == 0
        assert await store.reservations() == {key("f"): 3, key("g"): 0}
        assert await store.reserve(key("g"), None, at_most=0)
        assert await store.reservation(key("g")) is None
        assert await store.reservations() == {key("f"): 3}

    async def test_reserves_no_more_than_allowed(self, store: FunctionStore) -> None:
        others = [latest("f", account="111111111111"), latest("f", region="eu-west-1")]
        for version in (latest("f"), latest("g"), *others):
            await store.create(version, {})
        for version in others:  # of other accounts and regions, which are none of this one's business
            assert await store.reserve(version.key, 900, at_most=900)
        assert await store.reserve(key("f"), 500, at_most=900)
        assert not await store.reserve(key("g"), 401, at_most=900)
        assert await store.reservation(key("g")) is None
        assert await store.reserve(key("g"), 400, at_most=900)
        assert await store.reserve(key("f"), 500, at_most=900)  # in place of its own
        assert not await store.reserve(key("f"), 501, at_most=900)
        assert await store.reservation(key("f")) == 500

    async def test_what_is_reserved_goes_with_the_function(self, store: FunctionStore) -> None:
        await store.create(latest("f"), {})
        version = await store.publish(latest("f"))
        await store.reserve(key("f"), 900, at_most=900)
        await store.delete(key("f"), version.version)
        assert await store.reservation(key("f")) == 900
        await store.delete(key("f"))
        assert await store.reservations() == {}
        await store.create(latest("f"), {})
        assert await store.reservation(key("f")) is None

    async def test_changes_of_a_version_leave_the_reservation_alone(self, store: FunctionStore) -> None:
        await store.create(latest("f"), {})
        await store.reserve(key("f"), 7, at_most=900)
        await store.replace(replace(latest("f"), revision_id="2"), expected_revision_id="rev-f")
        await store.set_tags(key("f"), {"a": "1"})
        assert await store.reservation(key("f")) == 7

    async def test_finds_the_functions_that_have_a_tag(self, store: FunctionStore) -> None:
        assert await store.tagged("a") == {}
        for name, tags in {"both": {"a": "1", "b": "2"}, "other": {"b": "3"}, "none": {}}.items():
            await store.create(latest(name), tags)
        await store.create(FULL, {"a": "4"})  # of another account
        assert await store.tagged("a") == {key("both"): "1", FULL.key: "4"}
        await store.set_tags(key("both"), {})
        await store.delete(FULL.key)
        assert await store.tagged("a") == {}

    async def test_knows_what_a_crash_interrupted(self, store: FunctionStore) -> None:
        await store.create(latest("settled"), {})
        await store.create(replace(latest("pending"), state=State.PENDING), {})
        updating = replace(latest("updating"), update_status=LastUpdateStatus.IN_PROGRESS)
        await store.create(updating, {})
        version = await store.publish(replace(latest("settled"), state=State.PENDING))
        found = {(one.key.name, one.version) for one in await store.unsettled()}
        assert found == {("pending", "$LATEST"), ("updating", "$LATEST"), ("settled", "1")}
        await store.replace(latest("pending"), expected_revision_id="rev-pending")
        await store.replace(replace(version, state=State.ACTIVE), expected_revision_id=version.revision_id)
        assert await store.unsettled() == [updating]

    async def test_names_the_runtimes_that_versions_keep(self, store: FunctionStore) -> None:
        assert await store.kept_runtimes() == frozenset()

        def of(name: str, digest: str, **other: str) -> FunctionVersion:
            kept = {"RuntimeVersionArn": f"arn:aws:lambda:us-east-1::runtime:{digest}", **other}
            return replace(latest(name), config=replace(latest().config, other=kept))

        await store.create(of("follows", "a"), {})
        await store.create(of("keeps", "b", UpdateRuntimeOn="Manual"), {})
        await store.publish(of("follows", "c", UpdateRuntimeOn="FunctionUpdate"))
        assert await store.kept_runtimes() == {"b", "c"}
        await store.delete(key("follows"), "1")
        assert await store.kept_runtimes() == {"b"}

    async def test_knows_who_uses_a_runtime(self, store: FunctionStore) -> None:
        def of(name: str, runtime: str, architecture: Architecture) -> FunctionVersion:
            config = replace(latest().config, runtime=runtime, architecture=architecture)
            return replace(latest(name), config=config)

        assert await store.users_of("java17", Architecture.X86_64) == []
        await store.create(of("b", "java17", Architecture.X86_64), {})
        await store.create(of("a", "java17", Architecture.X86_64), {})
        await store.create(of("arm", "java17", Architecture.ARM64), {})
        await store.create(of("other", "java21", Architecture.X86_64), {})
        await store.publish(of("b", "java17", Architecture.X86_64))
        await store.replace(of("b", "java21", Architecture.X86_64), expected_revision_id="rev-b")
        assert await store.users_of("java17", Architecture.X86_64) == [(key("a"), "$LATEST"), (key("b"), "1")]
        assert await store.users_of("java17", Architecture.ARM64) == [(key("arm"), "$LATEST")]

    async def test_names_the_images_that_versions_have(self, store: FunctionStore) -> None:
        assert await store.images() == {}

        def of(name: str, uri: str, digest: str) -> FunctionVersion:
            artifact, config = image_code(replace(latest().config, package_type="Image"), uri, digest)
            return replace(latest(name), artifact=artifact, config=config)

        await store.create(latest("archive"), {})
        await store.create(of("f", "r/f:1", "a" * 64), {})
        await store.publish(of("f", "r/f:2", "b" * 64))
        after = of("g", "r/g:2", "c" * 64)
        before = replace(of("g", "r/g:1", "d" * 64), state=State.ACTIVE)
        await store.create(replace(after, config=updated_image(before, after.config)), {})
        await store.create(of("unknown", "r/h:1", ""), {})
        assert await store.images() == {
            "a" * 64: "r/f:1",
            "b" * 64: "r/f:2",
            "c" * 64: "r/g:2",
            "d" * 64: "r/g:1",
        }
        assert await store.digests() == {latest().artifact.digest}

    async def test_counts_functions_and_bytes_of_all_versions(self, store: FunctionStore) -> None:
        assert await store.usage(ACCOUNT, REGION) == (0, 0)
        await store.create(latest("a"), {})
        await store.create(replace(latest("b"), artifact=artifact("b", 700)), {})
        await store.publish(latest("a"))
        assert await store.usage(ACCOUNT, REGION) == (2, 720)
        await store.replace(replace(latest("a"), artifact=artifact("c", 3)), expected_revision_id="rev-a")
        await store.delete(key("b"))
        assert await store.usage(ACCOUNT, REGION) == (1, 13)

    async def test_names_every_artifact_in_use(self, store: FunctionStore) -> None:
        assert await store.digests() == frozenset()
        with_layers = replace(
            latest(code="a"),
            config=replace(
                latest().config,
                layers=(LayerReference("arn:l:1", artifact("1")), LayerReference("arn:m:1", artifact("1"))),
            ),
        )
        await store.create(with_layers, {})
        await store.publish(with_layers)
        assert await store.digests() == {"a" * 64, "1" * 64}
        await store.replace(latest(code="b"), expected_revision_id="rev-f")
        assert await store.digests() == {"a" * 64, "b" * 64, "1" * 64}
        await store.delete(key("f"), "1")
        assert await store.digests() == {"b" * 64}
        await store.delete(key("f"))
        assert await store.digests() == frozenset()


class TestMemory(FunctionStoreContract):
    @pytest.fixture
    def store(self) -> FunctionStore:
        return MemoryFunctionStore()


class TestSql(FunctionStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> FunctionStore:
        return SqlFunctionStore(database)
