"""Whether class files fit the declared versions of Java."""

from collections.abc import Iterator

from lamella.layers.doctor.subject import Subject, others
from lamella.layers.facts import CLASS_VERSION, Language
from lamella.layers.findings import Finding


def class_files(subject: Subject) -> Iterator[Finding]:
    """Jars and class files for a newer Java than the runtime's."""
    for layer in subject.layers:
        for runtime in subject.of(Language.JAVA):
            newer = [
                (facts.class_version, name, facts.newest_class)
                for name, facts in layer.survey.files.items()
                if name.startswith("java/") and runtime.class_version and facts.class_version > runtime.class_version
            ]
            if not newer:
                continue
            version, name, example = max(newer)
            names = [name, *(other for _, other, _ in newer if other != name)]
            java = next((java for java, number in CLASS_VERSION.items() if number == version), str(version - 44))
            yield layer.finding(
                "class-too-new",
                name,
                f"{example} in it is compiled for Java {java} (class file version {version}){others(names)}, and "
                f"{runtime.name} loads up to {runtime.class_version}: UnsupportedClassVersionError.",
                f"Compile with --release {runtime.version}, take an older version, or declare java{java}",
                runtime=runtime.name,
            )
