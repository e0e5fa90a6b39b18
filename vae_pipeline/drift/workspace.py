"""All kept reports as a workspace of Evidently's own UI: ``python -m vae_pipeline.drift.workspace`` (``make reports``).

Prints the folder, for ``evidently ui --workspace``.
"""

import sys

from vae_pipeline.drift.daily import kept_reports
from vae_pipeline.drift.report import add_to_workspace
from vae_pipeline.environment import prepare_environment
from vae_pipeline.errors import VaePipelineError
from vae_pipeline.settings import load_settings
from vae_pipeline.storage import open_storage

__all__ = ["main"]


def main() -> int:
    """Add what is new to ``<home>/reports`` and print that folder; gives the exit status."""
    prepare_environment()
    try:
        settings = load_settings()
        storage, workspace = open_storage(settings), settings.home / "reports"
        added = add_to_workspace(workspace, [storage.folder(key) for key in kept_reports(storage)])
    except VaePipelineError as error:
        print(f"reports: {error}", file=sys.stderr)
        return 1
    print(f"{added} new reports in {workspace}", file=sys.stderr)
    print(workspace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
