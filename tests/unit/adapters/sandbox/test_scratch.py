import pytest

from lamella.adapters.sandbox.scratch import image_size_bytes


@pytest.mark.parametrize("tmp_mib", [512, 513, 1024, 10240])
def test_an_image_is_a_little_larger_than_what_it_gives(tmp_mib: int) -> None:
    assert tmp_mib + 10 < image_size_bytes(tmp_mib) >> 20 <= tmp_mib * 1.06
