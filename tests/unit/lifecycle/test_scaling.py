"""When environments are added."""

import pytest

from lamella.lifecycle.scaling import Load, Scale, decide


@pytest.mark.parametrize(
    ("load", "grace_is_over", "expected"),
    [
        (Load(waiting=0, starting=0, soon_idle=0), False, Scale(0, recheck=False)),
        (Load(waiting=1, starting=0, soon_idle=0), False, Scale(1, recheck=False)),
        (Load(waiting=3, starting=2, soon_idle=0), False, Scale(1, recheck=False)),
        (Load(waiting=2, starting=5, soon_idle=0), False, Scale(0, recheck=False)),
        (Load(waiting=1, starting=0, soon_idle=1), False, Scale(0, recheck=True)),
        (Load(waiting=1, starting=0, soon_idle=1), True, Scale(1, recheck=False)),
        (Load(waiting=5, starting=1, soon_idle=2), False, Scale(2, recheck=True)),
    ],
)
def test_decision(load: Load, *, grace_is_over: bool, expected: Scale) -> None:
    assert decide(load, grace_is_over=grace_is_over) == expected
