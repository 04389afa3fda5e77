"""The bearer token of an Authorization header (RFC 6750), parsed the same way by every program."""


def token(authorization: str | bytes | None) -> str | None:
    """The token, None when the header is absent, empty or of another scheme."""
    if authorization is None:
        return None
    text = authorization.decode("latin-1") if isinstance(authorization, bytes) else authorization
    scheme, _, credential = text.partition(" ")
    return (credential.strip() or None) if scheme.lower() == "bearer" else None
