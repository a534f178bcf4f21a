"""What is known of an image that is not run."""

import pytest
from workqueue_operator.cluster.local.image import is_ours, repository_of


@pytest.mark.parametrize(
    ("image", "ours"),
    [
        ("workqueue-worker", True),
        ("registry:5000/team/workqueue-worker:0.1.0@sha256:4f5e", True),
        ("localhost/workqueue/worker:0.1.0", True),
        ("registry/worker:0.1.0", False),
        ("my-workqueue-worker", False),
    ],
)
def test_an_image_of_ours_is_known_by_its_name(image: str, ours: bool) -> None:
    assert is_ours(repository_of(image)) is ours
