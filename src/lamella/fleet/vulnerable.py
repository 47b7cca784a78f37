"""Which layer versions have packages with known vulnerabilities."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from botocore.exceptions import ClientError

from lamella.fleet.errors import FleetError
from lamella.fleet.inspection import Opener
from lamella.fleet.reading import PARALLEL, Progress
from lamella.layers.doctor import Advisories
from lamella.layers.doctor.advisories import AdvisoriesError
from lamella.layers.errors import LayerReadError
from lamella.layers.packages import packages_of


def load_advisories(path: Path) -> Advisories:
    """Known vulnerabilities, from a file or directory.

    Raises:
        FleetError: It cannot be read.
    """
    try:
        return Advisories.load(path)
    except AdvisoriesError as error:
        raise FleetError(str(error)) from error


def known_vulnerabilities(
    arns: Sequence[str], opener: Opener, advisories: Advisories, progress: Progress
) -> Mapping[str, Sequence[str]]:
    """Vulnerabilities in words, by ARN of the layer version; of those that have none, nothing.

    Raises:
        FleetError: A layer version cannot be looked into: an audit that leaves it out would call it sound.
    """

    def look(arn: str) -> list[str]:
        try:
            with opener(arn) as contents:
                packages = packages_of(contents)
        except (ClientError, LayerReadError) as error:
            raise FleetError(f"{arn} cannot be looked into: {error}") from error
        return sorted(
            f"{package.name} {package.version}: {advisory.id}" + (f", mended in {fixed}" if fixed else "")
            for package in packages
            for advisory, fixed in advisories.of(package)
        )

    found = {}
    with ThreadPoolExecutor(PARALLEL) as pool:
        for number, (arn, one) in enumerate(zip(arns, pool.map(look, arns), strict=True)):
            progress("looking into layers", number + 1, len(arns))
            if one:
                found[arn] = one
    return found
