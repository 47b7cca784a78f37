"""The text of the rules; what they do is tested on real networks in `tests/integration/sandbox/test_networks.py`."""

from lamella.adapters.sandbox.nat import NatSettings, ruleset


def test_servers_have_tables_and_groups_of_their_own() -> None:
    one, other = NatSettings("aaaaaaaa"), NatSettings("bbbbbbbb")
    assert one.table != other.table
    assert one.group != other.group
    assert ruleset(one).replace(one.table, other.table).replace(f"{one.group:#x}", f"{other.group:#x}") == ruleset(
        other
    )


def test_groups_are_32_bit_numbers_that_nobody_else_uses() -> None:
    groups = {NatSettings(f"{number:08x}").group for number in range(100)}
    assert len(groups) == 100
    assert {group >> 24 for group in groups} == {0x4C}


def test_name_servers_come_before_what_is_forbidden() -> None:
    rules = ruleset(NatSettings("aaaaaaaa"), ("169.254.169.253", "192.0.2.53"))
    allowed = rules.index("ip daddr { 169.254.169.253, 192.0.2.53 } meta l4proto { tcp, udp } th dport 53 accept")
    assert rules.index("fib daddr type != unicast drop") < allowed < rules.index("ip daddr @forbidden drop")
    assert "dport 53" not in ruleset(NatSettings("aaaaaaaa"))


def test_blocked_networks_are_forbidden_beside_the_others() -> None:
    rules = ruleset(NatSettings("aaaaaaaa", ("10.0.0.0/8", "192.0.2.1")))
    assert "169.254.0.0/16" in rules
    assert "192.0.0.192, 10.0.0.0/8, 192.0.2.1 }" in rules
