from tests.unit.layers.doctor.making import check, codes


def test_a_parent_folder_is_named_with_the_way_to_zip() -> None:
    (finding,) = check({"layer/python/mine.py": "x = 1\n"})
    assert finding.code == "parent-folder"
    assert finding.place == "layer"
    assert "/opt/layer/" in finding.reason
    assert "(cd layer && zip -r" in finding.remedy


def test_its_mended_twin_is_sound() -> None:
    assert codes(check({"python/mine.py": "x = 1\n"})) == []


def test_what_lambda_refuses_is_named() -> None:
    (finding,) = check({"../etc/passwd": "x", "python/mine.py": ""})
    assert (finding.code, finding.place) == ("refused-entry", "../etc/passwd")
