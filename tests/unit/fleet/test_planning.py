"""What a new layer version touches, and what it must not."""

from typing import Any

import pytest
from tests.unit.fleet.fake_lambda import LAYER, OTHER, PREFIX, TAIL, FakeLambda, layers
from tests.unit.fleet.rolling import fleet, plan_of

from lamella.fleet.errors import FleetError
from lamella.fleet.layers import LayerText
from lamella.fleet.making import find_layer, make_plan
from lamella.fleet.model import Route
from lamella.fleet.plan import Plan, PlannedAlias, read_plan, write_plan
from lamella.fleet.planning import Drift, Publishing, Request


def left(plan: Plan) -> dict[str, tuple[str, str]]:
    return {f"{one.name}:{one.alias}".rstrip(":"): (one.code, one.reason) for one in plan.skipped}


def test_other_layers_and_their_order_are_kept() -> None:
    planned = plan_of(fleet("a")).functions["a"]
    assert planned.before == (OTHER, f"{LAYER}:7", TAIL)
    assert planned.after == (OTHER, f"{LAYER}:8", TAIL)
    assert planned.publish
    assert planned.aliases == (PlannedAlias("live", Route("1")),)


def test_functions_without_the_layer_are_no_part_of_it() -> None:
    fake = fleet("a")
    fake.add("stranger", [OTHER])
    fake.add("image", [], PackageType="Image")
    plan = plan_of(fake)
    assert list(plan.functions) == ["a"]
    assert left(plan) == {}


def test_a_function_that_nobody_published_gets_no_version() -> None:
    fake = fleet()
    fake.add("a", layers(7))
    assert not plan_of(fake).functions["a"].publish
    assert plan_of(fake, publishing=Publishing.ALWAYS).functions["a"].publish


def test_latest_only_leaves_versions_and_aliases_alone() -> None:
    planned = plan_of(fleet("a"), publishing=Publishing.NEVER).functions["a"]
    assert (planned.publish, planned.aliases, planned.update) == (False, (), True)


def test_what_has_it_already_is_left() -> None:
    plan = plan_of(fleet("a", version=8))
    assert plan.functions == {}
    assert plan.waves == ()
    assert left(plan) == {"a": ("already", "it has version 8 already")}


def test_an_alias_that_was_left_behind_is_moved_though_latest_has_it() -> None:
    fake = fleet("a")
    fake.change("a", Layers=[{"Arn": arn} for arn in layers(8)])
    planned = plan_of(fake).functions["a"]
    assert (planned.update, planned.publish, len(planned.aliases)) == (False, True, 1)


@pytest.mark.parametrize(
    "members", [{"CodeSha256": "code-2"}, {"Timeout": 9}, {"Environment": {"Variables": {"A": "b"}}}]
)
def test_changes_that_nobody_published_are_not_shipped_unasked(members: dict[str, Any]) -> None:
    fake = fleet("a", "b")
    fake.change("a", **members)
    [name] = members
    plan = plan_of(fake)
    assert list(plan.functions) == ["b"]
    code, reason = left(plan)["a"]
    assert code == "drift"
    assert f"$LATEST differs from version 1 in {name}, which would be shipped too" in reason

    plan = plan_of(fake, drift=Drift.INCLUDE)
    assert list(plan.functions) == ["a", "b"]
    assert name in plan.functions["a"].warnings[0]
    assert not plan.refused

    assert name in plan_of(fake, drift=Drift.REFUSE).refused[0]


def test_another_version_of_another_layer_is_drift_too() -> None:
    fake = fleet("a")
    fake.change("a", Layers=[{"Arn": arn} for arn in (f"{PREFIX}:layer:other:4", f"{LAYER}:7", TAIL)])
    assert "differs from version 1 in Layers" in left(plan_of(fake))["a"][1]


def test_what_lambda_changes_by_itself_is_no_drift() -> None:
    fake = fleet("a")
    fake.change("a", RuntimeVersionConfig={"RuntimeVersionArn": "new"}, Description="other words", State="Inactive")
    assert list(plan_of(fake).functions) == ["a"]


def test_each_alias_is_looked_at_by_itself() -> None:
    fake = fleet("a")
    fake.change("a", Timeout=9)
    fake.add_alias("a", "next", fake.publish("a"))
    plan = plan_of(fake)
    assert [alias.name for alias in plan.functions["a"].aliases] == ["next"]
    assert left(plan)["a:live"][0] == "drift"
    assert [alias.name for alias in plan_of(fake, aliases=["li*"], drift=Drift.INCLUDE).functions["a"].aliases] == [
        "live"
    ]


def test_versions_that_cannot_share_an_alias_are_swapped_at_once() -> None:
    fake = fleet("a")
    fake.change("a", Role="another role")
    [alias] = plan_of(fake, drift=Drift.INCLUDE).functions["a"].aliases
    assert "must not differ in Role" in alias.at_once


def test_an_alias_in_the_middle_of_a_deployment_is_left() -> None:
    fake = fleet("a")
    fake.change("a", CodeSha256="code-2")
    fake.publish("a")
    fake.add_alias("a", "live", "1", v2=0.1)
    code, reason = left(plan_of(fake))["a"]
    assert code == "drift"
    assert "shares its invocations between 1 (90%) + 2 (10%), and $LATEST differs from them in CodeSha256" in reason


def test_an_alias_between_two_versions_that_differ_in_the_layer_alone_is_taken() -> None:
    fake = fleet("a", version=6)
    fake.change("a", Layers=[{"Arn": arn} for arn in layers(7)])
    fake.publish("a")
    fake.add_alias("a", "live", "1", v2=0.25)
    assert plan_of(fake).functions["a"].aliases == (PlannedAlias("live", Route("1", {"2": 0.25})),)


