"""The buckets of the pipeline and of MLflow, made where they are missing: ``python buckets.py vae-pipeline mlflow``.

It runs in MLflow's image, so it knows boto3 and nothing of this project.
"""

import argparse
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

__all__ = ["main"]

_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}


def main() -> int:
    """Make the buckets that are named, in the store that ``AWS_ENDPOINT_URL`` names; 1 where that does not work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("buckets", nargs="+", metavar="BUCKET")
    store = boto3.client("s3", config=Config(retries={"mode": "standard", "total_max_attempts": 10}))
    for bucket in parser.parse_args().buckets:
        try:
            store.create_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _THERE:
                print(f"{bucket}: cannot be made: {error}", file=sys.stderr)
                return 1
        except BotoCoreError as error:
            print(f"{bucket}: cannot be made: {error}", file=sys.stderr)
            return 1
        print(f"{bucket}: is there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
