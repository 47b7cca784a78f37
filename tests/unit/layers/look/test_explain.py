"""What a function sees of its layers."""

from collections.abc import Mapping

from tests.unit.layers.look.making import Executable, Link, Made, python_package, view

from lamella.layers.look.explain import Explanation, FunctionSetup, explain
from lamella.layers.look.shadows import Shadow

JAR = b"PK\5\6" + bytes(18)
"""An archive of nothing."""
SITE = "python/lib/python3.12/site-packages"


def explained(
    *layers: Made,
    code: Made | None = None,
    runtime: str = "python3.12",
    environment: Mapping[str, str] | None = None,
    ships: Mapping[str, str] | None = None,
) -> Explanation:
    return explain(view(*layers, code=code or {}), FunctionSetup(runtime, environment or {}, ships))


def shadow(found: Explanation, name: str) -> Shadow:
    [one] = [shadow for shadow in found.shadows if shadow.name == name]
    return one


def directories(found: Explanation, path: str) -> list[tuple[str, bool, tuple[str, ...]]]:
    [one] = [explained for explained in found.paths if explained.name == path]
    return [(directory.path, directory.exists, directory.filled_by) for directory in one.directories]


def test_the_search_path_of_python_and_who_fills_it() -> None:
    found = explained({"python/a.py": ""}, {"python/b.py": "", "lib/x.so": ""})
    assert directories(found, "sys.path")[:3] == [
        ("/var/task", True, ("function code",)),
        (f"/opt/{SITE}", False, ()),
        ("/opt/python", True, ("two:1", "one:1")),
    ]
    assert directories(found, "LD_LIBRARY_PATH")[-1] == ("/opt/lib", True, ("two:1",))
    assert directories(found, "PATH")[-1] == ("/opt/bin", False, ())
    assert found.warnings == ()


def test_a_function_that_sets_pythonpath_sees_no_layers_by_itself() -> None:
    found = explained({"python/a.py": ""}, environment={"PYTHONPATH": "/opt/mine:/opt/python/"})
    assert [path for path, _, _ in directories(found, "sys.path")][:3] == ["/var/task", "/opt/mine", "/opt/python"]


def test_two_trees_of_one_package_are_a_mixture() -> None:
    old = python_package("numpy", "1.26.4", {"numpy/__init__.py": "old", "numpy/old.py": "", "numpy/core/x.py": "1"})
    new = python_package("numpy", "2.2.6", {"numpy/__init__.py": "new", "numpy/new.py": ""})
    found = explained(old, new)
    [mix] = found.mixes
    assert mix.directory == "/opt/python/numpy"
    assert [(source.by, source.version, files) for source, files in mix.parts] == [
        ("two:1", "2.2.6", 2),
        ("one:1", "1.26.4", 2),
    ]
    assert (mix.replaced, mix.versions_differ) == (1, True)
    [warning] = found.warnings
    assert "numpy is mixed in /opt/python/numpy: 2.2.6 of two:1 and 1.26.4 of one:1" in warning


def test_the_package_of_a_module_with_another_name_is_found_by_its_record() -> None:
    old = python_package("pillow", "10.0", {"PIL/__init__.py": "old"})
    new = python_package("pillow", "12.0", {"PIL/__init__.py": "new"})
    [mix] = explained(old, new).mixes
    assert [source.version for source, _ in mix.parts] == ["12.0", "10.0"]


def test_a_version_that_hides_the_whole_of_another_is_no_mixture() -> None:
    old = python_package("six", "1.16", {"six/__init__.py": "old"})
    new = python_package("six", "1.17", {"six/__init__.py": "new", "six/more.py": ""})
    found = explained(old, new)
    assert [mix.mixed for mix in found.mixes] == [False]
    assert found.warnings == ("six 1.17 of two:1 takes the whole place of 1.16 of one:1",)


def test_the_same_package_twice_is_wasteful_and_no_mixture() -> None:
    package = python_package("six", "1.17", {"six/__init__.py": "same"})
    found = explained(package, package)
    assert [mix.versions_differ for mix in found.mixes] == [False]
    assert found.warnings == ()


def test_namespace_packages_are_meant_to_be_merged() -> None:
    found = explained({"python/google/a/__init__.py": ""}, {"python/google/b/__init__.py": ""})
    assert found.mixes == ()
    apart = explained({f"{SITE}/google/a/__init__.py": ""}, {"python/google/b/__init__.py": ""})
    assert apart.shadows == ()


def test_the_more_particular_directory_goes_before_the_later_layer() -> None:
    early = python_package("requests", "2.31", {"requests/__init__.py": ""}, SITE)
    late = python_package("requests", "2.32", {"requests/__init__.py": ""})
    found = explained(early, late)
    one = shadow(found, "requests")
    assert (one.used.by, one.used.version) == ("one:1", "2.31")
    assert [(source.by, source.version) for source in one.hidden] == [("two:1", "2.32")]
    assert "requests is there in several versions: 2.31 of one:1 and 2.32 of two:1" in found.warnings[0]


