from tests.unit.layers.doctor.making import check, codes


def test_a_parent_folder_is_named_with_the_way_to_zip() -> None:
    (finding,) = check({"layer/python/mine.py": "x = 1\n"})
    assert finding.code == "parent-folder"
    assert finding.place == "layer"
    assert "/opt/layer/" in finding.reason
    assert "(cd layer && zip -r" in finding.remedy


def test_its_mended_twin_is_sound() -> None:
    assert codes(check({"python/mine.py": "x = 1\n"})) == []


def test_directories_of_an_archive_hide_no_fault() -> None:
    files = {"python/": "", "python/lib/": "", "python/lib/python3.12/site-packages/a.py": ""}
    assert "wrong-python-directory" in codes(check(files, runtimes=["python3.11"]))


def test_packages_at_the_top_are_no_parent_folder() -> None:
    files = {
        "pyspark/__init__.py": "",
        "pyspark/bin/x.py": "",
        "pyspark-4.0.dist-info/METADATA": "Name: pyspark\nVersion: 4\n",
    }
    assert codes(check(files, runtimes=["python3.12"])) == ["package-at-top"]


def test_what_lambda_refuses_is_named() -> None:
    (finding,) = check({"../etc/passwd": "x", "python/mine.py": ""})
    assert (finding.code, finding.place) == ("refused-entry", "../etc/passwd")
