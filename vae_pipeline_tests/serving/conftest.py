"""Every packed model in turn."""

import pytest


@pytest.fixture(params=["table", "sound", "image", "pair"])
def packed(request):
    return request.getfixturevalue(f"packed_{request.param}")
