from pathlib import Path

import pytest

from lamella.layers.build.naming import output_paths, targets_of
from lamella.layers.build.recipe import ARRAYS, TABLES, PythonTable, Recipe, check, from_flags, parse_recipe
from lamella.layers.build.slim import DEFAULT_SLIM, Trim
from lamella.layers.build.tables import line_of, rows_of, size_bytes
from lamella.layers.errors import LayerBuildError, RecipeError

PATH = Path("/srv/shop/layer.toml")

WHOLE = """
name = "imaging"
description = "Pillow, and what goes with it"
runtimes = ["python3.12", "nodejs22.x"]
architectures = ["x86_64", "arm64"]
output = "dist/{name}-{architecture}.zip"
max_unzipped = "1.5 MiB"
max_zipped = 1000
slim = ["tests", "symbols"]
keep = ["numpy/testing/*"]

[python]
requirements = ["pillow==12.2.0"]
uv_lock = "uv.lock"
packages = ["libs/one", "/abs/two"]

[node]
package = "package.json"

[[files]]
from = "conf"
to = "etc"

[[files]]
from = "more"
executable = true

[bootstrap]
from = "build/{architecture}/bootstrap"
"""


def test_a_recipe_says_what_a_layer_is_made_of() -> None:
    recipe = parse_recipe(WHOLE, PATH)
    assert (recipe.name, recipe.runtimes) == ("imaging", ("python3.12", "nodejs22.x"))
    assert (recipe.max_unzipped, recipe.max_zipped) == (1572864, 1000)
    assert recipe.slim == (Trim.TESTS, Trim.SYMBOLS)
    assert recipe.python == PythonTable(
        requirements=("pillow==12.2.0",),
        uv_lock=Path("/srv/shop/uv.lock"),
        packages=(Path("/srv/shop/libs/one"), Path("/abs/two")),
    )
    assert recipe.node is not None
    assert recipe.node.package == Path("/srv/shop/package.json")
    assert [(table.source, table.to, table.executable) for table in recipe.files] == [
        (Path("/srv/shop/conf"), "etc", False),
        (Path("/srv/shop/more"), "", True),
    ]
    assert recipe.bootstrap is not None
    assert recipe.directory == Path("/srv/shop")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('nam = "x"', ":1: nam: there is no such key; the nearest is 'name'"),
        ('name = "x"\n[pyton]\n', ":2: pyton: there is no such key; the nearest is 'python'"),
        ('[python]\n\nrequirement = ["x"]', ":3: [python] requirement: there is no such key; the nearest is 'requi"),
        (
            '[[files]]\nfrom = "a"\n[[files]]\nform = "b"',
            ":4: [files] form: there is no such key; the nearest is 'from'",
        ),
        ('[[files]]\nfrom = "a"\n[[files]]\nto = "b"', ":3: [files]: needs the key 'from'"),
        ('[files]\nfrom = "a"', "files: must be an array of tables: write [[files]]"),
        ("python = 3", "[python]: must be a table"),
        ('[debian]\nprograms = ["git"]', ":1: [debian]: needs the key 'packages'"),
        ('runtimes = ["python3.99"]', ":1: runtimes: 'python3.99' is not known; the nearest is 'python3.9'"),
        ('runtimes = "python3.12"', ":1: runtimes: must be a list of runtimes such as python3.12, each once"),
        ('architectures = ["x86_64", "x86_64"]', ":1: architectures: must be a list of x86_64 and arm64, each once"),
        ('architectures = ["x86"]', "'x86' is not known; the nearest is 'x86_64'"),
        ('slim = ["test"]', ":1: slim: 'test' is nothing that can be trimmed; the nearest is 'tests'"),
        ('slim = "yes"', "slim: must be true, false, or a list of what to trim"),
        ('max_unzipped = "many"', 'max_unzipped: must be a size such as "200 MiB", or a number of bytes'),
        ("max_unzipped = true", "max_unzipped: must be a size"),
        ('name = "a b"', "name: must be a layer's name"),
        ('name = "a\\u001b[2J"', "name: must be a layer's name"),
        ('output = "{nme}.zip"', "output: {nme} cannot be replaced; the nearest is {name}"),
        ('[python]\nflat = "no"', ":2: [python] flat: must be true or false"),
        ('[python]\nrequirements = ["a", 3]', "requirements: must be a list of texts"),
        ('[[extensions]]\nfrom = "a"\nname = "a/b"', ":3: [extensions] name: must be a file name"),
        ("= broken", "is not TOML"),
        (f"a = {'[' * 100_000}", "is nested too deeply"),
        ('[[extensions]]\nfrom = "a"\nname = ".."', ":3: [extensions] name: must be a file name"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, PATH)
    assert str(caught.value).startswith(str(PATH))
    assert words in str(caught.value)


