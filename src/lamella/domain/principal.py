"""A service of AWS that invokes functions, such as S3 for the notifications of a bucket."""

from collections.abc import Iterator
from dataclasses import dataclass

from lamella.domain.policy import Access, Caller


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """A service, and for whose resource it acts.

    Attributes:
        names: Those it is known by in policies: `s3.amazonaws.com`, or with CloudWatch Logs also the one of its region.
        source_arn: Of the bucket, topic, rule or the like; empty if it has none.
        source_account: Whose that is; empty if it is nobody's.
    """

    names: tuple[str, ...]
    source_arn: str = ""
    source_account: str = ""

    def accesses(self, action: str, resource: str) -> Iterator[Access]:
        """What it wants to do, under each of its names."""
        known = {"aws:sourcearn": self.source_arn, "aws:sourceaccount": self.source_account}
        context = {key: value for key, value in known.items() if value}
        for name in self.names:
            yield Access(Caller(service=name), action, resource, context)
