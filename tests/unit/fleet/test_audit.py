"""Who uses which layer version, and what is wrong with it."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from tests.unit.fleet.fake_lambda import ACCOUNT, LAYER, FakeLambda, layers

from lamella.fleet.audit import AuditedLayer, Fault, Use, audit, faults, parse_faults
from lamella.fleet.reading import read_fleet

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def fleet() -> FakeLambda:
    """Twelve functions, of which three were forgotten; the newest version is 8, and 3 has been deleted."""
    fake = FakeLambda()
    fake.add_layer("shared", 8)
    fake.add_layer("other", 3)
    fake.add_layer("tail", 1)
    fake.add_layer("forgotten", 1)
    del fake.layer_versions["shared"][2]
    for number in range(12):
        name = f"f{number:02}"
        fake.add(name, layers({2: 7, 5: 7, 7: 3}.get(number, 8)))
    fake.publish("f02")
    fake.change("f02", Layers=[{"Arn": arn} for arn in layers(8)])
    fake.publish("f02")
    fake.add_alias("f02", "live", "1", v2=0.25)
    return fake


def found(fake: FakeLambda, *names: str) -> dict[str, AuditedLayer]:
    return {layer.name: layer for layer in audit(read_fleet(fake, names), now=NOW)}


def test_those_that_are_behind_are_counted() -> None:
    shared = found(fleet())["shared"]
    assert (shared.newest, len(shared.users), shared.behind) == (8, 12, ["f02", "f05", "f07"])


def test_faults_of_versions() -> None:
    shared = found(fleet())["shared"]
    assert {version.number: list(version.faults) for version in shared.versions} == {
        8: [],
        7: [Fault.STALE],
        6: [Fault.UNUSED],
        5: [Fault.UNUSED],
        4: [Fault.UNUSED],
        3: [Fault.STALE, Fault.DELETED],
        2: [Fault.UNUSED],
        1: [Fault.UNUSED],
    }
    assert {version.number: version.age_days for version in shared.versions}[7] == 25
    assert {version.number: version.age_days for version in shared.versions}[3] is None


def test_uses_name_versions_and_aliases_with_their_share() -> None:
    uses = {version.number: version.uses for version in found(fleet())["shared"].versions}
    assert list(uses[7]) == [Use("f02", "1", ("live 75%",)), Use("f05", "$LATEST")]
    assert Use("f02", "2", ("live 25%",)) in uses[8]
    assert str(uses[7][0]) == "f02:1 (live 75%)"


def test_an_old_version_that_nothing_invokes_is_not_stale() -> None:
    fake = fleet()
    fake.add_alias("f02", "live", "2")
    [seven] = [version for version in found(fake)["shared"].versions if version.number == 7]
    assert [use.live for use in seven.uses] == [False, True]
    fake.change("f05", Layers=[])
    [seven] = [version for version in found(fake)["shared"].versions if version.number == 7]
    assert not seven.faults


def test_layers_that_nothing_uses_are_found_too_unless_others_are_asked_for() -> None:
    assert list(found(fleet())) == ["forgotten", "other", "shared", "tail"]
    assert list(found(fleet(), "shared")) == ["shared"]
    assert list(found(fleet(), "forgotten", LAYER)) == ["forgotten", "shared"]
    assert list(found(fleet(), "unknown")) == []


def test_layers_of_other_accounts_are_known_as_far_as_they_show_themselves() -> None:
    foreign = LAYER.replace(ACCOUNT, "999999999999")
    fake = fleet()
    fake.add("g1", [f"{foreign}:2"])
    fake.add("g2", [f"{foreign}:3"])

    def hide(*, Arn: str) -> dict[str, object]:  # noqa: N803
        if Arn == f"{foreign}:3":
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetLayerVersionByArn")
        return {"Version": 2, "CreatedDate": "2026-01-02T00:00:00.000+0000"}

    fake.get_layer_version_by_arn = hide  # type: ignore[method-assign]  # another account's answers
    [layer] = [one for one in audit(read_fleet(fake, [foreign]), now=NOW) if one.arn == foreign]
    assert layer.newest is None
    assert {version.number: list(version.faults) for version in layer.versions} == {2: [], 3: [Fault.HIDDEN]}


def test_known_vulnerabilities_are_faults() -> None:
    arn = f"{LAYER}:7"
    layers_ = audit(read_fleet(fleet(), ["shared"]), now=NOW, vulnerabilities={arn: ["pillow 9.0: CVE-1"]})
    assert Fault.VULNERABLE in faults(layers_)
    [version] = [one for one in layers_[0].versions if one.arn == arn]
    assert version.to_dict()["vulnerabilities"] == ["pillow 9.0: CVE-1"]


def test_faults_to_fail_on() -> None:
    assert parse_faults("stale, unused") == {Fault.STALE, Fault.UNUSED}
    assert parse_faults("") == set()
    with pytest.raises(ValueError, match="old"):
        parse_faults("old")


def test_an_account_without_anything_has_nothing_wrong() -> None:
    assert audit(read_fleet(FakeLambda()), now=NOW) == []