def test_keys_with_the_same_name_are_told_apart_by_line() -> None:
    text = 'a = 1\n[t]\na = 2\n[[u]]\na = 3\n[[u]]\n"a" = 4\n'
    assert [line_of(text, trail) for trail in [("a",), ("t", "a"), ("u", 0, "a"), ("u", 1, "a"), ("v",)]] == [
        *(1, 3, 5, 7, None)
    ]


def test_each_key_says_what_it_means() -> None:
    for table in (Recipe, *TABLES.values(), *ARRAYS.values()):
        for name, kind, meaning, _ in rows_of(table):
            assert meaning.endswith((".", "]`.")), (table, name)
            assert kind.expects


@pytest.mark.parametrize(
    ("value", "size"), [(7, 7), ("7", 7), ("2 kB", 2000), ("2KiB", 2048), ("0.5 MiB", 524288), ("3MB", 3_000_000)]
)
def test_sizes(value: object, size: int) -> None:
    assert size_bytes(value) == size


@pytest.mark.parametrize("value", [0, -1, 1.5, "", "MiB", "1 GiBB", "-3", None, "0 MiB"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError):
        size_bytes(value)


def test_packages_need_a_runtime_that_they_are_for() -> None:
    with pytest.raises(LayerBuildError, match=r"packages for Python.*among those named \(nodejs22.x\)"):
        check(Recipe(runtimes=("nodejs22.x",), python=PythonTable(requirements=("six",))))


def test_flags_are_checked_as_a_recipe_is() -> None:
    assert from_flags({"slim": True, "max_zipped": "1KiB"}) == {"slim": DEFAULT_SLIM, "max_zipped": 1024}
    with pytest.raises(RecipeError, match="--architecture 'x86' is not known; the nearest is 'x86_64'"):
        from_flags({"architectures": ["x86"]})
    with pytest.raises(RecipeError, match="--max-zipped must be a size"):
        from_flags({"max_zipped": "much"})
    with pytest.raises(RecipeError, match=r"--sbom: {nme} cannot be replaced"):
        from_flags({"sbom": "{nme}.json"})


def named(recipe: Recipe, pattern: str = "") -> list[str]:
    return [str(path) for path in output_paths(recipe, targets_of(recipe), pattern, ".zip")]


class TestArchives:
    ONE = Recipe(name="deps", runtimes=("python3.12",))
    BOTH = Recipe(name="deps", runtimes=("python3.12", "python3.13"), architectures=("x86_64", "arm64"))
    SEPARATE = Recipe(
        name="deps", runtimes=("python3.12", "python3.13"), architectures=("x86_64", "arm64"), separate_runtimes=True
    )

    def test_one_for_each_architecture_that_serves_all_runtimes(self) -> None:
        assert [target.runtimes for target in targets_of(self.BOTH)] == [("python3.12", "python3.13")] * 2
        assert (named(self.ONE), named(self.BOTH)) == (["deps.zip"], ["deps-x86_64.zip", "deps-arm64.zip"])

    def test_one_for_each_runtime_if_the_recipe_says_so(self) -> None:
        assert named(self.SEPARATE) == [
            *("deps-python3.12-x86_64.zip", "deps-python3.12-arm64.zip"),
            *("deps-python3.13-x86_64.zip", "deps-python3.13-arm64.zip"),
        ]

    def test_names_that_are_not_told_apart_are_an_error_that_says_how(self) -> None:
        with pytest.raises(RecipeError, match=r"put {runtime} into the name, such as a-{architecture}-{runtime}.zip"):
            named(self.SEPARATE, "a-{architecture}.zip")
        with pytest.raises(RecipeError, match=r"put {architecture} and {runtime} into the name"):
            named(self.SEPARATE, "a.zip")
