"""`upload_to` and `download_from` of an AgentCore sandbox: one program, one call each."""

from collections.abc import Mapping

from ci_toolkit.backends.errands.errands import Errands
from ci_toolkit.backends.errands.refusals import number, outcomes, refusal
from ci_toolkit.backends.transfers import Transferred
from ci_toolkit.errors import WriteFailedError

__all__ = ["download", "upload"]

# Within the service's 15 minutes for a call.
_SECONDS = 840.0


def upload(
    errands: Errands, path: str, url: str, headers: Mapping[str, str], *, sha256: str
) -> Transferred:
    """Sends a file; see `Transfers.upload_to`."""
    header: dict[str, object] = {
        "verb": "upload",
        "path": path,
        "url": url,
        "headers": dict(headers),
    }
    done = _run(errands, header, path, verb="read")
    if sha256 and done.error is None and done.sha256 != sha256:
        text = f"{path[:300]!r} was changed before it was sent; what was stored is not it."
        return Transferred(path=path, error=WriteFailedError(text))
    return done


def download(
    errands: Errands, url: str, path: str, headers: Mapping[str, str], *, sha256: str
) -> Transferred:
    """Fetches a file; see `Transfers.download_from`."""
    header: dict[str, object] = {
        "verb": "download",
        "path": path,
        "url": url,
        "headers": dict(headers),
        "sha256": sha256,
    }
    return _run(errands, header, path, verb="write")


def _run(errands: Errands, header: dict[str, object], path: str, *, verb: str) -> Transferred:
    reply = errands.run("transfer", header, patience=_SECONDS)
    (found,) = outcomes([reply.header.get("outcome")], least=1, most=1)
    error = refusal(found, path, verb=verb)
    if error is not None:
        return Transferred(path=path, error=error)
    return Transferred(path=path, size=number(found, "size"), sha256=str(found.get("sha256", "")))
