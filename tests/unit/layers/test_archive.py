import pytest

from lamella.layers.archive import entry_time


@pytest.mark.parametrize("epoch", [None, "", "0", "315532799"])
def test_entries_are_no_older_than_a_zip_can_say(epoch: str | None) -> None:
    assert entry_time(epoch) == (1980, 1, 1, 0, 0, 0)


def test_source_date_epoch_is_honoured_in_utc() -> None:
    assert entry_time("1700000000") == (2023, 11, 14, 22, 13, 20)


def test_a_source_date_epoch_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        entry_time("yesterday")
