from datetime import UTC, datetime, timedelta

from lamella.layers.retention import Rule, Version, judge

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def version(
    number: int,
    *,
    days: int = 400,
    used_by: tuple[str, ...] = (),
    held_by: tuple[str, ...] = (),
    shared_with: tuple[str, ...] = (),
) -> Version:
    return Version(number, f"arn:{number}", NOW - timedelta(days=days), used_by, held_by, shared_with)


def goes(versions: list[Version], rule: Rule) -> list[int]:
    return [verdict.version.number for verdict in judge(versions, rule, now=NOW) if verdict.goes]


def test_the_newest_stay_whatever_their_order() -> None:
    versions = [version(number) for number in (2, 10, 1, 9)]
    assert goes(versions, Rule()) == [9, 2, 1]
    assert goes(versions, Rule(keep_last=3)) == [1]
    assert goes(versions, Rule(keep_last=0)) == [10, 9, 2, 1]
    assert goes([], Rule()) == []


def test_each_reason_keeps_by_itself() -> None:
    versions = [
        version(5, used_by=("f:3", "f:4", "g:$LATEST", "h:1")),
        version(4, days=30),
        version(3, held_by=("channel l:stable",)),
        version(2, shared_with=("everybody",)),
        version(1),
    ]
    rule = Rule(keep_last=0, keep_days=30)
    assert goes(versions, rule) == [1]
    assert [verdict.reasons for verdict in judge(versions, rule, now=NOW)] == [
        ("used by f:3, f:4, g:$LATEST and 1 more",),
        ("not older than 30 days",),
        ("channel l:stable",),
        ("shared with everybody",),
        (),
    ]


def test_no_rule_lets_go_of_what_is_held() -> None:
    all_off = Rule(keep_last=0, keep_used=False, keep_shared=False)
    held = version(1, used_by=("f:1",), held_by=("mirrored",), shared_with=("everybody",))
    assert goes([held, version(2, used_by=("f:1",), shared_with=("everybody",))], all_off) == [2]


def test_age_is_in_days_to_the_second() -> None:
    old = Version(1, "arn", NOW - timedelta(days=30, seconds=1))
    assert goes([old], Rule(keep_last=0, keep_days=30)) == [1]
    assert goes([old], Rule(keep_last=0, keep_days=31)) == []


def test_what_was_said_besides_the_policy_wins() -> None:
    policy = Rule.of_document({"keep_last": 5, "keep_used": True, "keep_days": 90})
    nothing = policy.changed(keep_last=None, keep_used=None, keep_days=None, keep_shared=None)
    assert nothing == policy == Rule(5, True, 90)
    changed = policy.changed(keep_last=0, keep_used=False, keep_days=0, keep_shared=False)
    assert changed == Rule(0, False, 0, False)
