"""Known vulnerabilities, from a file of records in the Open Source Vulnerability format."""


class Advisories:
    """Advisories by package."""
