"""What the documents say can be typed, to be run by tests."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

PROJECT = Path(__file__).parents[2]


def client() -> ModuleType:
    """The example client."""
    spec = importlib.util.spec_from_file_location("client", PROJECT / "docs/examples/client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def curl_lines(page: str, documented: str, port: int, instead: Mapping[str, str]) -> list[str]:
    """The lines of a page that ask a service on the port it is ``documented`` on, with another port and other words."""
    lines = (PROJECT / page).read_text().splitlines()
    asking = [line for line in lines if line.startswith("curl ") and f":{documented}/" in line]
    for word, other in {f":{documented}/": f":{port}/", **instead}.items():
        asking = [line.replace(word, other) for line in asking]
    return asking
