"""Run by `helm test`: the operator answers that it is healthy, and its account may list WorkQueues.

Arguments: the operator's host and port, and the namespaces that it serves (none: the whole cluster).
"""

import json
import os
import ssl
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

ACCOUNT = Path(os.environ.get("ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount"))
RESOURCES = "/apis/workqueue.dev/v1alpha1"
TIMEOUT_SECONDS = 10


def main(host, port, *namespaces):
    status, text = get(HTTPConnection(host, int(port), timeout=TIMEOUT_SECONDS), "/healthz")
    print(f"http://{host}:{port}/healthz: {status}: {text.strip()}")
    passed = status == 200
    for path in [f"{RESOURCES}/namespaces/{name}/workqueues" for name in namespaces] or [f"{RESOURCES}/workqueues"]:
        status, text = get(api_server(), f"{path}?limit=1", (ACCOUNT / "token").read_text())
        found = f"{len(json.loads(text)['items'])} or more" if status == 200 else text.strip()
        print(f"{path}: {status}: {found}")
        passed = passed and status == 200
    return 0 if passed else 1


def api_server():
    trust = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    port = int(os.environ["KUBERNETES_SERVICE_PORT"])
    return HTTPSConnection(os.environ["KUBERNETES_SERVICE_HOST"], port, timeout=TIMEOUT_SECONDS, context=trust)


def get(connection, path, token=None):
    """Status and body; status 0 and the error when there is no answer."""
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return 0, f"no answer: {error!r}. Is it running, and does a NetworkPolicy let this pod connect?"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