def test_an_alias_of_latest_is_mentioned() -> None:
    fake = fleet()
    fake.add("a", layers(7))
    fake.add_alias("a", "dev", "$LATEST")
    assert plan_of(fake).functions["a"].warnings == ("dev invokes $LATEST, which gets the layer at once",)


def test_provisioned_concurrency_is_mentioned() -> None:
    fake = fleet("a")
    fake.provisioned = ["live", "other"]
    [warning] = plan_of(fake).functions["a"].warnings
    assert warning.startswith("live has provisioned concurrency")


def test_a_layer_that_was_taken_out_does_not_come_back() -> None:
    fake = fleet("a")
    fake.change("a", Layers=[])
    assert left(plan_of(fake)) == {"a": ("removed", "$LATEST no longer has the layer, which live still has")}


def test_old_versions_that_nothing_invokes_do_not_matter() -> None:
    fake = fleet("a")
    fake.change("a", Layers=[])
    fake.add_alias("a", "live", fake.publish("a"))
    assert left(plan_of(fake)) == {}


@pytest.mark.parametrize("state", [{"State": "Pending"}, {"State": "Failed"}, {"LastUpdateStatus": "InProgress"}])
def test_who_is_busy_is_left(state: dict[str, str]) -> None:
    fake = fleet("a")
    fake.change("a", **state)
    assert left(plan_of(fake))["a"][0] == "in-progress"


def test_functions_and_versions_can_be_chosen() -> None:
    fake = fleet("shop-1", "shop-2", "till-1")
    fake.add("shop-3", layers(5))
    assert list(plan_of(fake, functions=["shop-*"], excluded=["*-2"]).functions) == ["shop-1", "shop-3"]
    plan = plan_of(fake, origins={5})
    assert list(plan.functions) == ["shop-3"]
    assert left(plan)["till-1"] == ("version", "$LATEST has version 7, which --from leaves out")


def test_runtimes_and_architectures_that_the_layer_is_not_for_are_blocked() -> None:
    fake = fleet("a", "b")
    fake.add_layer("shared", 9, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=["arm64", "x86_64"])
    fake.change("b", Runtime="python3.13")
    fake.functions["b"]["versions"]["1"]["Runtime"] = "python3.13"
    plan = plan_of(fake)
    assert list(plan.functions) == ["a"]
    assert left(plan)["b"] == ("blocked", "its runtime is python3.13, and version 8 is for python3.11")
    forced = make_plan(fake, find_layer(fake, "shared", "8"), Request(LAYER, 8), waves="100%", force=True)
    assert "python3.13" in forced.functions["b"].warnings[0]


@pytest.mark.parametrize(
    ("layer", "version", "number"),
    [
        ("shared", "latest", 9),
        ("shared", "8", 8),
        (LAYER, "8", 8),
        ("shared:3", "8", 8),
        ("shared", f"{LAYER}:8", 8),
    ],
)
def test_the_new_version_can_be_named_in_many_ways(layer: str, version: str, number: int) -> None:
    found = find_layer(fleet("a"), layer, version)
    assert (found.layer, found.version.number) == (LAYER, number)


@pytest.mark.parametrize(
    ("layer", "version", "text"),
    [
        ("shared", "99", "there is no version 99 of layer shared"),
        ("unknown", "latest", "there is no layer unknown"),
        ("shared", "newest", "'newest' is no version"),
        ("shared", f"{PREFIX}:layer:other:1", "is not a version of layer shared"),
        ("what is this?", "1", "neither a layer's name nor its ARN"),
    ],
)
def test_what_is_not_there_is_said(layer: str, version: str, text: str) -> None:
    with pytest.raises(FleetError, match=text.replace("?", r"\?")):
        find_layer(fleet("a"), layer, version)


def test_a_layer_of_another_region_is_refused() -> None:
    fake = fleet("a")
    fake.meta.region_name = "us-east-1"
    with pytest.raises(FleetError, match="the layer is in eu-central-1"):
        plan_of(fake)


def test_a_plan_survives_the_disk(tmp_path: Any) -> None:
    plan = plan_of(fleet("a", "b"), waves="1,100%")
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    assert list(tmp_path.iterdir()) == [tmp_path / "plan.json"]


def test_a_plan_tells_no_secrets(tmp_path: Any) -> None:
    fake = FakeLambda()
    fake.add_layer("shared", 9)
    fake.add("a", layers(7), Environment={"Variables": {"TOKEN": "hunter2"}})
    write_plan(plan_of(fake), tmp_path / "plan.json")
    assert "hunter2" not in (tmp_path / "plan.json").read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("[]", "is not a plan"),
        ("[" * 100_000, "is not JSON"),
        ('{"format": "lamella-fleet-plan", "version_of_format": 9}', "make the plan again"),
        ('{"format": "lamella-fleet-plan", "version_of_format": 1, "functions": 3}', "is damaged"),
    ],
)
def test_what_is_no_plan_is_refused(tmp_path: Any, text: str, message: str) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(FleetError, match=message):
        read_plan(tmp_path / "plan.json")


def test_a_plan_whose_id_leads_out_of_its_directory_is_refused(tmp_path: Any) -> None:
    document = plan_of(fleet("a")).to_document()
    with pytest.raises(FleetError, match="is damaged"):
        Plan.of_document({**document, "id": "../../etc"}, "plan.json")


def test_names_of_layers() -> None:
    assert LayerText.parse("a_b-c") == LayerText("a_b-c", None)
    assert LayerText.parse(f"{LAYER}:7") == LayerText(LAYER, 7, "eu-central-1", "123456789012")
    assert LayerText.parse(LAYER).name == "shared"
