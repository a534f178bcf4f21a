"""A transport for the Kubernetes adapter that sends nothing: it notes each request as the right that it takes."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: (API group, resource with its subresource, verb).
Right = tuple[str, str, str]


class Content:
    """A body that comes in one piece."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self._text


@dataclass
class Response:
    """aiohttp's part of an answer."""

    content: Content


@dataclass
class Answer:
    """What the adapter reads of a response."""

    response: Response
    status: int = 200


@dataclass
class RecordingApi:
    """The two methods of kubernetes.aio's ApiClient that the adapter calls."""

    #: An object that is enough of everything to be parsed.
    body: Mapping[str, Any] = field(
        default_factory=lambda: {
            "metadata": {"namespace": "team", "name": "one", "uid": "1", "resourceVersion": "7"},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "one"}}},
            "items": [],
        }
    )
    rights: set[Right] = field(default_factory=set)

    async def param_serialize(
        self,
        method: str,
        path: str,
        query_params: Sequence[tuple[str, str]] = (),
        header_params: Mapping[str, str] | None = None,
        body: object = None,
        auth_settings: Sequence[str] = (),
    ) -> tuple[str, str, Sequence[tuple[str, str]]]:
        return method, path, query_params

    async def call_api(
        self, method: str, path: str, query: Sequence[tuple[str, str]], _request_timeout: float
    ) -> Answer:
        self.rights.add(right_of(method, path, watched=("watch", "true") in query))
        return Answer(Response(Content(json.dumps(self.body).encode())))


def right_of(method: str, path: str, *, watched: bool = False) -> Right:
    """As the API server's authorizer reads it: /apis/GROUP/VERSION[/namespaces/NAMESPACE]/RESOURCE[/NAME[/SUB]]."""
    kind, *parts = path.strip("/").split("/")
    group = parts.pop(0) if kind == "apis" else ""
    parts.pop(0)  # the version
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    resource, *name = parts
    if not name:
        verb = {"GET": "watch" if watched else "list", "POST": "create", "DELETE": "deletecollection"}[method]
    else:
        verb = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
    return group, "/".join((resource, *name[1:])), verb
