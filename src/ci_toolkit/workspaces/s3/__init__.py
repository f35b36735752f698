"""A workspace in an S3 bucket; one of the places that keep files."""

from ci_toolkit.workspaces.s3.workspace import S3Workspace

__all__ = ["S3Workspace"]
