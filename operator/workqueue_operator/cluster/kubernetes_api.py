"""Requests to the API server: the only importer of the kubernetes client.

Requests go through the client's own transport (login, TLS, token rotation) and stay dictionaries until the caller's
`parse` reads them, as the client's generated models cost more than the call for every pod of a list. An answer has a
bound, and is read and parsed inside `call`: whatever the API server or a proxy in front of it answers is a value or a
ClusterError.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp  # only for the exceptions that the client's transport raises
from kubernetes.aio import client, config
from workqueue_broker.foreign_text import MOST_CHARACTERS, foreign_text

from workqueue_operator.cluster.kubernetes_values import FIELD_MANAGER
from workqueue_operator.cluster.port import ClusterError, ClusterUnavailable, Conflict, Forbidden, NotFound, Rejected
from workqueue_operator.cluster.slots import Slots

REQUEST_TIMEOUT_SECONDS = 10.0
#: Requests under way at once; a cluster's API server is shared with others.
CONCURRENT_REQUESTS = 16
#: Bytes of an answer. One object fits into it: etcd takes none of more than 1.5 MiB (its --max-request-bytes).
MOST_BYTES = 4 * 2**20
#: Objects in a page of a list; a page that is larger than an answer may be is asked for again with a quarter.
PAGE_OBJECTS = 200
#: Objects of a list, and its pages: a list without an end comes from no API server.
MOST_OBJECTS = 100_000

APPLY_PATCH = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"

Query = Sequence[tuple[str, str]]
T = TypeVar("T")


class AnswerTooLarge(ClusterUnavailable):
    """An answer of more than MOST_BYTES; it was not read to its end."""


class KubernetesApi:
    """An API server, a few requests at a time, of which each namespace has its share."""

    def __init__(self, api_client: client.ApiClient) -> None:
        self._client = api_client
        self._slots = Slots(CONCURRENT_REQUESTS)

    async def call(
        self,
        method: str,
        where: str,
        parse: Callable[[Mapping[str, Any]], T],
        *,
        body: Any = None,
        query: Query = (),
        content_type: str = "application/json",
    ) -> T:
        """What `parse` makes of the answer's object; raises a ClusterError for whatever else comes."""
        try:
            async with self._slots.of(_namespace_of(where)):
                status, text = await self._exchange(method, where, body, query, content_type)
            if not 200 <= status < 300:
                raise _refusal(status, text)
            return parse(_object(text))
        except ClusterError as error:
            raise type(error)(f"{method} {where}: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ClusterUnavailable(f"{method} {where}: {_words(error)}") from error
        except Exception as error:  # the border: a foreign answer may break its reader in any way
            text_of_it = f"the answer is not of an API server ({_words(error)}); is there a proxy in front of it?"
            raise ClusterUnavailable(f"{method} {where}: {text_of_it}") from error

    async def list(self, where: str, parse: Callable[[Mapping[str, Any]], T | None], query: Query = ()) -> list[T]:
        """What `parse` makes of each object of a list, page by page; None is left out."""
        found: list[T] = []
        limit, token, pages = PAGE_OBJECTS, "", 0
        while True:
            place = [("limit", str(limit)), *([("continue", token)] if token else [])]
            try:
                page, token = await self.call("GET", where, partial(_page, parse), query=[*query, *place])
            except AnswerTooLarge:
                if limit == 1:
                    raise
                limit = max(1, limit // 4)
                continue
            found += page
            pages += 1
            if not token:
                return found
            if max(len(found), pages) > MOST_OBJECTS:
                raise ClusterUnavailable(f"GET {where}: the list has more than {MOST_OBJECTS} objects")

    async def _exchange(
        self, method: str, where: str, body: Any, query: Query, content_type: str
    ) -> tuple[int, bytearray]:
        headers = {"Accept": "application/json", "Content-Type": content_type}
        written = [] if method == "GET" else [("fieldManager", FIELD_MANAGER)]
        request = await self._client.param_serialize(
            *(method, where),
            query_params=[*query, *written],
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=REQUEST_TIMEOUT_SECONDS)
        return answer.status, await _bounded(answer.response)


def path(*segments: str) -> str:
    """An API path. Each segment is quoted, and none may lead out of its place; raises Rejected."""
    for segment in segments:
        if segment in ("", ".", ".."):
            raise Rejected(f"{segment!r} cannot be the name of an object; the path would be another's")
    return "".join(f"/{quote(segment, safe='', errors='replace')}" for segment in segments)


def _namespace_of(where: str) -> str:
    """The namespace that a path is in; "" for one of the whole cluster."""
    return where.partition("/namespaces/")[2].partition("/")[0]


async def load_client() -> client.ApiClient:
    """A client for the API server: by the service account in a pod, else by KUBECONFIG's current context."""
    configuration = client.Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(configuration)
    else:
        await config.load_kube_config(client_configuration=configuration)
    return client.ApiClient(configuration)


async def _bounded(response: aiohttp.ClientResponse) -> bytearray:
    """The answer's bytes, decompressed; what is not read to its end is closed, so that it holds no connection."""
    text = bytearray()
    try:
        async for part in response.content.iter_any():
            text += part
            if len(text) > MOST_BYTES:
                raise AnswerTooLarge(f"the answer has more than {MOST_BYTES} bytes")
    except BaseException:
        response.close()
        raise
    return text


def _object(text: bytes | bytearray) -> Mapping[str, Any]:
    value = json.loads(text)
    if not isinstance(value, Mapping):
        raise ValueError("no JSON object")
    return value


def _page(parse: Callable[[Mapping[str, Any]], T | None], answer: Mapping[str, Any]) -> tuple[list[T], str]:
    found = [value for item in answer["items"] if (value := parse(item)) is not None]
    return found, str((answer.get("metadata") or {}).get("continue") or "")


def _refusal(status: int, text: bytes | bytearray) -> ClusterError:
    rejected = dict.fromkeys((400, 413, 422), Rejected)
    errors = {401: Forbidden, 403: Forbidden, 404: NotFound, 409: Conflict, **rejected}
    return errors.get(status, ClusterUnavailable)(f"{status} {_message(text)}".strip())


def _message(text: bytes | bytearray) -> str:
    """The API server's own words; of anything else its first characters."""
    try:
        return foreign_text(str(_object(text).get("message") or ""))
    except (ValueError, RecursionError):  # no JSON, or too deep: what matters is the status
        return foreign_text(text[: 2 * MOST_CHARACTERS].decode("utf-8", errors="replace"))


def _words(error: Exception) -> str:
    """The type always, as many errors of time have no text."""
    return foreign_text(f"{type(error).__name__}: {error}".removesuffix(": "))
