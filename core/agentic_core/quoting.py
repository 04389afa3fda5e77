"""What another program said, made fit to show: without credentials, and bounded. Errors that quote peers call it."""

import re

CREDENTIAL = re.compile(
    r"\b(?:(?:sk|agk|key)[-_]|Bearer +)[A-Za-z0-9._-]{8,}"  # keys of providers and of the platform, headers
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # tokens: JWT
)
MAX_CHARACTERS = 500


def quoted(text: str) -> str:
    """The text with `***` for what looks like a credential, cut after `MAX_CHARACTERS`."""
    return CREDENTIAL.sub("***", text)[:MAX_CHARACTERS]
