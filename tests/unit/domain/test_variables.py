import pytest

from lamella.domain._api_errors import InvalidParameterValueException
from lamella.domain.variables import RESERVED, check_variables


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_each_reserved_name_is_refused(name: str) -> None:
    # rule EN-04
    with pytest.raises(InvalidParameterValueException, match=f"Reserved keys used in this request: {name}$"):
        check_variables({"AB": "", name: "x"})


@pytest.mark.parametrize("name", ["PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TZ", "LANG", "AWS_XRAY_CONTEXT_MISSING"])
def test_what_the_platform_only_suggests_can_be_changed(name: str) -> None:
    # rule EN-04
    check_variables({name: "x"})


def test_the_size_is_that_of_the_json_text_in_bytes() -> None:
    # rule EN-05
    check_variables({"AB": "x" * (4096 - len('{"AB":""}'))})
    with pytest.raises(InvalidParameterValueException, match=r'String measured: \{"AB":"x'):
        check_variables({"AB": "x" * (4097 - len('{"AB":""}'))})
    with pytest.raises(InvalidParameterValueException, match="exceeded the 4KB limit"):
        check_variables({"AB": "ü" * 2048})
