from lamella.adapters.sandbox.resolver import Resolver, choose, is_outside

STUB = "# made by somebody\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch example.org\n"
BEHIND = (
    "nameserver 192.0.2.53\nnameserver fd00::53\nnameserver 192.0.2.54\nsearch example.net a.test\noptions ndots:2\n"
)


def nowhere(address: str) -> bool:
    return False


def test_servers_search_list_and_options_are_the_hosts() -> None:
    chosen = choose([BEHIND, STUB], nowhere)
    assert chosen == Resolver(("192.0.2.53", "192.0.2.54"), ("search example.net a.test", "options ndots:2"))
    assert chosen.text == ("nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch example.net a.test\noptions ndots:2\n")


def test_behind_a_stub_on_loopback_its_own_servers_are_asked() -> None:
    assert choose([STUB, "", BEHIND], nowhere).servers == ("192.0.2.53", "192.0.2.54")


def test_servers_on_the_host_itself_cannot_be_reached() -> None:
    assert choose([BEHIND], lambda address: address == "192.0.2.53").servers == ("192.0.2.54",)
    assert choose([STUB, BEHIND], lambda address: True) == Resolver()


def test_no_more_servers_than_a_c_library_asks() -> None:
    text = "".join(f"nameserver 192.0.2.{number}\n" for number in range(1, 6))
    assert choose([text], nowhere).servers == ("192.0.2.1", "192.0.2.2", "192.0.2.3")


def test_link_local_servers_count_as_outside_as_on_clouds() -> None:
    addresses = ["169.254.169.253", "8.8.8.8", "127.0.0.1", "0.0.0.0", "224.0.0.251", "::1", "fd00::1", "ns.test", ""]
    assert [address for address in addresses if is_outside(address)] == ["169.254.169.253", "8.8.8.8"]
