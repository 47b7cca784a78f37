import pytest

from lamella.fleet.errors import FleetError
from lamella.fleet.waves import parse_steps, split_waves


@pytest.mark.parametrize(
    ("count", "sizes", "expected"),
    [
        (50, "1,10%,50%,100%", [1, 4, 20, 25]),
        (3, "1,10%,50%,100%", [1, 1, 1]),
        (1, "1,10%,50%,100%", [1]),
        (0, "1,10%,50%,100%", []),
        (10, "20%", [2, 8]),
        (10, "3, 3, 5", [3, 2, 5]),
        (10, "100", [10]),
        (3, "1%", [1, 2]),
    ],
)
def test_a_fleet_is_cut_into_waves(count: int, sizes: str, expected: list[int]) -> None:
    names = [f"{number:03}" for number in range(count)]
    waves = split_waves(names, sizes)
    assert [len(wave) for wave in waves] == expected
    assert [name for wave in waves for name in wave] == names


@pytest.mark.parametrize("sizes", ["", "0", "x", "-1", "101%", "10%%", "1,,2"])
def test_sizes_that_are_none(sizes: str) -> None:
    with pytest.raises(FleetError, match="no size of a wave"):
        split_waves(["a"], sizes)


def test_shares_grow_and_end_with_all() -> None:
    assert parse_steps("10%,50%,100%") == (0.1, 0.5, 1.0)
    assert parse_steps("5%") == (0.05, 1.0)
    assert parse_steps("100%") == (1.0,)


@pytest.mark.parametrize("text", ["", "50%,10%", "0%", "120%", "x", "10%,10%"])
def test_shares_that_do_not_grow(text: str) -> None:
    with pytest.raises(FleetError, match="growing percentages"):
        parse_steps(text)
