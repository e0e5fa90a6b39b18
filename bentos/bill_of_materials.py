"""What the services load as a CycloneDX bill of materials: ``python bentos/bill_of_materials.py``, part of `make lock`.

Addresses of an index are left out: where packages come from is the installer's affair, and hashes say which they are.
"""

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Write ``sbom.cdx.json`` from ``requirements.txt``."""
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(FOLDER / "requirements.txt")]
    made = subprocess.run([*command, "--output-reproducible"], capture_output=True, check=True)
    bill = json.loads(made.stdout)
    for component in bill["components"]:
        del component["description"]
        component["hashes"] = [entry for place in component.pop("externalReferences") for entry in place["hashes"]]
    for tool in bill["metadata"].get("tools", {}).get("components", []):
        tool.pop("externalReferences", None)
    (FOLDER / "sbom.cdx.json").write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