def test_what_hides_the_runtimes_own_and_what_hides_the_layers() -> None:
    boto3 = python_package("boto3", "1.40", {"boto3/__init__.py": ""})
    one = shadow(explained(boto3), "boto3")
    assert (one.used.by, one.used.version, one.hidden[0].by) == ("one:1", "1.40", "runtime")
    known = shadow(explained(boto3, ships={"boto3": "1.34.1"}), "boto3")
    assert known.hidden[0].version == "1.34.1"
    own = explained({"python/tool.py": ""}, code={"tool.py": "", "handler.py": ""})
    assert [(one.used.by, one.used.path) for one in own.shadows] == [("function code", "/var/task/tool.py")]


def test_libraries_and_programs_of_the_runtime_come_first() -> None:
    found = explained({"lib/libm.so.6": "", "lib/libown.so": "", "bin/python3": Executable(), "bin/git": Executable()})
    assert [(one.name, one.used.by) for one in found.shadows] == [("python3", "runtime"), ("libm.so.6", "runtime")]
    assert all("is not used: the runtime's own comes first" in warning for warning in found.warnings)


def test_node() -> None:
    def package(name: str, version: str, place: str = "nodejs/node_modules") -> dict[str, str]:
        text = f'{{"name": "{name}", "version": "{version}"}}'
        return {f"{place}/{name}/package.json": text, f"{place}/{name}/v{version}.js": ""}

    found = explained(
        {**package("ms", "1.0"), **package("@scope/x", "1.0"), **package("@aws-sdk/client-s3", "3.1")},
        {**package("ms", "2.0", "nodejs/node22/node_modules"), **package("@scope/x", "2.0")},
        code=package("ms", "3.0", "node_modules"),
        runtime="nodejs22.x",
    )
    one = shadow(found, "ms")
    assert [(source.by, source.version) for source in (one.used, *one.hidden)] == [
        ("function code", "3.0"),
        ("two:1", "2.0"),
        ("one:1", "1.0"),
    ]
    assert shadow(found, "@aws-sdk/client-s3").hidden[0].by == "runtime"
    [mix] = found.mixes
    assert (mix.name, [source.version for source, _ in mix.parts]) == ("@scope/x", ["2.0", "1.0"])


def test_java() -> None:
    found = explained(
        {"java/lib/jackson-core-2.16.0.jar": JAR},
        {"java/lib/jackson-core-2.18.2.jar": JAR},
        code={"lib/jackson-core-2.15.0.jar": JAR},
        runtime="java21",
    )
    one = shadow(found, "jackson-core")
    assert [source.version for source in (one.used, *one.hidden)] == ["2.15.0", "2.16.0", "2.18.2"]


def test_what_starts() -> None:
    layer: Made = {"bootstrap": Executable(), "extensions/b": Executable(), "extensions/a": "", "extensions/c/d": ""}
    found = explained(layer, runtime="provided.al2023")
    assert found.bootstrap == ("/opt/bootstrap", "one:1")
    assert [(one.name, one.executable) for one in found.extensions] == [("a", False), ("b", True)]
    assert found.warnings == ("/opt/extensions/a of one:1 is not executable: the function cannot start",)
    own = explained(layer, code={"bootstrap": Executable()}, runtime="provided.al2023")
    assert own.bootstrap == ("/var/task/bootstrap", "function code")
    assert explained(layer).bootstrap == ("/var/runtime/bootstrap", "runtime")
    assert "There is no bootstrap" in explained({}, runtime="provided.al2023").warnings[0]


def test_links_lead_to_what_is_searched() -> None:
    found = explained({"python": Link("lib/modules"), "lib/modules/a.py": ""})
    assert directories(found, "sys.path")[2] == ("/opt/python", True, ("one:1",))
    assert directories(explained({"python": Link("/etc")}), "sys.path")[2] == ("/opt/python", False, ())


def test_directories_of_another_version_are_pointed_out() -> None:
    found = explained({"python/lib/python3.9/site-packages/a.py": ""})
    assert found.warnings == ("/opt/python/lib/python3.9/site-packages of one:1 is on no search path of this function",)


def test_files_that_replace_others_and_sizes() -> None:
    found = explained({"data/x": "1", "y/z": ""}, {"data/x": "2", "y": ""}, code={"handler.py": "12345"})
    assert [warning.split(";")[0] for warning in found.warnings] == [
        "/opt/y is a file of two:1: the directory of one:1 is hidden, 1 files of it",
        "1 files of earlier layers are replaced by others of later layers",
    ]
    assert found.sizes == (("function code", 5), ("one:1", 1), ("two:1", 1))
    assert found.total_bytes == 7
