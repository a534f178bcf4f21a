"""The operator on fakes, at both speeds of its passes."""

import pytest

from tests.support.passes import Operator


@pytest.fixture(params=[1.0, 0.2], ids=["a pass a second", "five a second"])
def operator(request: pytest.FixtureRequest) -> Operator:
    return Operator(period=request.param)
