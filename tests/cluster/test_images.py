"""What is in the images, asked from inside them."""

import pytest
from kube import Kube, images
from waiting import wait_until
from work import producer_pod

LOOK = """
import importlib.util, os, sys
found = [name for name in ("kopf", "kubernetes", "aiohttp", "pip") if importlib.util.find_spec(name)]
try:
    open("/etc/written", "w")
    found.append("a writable root")
except OSError:
    pass
if os.getuid() == 0:
    found.append("root")
print(found)
sys.exit(bool(found))
"""


@pytest.mark.parametrize("part", ["worker", "producer"])
def test_it_holds_nothing_of_the_operator_and_runs_as_nobody(kube: Kube, namespace: str, part: str) -> None:
    pod = producer_pod(namespace)
    image = images()[part]
    pod["spec"]["restartPolicy"] = "Never"
    pod["spec"]["containers"][0] |= {
        "image": f"{image['repository']}:{image['tag']}",
        "command": ["python", "-c", LOOK],
    }
    kube.apply(pod)
    ended = ("Succeeded", "Failed")
    phase = wait_until(
        lambda: (found := kube.get("pod", "producer", "-n", namespace)["status"].get("phase")) in ended and found,
        60,
        "the pod has looked",
    )
    assert phase == "Succeeded", kube.kubectl("logs", "producer", "-n", namespace)
