"""Rules about files: where they lie, how large they are, whether they can be started and loaded."""

from typing import Final

from lamella.layers.doctor.rule import ERROR, NOTE, WARNING, Rule

STRUCTURE: Final = (
    Rule(
        "refused-entry",
        ERROR,
        "The archive holds something that Lambda refuses",
        "A path that leads out of the layer, a name that is there twice, a device, a socket: "
        "`PublishLayerVersion` answers `InvalidParameterValueException`.",
    ),
    Rule(
        "empty-layer",
        ERROR,
        "Nothing is in it",
        "`PublishLayerVersion` answers `Could not unzip uploaded file` or `Uploaded file must be a non-empty zip`.",
    ),
    Rule(
        "parent-folder",
        ERROR,
        "Everything lies in a folder",
        "A layer is unpacked into `/opt`, so what is zipped as `layer/python/…` lands in "
        "`/opt/layer/python/…`, where no runtime looks. It happens when a directory is zipped from outside "
        "instead of from inside.",
    ),
    Rule(
        "package-at-top",
        ERROR,
        "Python packages at the top of the zip",
        "They land in `/opt` itself, which is on no module search path: `No module named …`. They belong into"
        " `python/` or `python/lib/pythonX.Y/site-packages/`.",
    ),
    Rule(
        "wrong-python-directory",
        ERROR,
        "Packages are for another version of Python",
        "`python/lib/python3.12/site-packages` is searched by `python3.12` alone. A function with another "
        "runtime says `No module named …`.",
    ),
    Rule(
        "unsearched-directory",
        ERROR,
        "A directory that no runtime searches",
        "Packages lie in a directory whose name is nearly right, such as `python/site-packages` or "
        "`nodejs/lib`. No runtime has it on its search path.",
    ),
    Rule(
        "modules-at-top",
        ERROR,
        "`node_modules` at the top of the zip",
        "Node.js looks in `/opt/nodejs/node_modules` and `/opt/nodejs/nodeX/node_modules`, not in "
        "`/opt/node_modules`: `Cannot find module`.",
    ),
    Rule(
        "wrong-node-directory",
        ERROR,
        "Modules are for another version of Node.js",
        "`nodejs/node20/node_modules` is searched by `nodejs20.x` alone.",
    ),
    Rule(
        "jar-outside-java-lib",
        ERROR,
        "A jar that is not on the class path",
        "The class path of Java runtimes has the jars right in `/opt/java/lib`, not those in directories "
        "below it or elsewhere.",
    ),
    Rule(
        "lib64-directory",
        WARNING,
        "Libraries in `lib64/`",
        "The loader looks in `/opt/lib` (`LD_LIBRARY_PATH`), not in `/opt/lib64`.",
    ),
    Rule(
        "bootstrap-in-folder",
        ERROR,
        "The bootstrap is not at the top",
        "Lambda starts `/var/runtime/bootstrap`, `/var/task/bootstrap` or `/opt/bootstrap`, and no other: "
        "`Runtime.InvalidEntrypoint`, couldn't find valid bootstrap.",
    ),
    Rule(
        "bootstrap-unused",
        NOTE,
        "The bootstrap is never started",
        "Managed runtimes have their own. One in a layer is started with `provided.al2` and `provided.al2023` only.",
    ),
    Rule(
        "extension-in-folder",
        ERROR,
        "An extension in a folder",
        "Lambda starts every file right in `/opt/extensions` as an extension, and nothing in directories below it.",
    ),
    Rule(
        "too-many-extensions",
        ERROR,
        "More than ten extensions",
        "Lambda starts at most ten extensions for a function; with eleven its init fails.",
    ),
    Rule(
        "no-known-directory",
        NOTE,
        "Nothing that a runtime looks for",
        "There is no `python`, `nodejs`, `java`, `ruby`, `bin`, `lib`, `extensions` or `bootstrap` at the "
        "top. That is right only for data that the function reads from `/opt` itself.",
    ),
    Rule(
        "junk",
        NOTE,
        "Files that nobody needs",
        "`.DS_Store`, `__MACOSX`, `Thumbs.db`: left by the system on which the zip was made.",
    ),
    Rule(
        "stale-bytecode",
        NOTE,
        "Bytecode of another Python",
        "`.pyc` files are used only by the version of Python that wrote them; for all others they are weight.",
    ),
    Rule(
        "deprecated-runtime",
        NOTE,
        "The runtime is deprecated",
        "AWS no longer patches it, and does not let functions be created with it, or will not for long.",
    ),
    Rule(
        "damaged-file",
        ERROR,
        "A file is damaged",
        "It cannot be unpacked, or it is a program or library that is cut off. Lambda refuses an archive "
        "whose checksums are wrong; a library that is cut off cannot be loaded.",
    ),
    Rule(
        "encrypted-file",
        ERROR,
        "A file is encrypted",
        "Lambda unpacks layers without a password.",
    ),
)

SIZE: Final = (
    Rule(
        "too-large",
        ERROR,
        "More than 250 MB",
        "Code and all layers of a function may have 262,144,000 bytes unzipped together. A layer that has "
        "more by itself cannot be published; layers that have more together cannot be attached.",
    ),
    Rule(
        "near-limit",
        WARNING,
        "Nearly 250 MB",
        "More than nine tenths of what code and layers may have together is used up: the next version of a "
        "package may be too much, and little is left for other layers.",
    ),
    Rule(
        "over-direct-upload",
        WARNING,
        "Zip of more than 50 MB",
        "`PublishLayerVersion` takes 52,428,800 bytes in the request. A larger zip has to be uploaded to S3 first.",
    ),
    Rule(
        "not-read",
        WARNING,
        "Too large to be looked into",
        "The files were not read, as they unpack to more than four times of what Lambda takes. Only names and"
        " sizes were looked at.",
    ),
    Rule(
        "too-many-layers",
        ERROR,
        "More than five layers",
        "A function can have five layers: `Cannot reference more than 5 layers.`",
    ),
    Rule(
        "two-versions",
        ERROR,
        "Two versions of one layer",
        "A function cannot have them: `Two different versions of the same layer are not allowed to be "
        "referenced in the same function.`",
    ),
)

