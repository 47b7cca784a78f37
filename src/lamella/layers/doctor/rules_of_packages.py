"""Rules about packages: whether they fit, whether they are wanted, and what they give away."""

from typing import Final

from lamella.layers.doctor.rule import ERROR, NOTE, WARNING, Rule

PYTHON: Final = (
    Rule(
        "wrong-python-abi",
        ERROR,
        "Compiled for another version of Python",
        "An extension module with `cpython-312` in its name is seen by Python 3.12 alone: `No module named "
        "…`, often of a part of the package.",
    ),
    Rule(
        "wrong-wheel",
        ERROR,
        "A wheel for another platform or version",
        "The tags of the wheel that was installed do not fit the runtime: another Python, another "
        "architecture, macOS, Windows or musl.",
    ),
    Rule(
        "requires-python",
        ERROR,
        "A package that does not support the runtime",
        "Its `Requires-Python` leaves the runtime's version out.",
    ),
    Rule(
        "missing-dependency",
        WARNING,
        "A package needs another one that is not there",
        "Neither the layers nor the runtime have it. The import fails, unless the function's own code brings it.",
    ),
    Rule(
        "wrong-dependency",
        WARNING,
        "A package needs another version",
        "The version in the layers is not one that the package says it works with.",
    ),
    Rule(
        "incomplete-package",
        WARNING,
        "Files of a package are missing",
        "The package's own list (`RECORD`) names modules that are not in the layer: names were mangled when "
        "it was zipped, or too much was trimmed.",
    ),
)

NODE: Final = (
    Rule(
        "wrong-node-abi",
        ERROR,
        "Compiled for another version of Node.js",
        "`was compiled against a different Node.js version using NODE_MODULE_VERSION …`: the module uses the "
        "engine directly and not Node-API, so it fits one major version.",
    ),
    Rule(
        "wrong-prebuild",
        ERROR,
        "No binary for Lambda's platform",
        "The package has binaries for other platforms only: it was installed on macOS, Windows, Alpine or "
        "another architecture.",
    ),
    Rule(
        "node-engines",
        WARNING,
        "A package that does not support the runtime",
        "Its `engines.node` leaves the runtime's version out. Node.js itself does not look at it, but the "
        "package may use what is not there.",
    ),
)

JAVA: Final = (
    Rule(
        "class-too-new",
        ERROR,
        "Compiled for a newer Java",
        "`UnsupportedClassVersionError`: the class files are for a newer version than the runtime's.",
    ),
)

PACKAGES: Final = (
    Rule(
        "shipped-by-runtime",
        WARNING,
        "The runtime already has it",
        "The SDK is a part of the runtime. A copy in a layer costs one of five layers and some of 250 MB; "
        "keep it only if you need a version of your own.",
    ),
    Rule(
        "duplicate-package",
        WARNING,
        "Two layers have the same package",
        "With two versions, which one is imported depends on the order of the layers, and files of both may "
        "be mixed. With one version, it is weight.",
    ),
    Rule(
        "overridden-files",
        NOTE,
        "A later layer overrides files",
        "Where two layers have the same file, the later one's is seen.",
    ),
    Rule(
        "duplicate-in-layer",
        WARNING,
        "Two copies of a package in one layer",
        "Only one of them is found.",
    ),
    Rule(
        "vulnerable-package",
        WARNING,
        "A version with a known vulnerability",
        "An advisory names this version. Of high and critical severity it is an error.",
    ),
)

SECRETS: Final = (
    Rule(
        "secret",
        ERROR,
        "A secret",
        "It can be read by everybody who may get the layer, and stays in the version for ever. Take it out, "
        "and make it worthless: rotate it.",
    ),
    Rule(
        "secret-sample",
        NOTE,
        "Something like a secret, probably an example",
        "It has the form of a secret but lies among tests or documents, or says that it is an example.",
    ),
    Rule(
        "private-file",
        WARNING,
        "A file that should not be published",
        "`.env`, `.git`, `.npmrc`, private keys: files that hold settings or history of whoever made the layer.",
    ),
)

PROOF: Final = (
    Rule(
        "import-failed", ERROR, "A module cannot be imported", "Python raised an error in the sandbox of the runtime."
    ),
    Rule(
        "require-failed", ERROR, "A module cannot be required", "Node.js threw an error in the sandbox of the runtime."
    ),
    Rule(
        "class-load-failed", ERROR, "Classes cannot be loaded", "The JVM threw an error in the sandbox of the runtime."
    ),
    Rule(
        "loader-failed",
        ERROR,
        "A program cannot be loaded",
        "The dynamic loader stopped in the sandbox of the runtime.",
    ),
    Rule("script-failed", ERROR, "A script cannot be started", "The kernel could not start it in the sandbox."),
    Rule("probe-timeout", ERROR, "Loading does not come to an end", "It was ended after some seconds."),
    Rule("probe-crashed", ERROR, "Loading ends the process", "By a signal, by exit, or for want of memory."),
    Rule("not-proved", WARNING, "Not tried", "There was no time to try it in the sandbox."),
)
