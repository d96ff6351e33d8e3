"""Words as Kubernetes' API admits them, each refused with what it should look like."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"


def _whole(pattern: str, form: str) -> AfterValidator:
    """A check that a whole text has this form."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"must be {form}")
        return text

    return AfterValidator(check)


# RFC 1123: a namespace, a volume, a host name.
DnsLabel = Annotated[str, _whole(_DNS_LABEL, "at most 63 lower-case letters, digits and '-', with no '-' at either end")]
# RFC 1035: what is also a service's name.
JobName = Annotated[
    str, _whole(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", "at most 63 lower-case letters, digits and '-', a letter first, no '-' last")
]
DnsName = Annotated[
    str, _whole(rf"(?=.{{1,253}}\Z){_DNS_NAME}", "lower-case letters, digits and '-' in parts with dots between, at most 253")
]
LabelKey = Annotated[
    str,
    _whole(
        rf"((?=[^/]{{1,253}}/){_DNS_NAME}/)?{_LABEL}", "at most 63 letters, digits, '-', '_' and '.', a DNS name and '/' before it if any"
    ),
]
LabelValue = Annotated[str, _whole(f"({_LABEL})?", "at most 63 letters, digits, '-', '_' and '.', with a letter or digit at either end")]
EnvName = Annotated[str, _whole(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and '_', with no digit first")]
SecretKey = Annotated[str, _whole(r"[A-Za-z0-9_.-]{1,253}", "at most 253 letters, digits, '-', '_' and '.'")]
Memory = Annotated[str, _whole(r"[1-9][0-9]*([KMGTPE]i|[kMGTPE])?", "bytes such as 64Gi or 500M")]
Cores = Annotated[str, _whole(r"(?=.*[1-9])[0-9]+(\.[0-9]{1,3}|m)?", "a number of cores such as 8, 1.5 or 1500m")]
MountPath = Annotated[str, _whole(r"(?!.*/\.\.(/|\Z))/[^\0:]+", "an absolute path below /, without ':' and '..'")]
