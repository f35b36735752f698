"""The local backend: real kernels in a real sandbox on this machine; the sandbox of the flow."""

from ci_toolkit.backends.local.backend import LocalBackend

__all__ = ["LocalBackend"]