NATIVE: Final = (
    Rule(
        "wrong-architecture",
        ERROR,
        "Built for another architecture",
        "A program says `exec format error`, a library `wrong ELF class` or `cannot open shared object file`;"
        " Python says `No module named …`, as it does not see the file for what it is.",
    ),
    Rule(
        "one-architecture",
        ERROR,
        "Declared for both architectures, built for one",
        "A zip holds compiled code for one architecture. Functions on the other one cannot load it. Publish "
        "one layer version for each.",
    ),
    Rule(
        "foreign-binary",
        ERROR,
        "Built for another operating system",
        "A program or library for macOS or Windows does not run on Linux.",
    ),
    Rule(
        "unused-prebuild",
        NOTE,
        "Binaries for other platforms",
        "Packages of Node.js bring binaries for several platforms; those for others than Lambda's are weight.",
    ),
    Rule(
        "missing-library",
        ERROR,
        "A shared library is missing",
        "The loader stops with `error while loading shared libraries: …: cannot open shared object file`. The"
        " library is neither in the layers nor in the runtime.",
    ),
    Rule(
        "library-not-found",
        ERROR,
        "A shared library is where the loader does not look",
        "It is in the layer, but neither in `/opt/lib` nor where the RPATH of the file that needs it leads.",
    ),
    Rule(
        "library-not-promised",
        WARNING,
        "A shared library is not known to be there",
        "The library is in the image of the operating system, but AWS does not promise it, and execution "
        "environments have lacked libraries that the image has.",
    ),
    Rule(
        "glibc-too-new",
        ERROR,
        "Needs a newer C library",
        "``/lib64/libc.so.6: version `GLIBC_2.38' not found``: the program or library was built on a newer "
        "Linux than the runtime has. Amazon Linux 2 has glibc 2.26, Amazon Linux 2023 has 2.34.",
    ),
    Rule(
        "libstdcxx-too-new",
        ERROR,
        "Needs a newer C++ library",
        "``/lib64/libstdc++.so.6: version `GLIBCXX_3.4.32' not found``: it was built with a newer compiler "
        "than the runtime's. A copy in `/opt/lib` does not help, as `/lib64` comes first in "
        "`LD_LIBRARY_PATH`.",
    ),
    Rule(
        "musl-binary",
        ERROR,
        "Built for musl",
        "It was built on Alpine or taken from a `musllinux` wheel. Lambda's runtimes have glibc, and not `ld-musl`.",
    ),
)

SCRIPTS: Final = (
    Rule(
        "not-executable",
        ERROR,
        "Not executable",
        "Lambda starts `bootstrap` and the files in `extensions/` as they are: `permission denied`. A program"
        " in `bin/` cannot be called by its name.",
    ),
    Rule(
        "not-readable",
        ERROR,
        "Others than the owner cannot read it",
        "Functions run as a user that does not own what is in `/opt`. Files zipped with a strict umask (0600, 0700) "
        "give `permission denied`.",
    ),
    Rule(
        "missing-interpreter",
        ERROR,
        "The interpreter of a script is not there",
        "The first line of the script names a program that the runtime lacks: `no such file or directory`. "
        "OS-only runtimes have a shell, but no Python, Node.js, Ruby or Perl; an extension is started by the "
        "operating system, not by the function's runtime.",
    ),
    Rule(
        "windows-line-ends",
        ERROR,
        "Line ends of Windows",
        "The kernel takes the carriage return for a part of the interpreter's name: `/bin/bash^M: bad "
        "interpreter`, `no such file or directory`.",
    ),
    Rule(
        "no-shebang",
        ERROR,
        "A script without a first line",
        "A file that is neither a program nor begins with `#!` cannot be started: `exec format error`.",
    ),
    Rule(
        "import-not-vendored",
        ERROR,
        "A script imports what nobody brings",
        "A bootstrap or an extension is started before the function, with the search path of the plain "
        "interpreter. What it imports must lie beside it, or it must put the directory on its path. "
        "`requests` is not in the runtimes, only boto3 and what it needs.",
    ),
    Rule(
        "no-init-error",
        WARNING,
        "The bootstrap reports no failed start",
        "Without a `POST` to `/runtime/init/error` a handler that cannot be loaded ends as "
        "`Runtime.ExitError`, and the caller does not learn why.",
    ),
    Rule(
        "no-answer",
        ERROR,
        "The bootstrap never answers",
        "It asks for invocations and posts neither a response nor an error. The Runtime API then gives the "
        "same event again and again, and the handler runs until the timeout.",
    ),
    Rule(
        "handler-not-on-path",
        WARNING,
        "The bootstrap does not look in the function's code",
        "The search path of a Python script in a layer begins with `/opt`, and `/var/task` is not on it: the "
        "import of the handler fails unless the script adds `LAMBDA_TASK_ROOT`.",
    ),
    Rule(
        "environment-none",
        WARNING,
        "An environment variable is set to a header that may be absent",
        "`os.environ[...] = None` raises `TypeError`; the trace header is not always there.",
    ),
    Rule(
        "no-subscription",
        WARNING,
        "A telemetry extension that subscribes to nothing",
        "Logs and metrics come only to extensions that subscribe with `PUT /2022-07-01/telemetry` (or the "
        "older Logs API); this one would wait for ever and ship nothing.",
    ),
)
