"""``python -m infra.services``: run them until Ctrl-C, and say with which settings the pipeline uses them."""

import argparse
import os
import shlex
import signal
import sys
from pathlib import Path

from infra.services.together import Services, why_not

_PROJECT = Path(__file__).parents[2]


def main() -> int:
    """Start the services, write the file of settings, wait."""
    parser = argparse.ArgumentParser(prog="python -m infra.services", description=__doc__)
    home = os.environ.get("VAE_PIPELINE_HOME") or ".vae_pipeline"
    parser.add_argument("--folder", type=Path, default=Path(home) / "services", help="where they keep their files")
    folder = parser.parse_args().folder.resolve()
    if reason := why_not():
        print(f"error: {reason}", file=sys.stderr)
        return 1
    print("Starting PostgreSQL, SeaweedFS (S3) and MLflow: half a minute the first time.", flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Services(folder) as services:
            dagster = folder / "dagster"
            services.write_dagster_home(dagster, _PROJECT / "dagster.yaml")
            variables = {**services.settings(services.mlflow()), "DAGSTER_HOME": str(dagster)}
            settings = folder / "settings.sh"
            settings.touch(0o600)
            settings.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
            print(f"Running. In another terminal: source {settings}; make demo\nCtrl-C ends them.", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("Ended; what they keep stays.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
