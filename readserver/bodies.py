"""Request bodies, bounded."""

from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

# The second is what `curl -d` says of any body.
_TAKEN: Final = (b"application/json", b"application/x-www-form-urlencoded")


async def read_json(scope: Scope, receive: Receive, largest: int) -> bytes:
    """The whole body. Raises HTTPException: 413 for one of more than `largest` bytes, 415 for what
    says it is no JSON, 400 when the client goes away."""
    for name, value in scope["headers"]:
        if name == b"content-type" and not is_json(value):
            raise HTTPException(415, "the body is application/json")
        if name == b"content-length" and int(value) > largest:
            raise HTTPException(413, f"the body has more than {largest} bytes")
    pieces, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HTTPException(400, "the body ended early")
        piece = message.get("body", b"")
        size += len(piece)
        if size > largest:
            raise HTTPException(413, f"the body has more than {largest} bytes")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip().lower()
    return media_type in _TAKEN or media_type.endswith(b"+json")
