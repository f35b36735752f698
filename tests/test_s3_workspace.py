"""The workspace in S3 keeps the contract on moto, in this process and over HTTP, and S3's rules."""

import re
import shlex
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import repeat
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from ci_toolkit import CodeInterpreter, Scope
from ci_toolkit.backends.local import LocalBackend
from ci_toolkit.backends.memory import InMemoryBackend
from ci_toolkit.errors import (
    ConfigurationError,
    WorkspaceConflictError,
    WorkspaceError,
    WorkspaceFileMissingError,
)
from ci_toolkit.testing import WorkspaceContract
from ci_toolkit.testing.workspaces import ODD_KEYS
from ci_toolkit.workspaces import CHUNK, Presigned, PresignedRequest, S3Workspace, Workspace
from ci_toolkit.workspaces.s3.errors import ACTIONS, CODES, EXCEPTIONS, told
from ci_toolkit.workspaces.s3.transfer import PARALLEL, PART, _cut

KMS = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
BUCKET = "files"
SESSION = boto3.Session()  # one for all, because it keeps what a client has to load


def connect(url: str | None, **config: Any) -> Any:
    """A client as the workspace makes it, for another place; it gives up soon."""
    settings = {"signature_version": "s3v4", "s3": {"addressing_style": "path"}} | config
    return SESSION.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="id",
        aws_secret_access_key="secret",
        config=Config(read_timeout=10, max_pool_connections=32, **settings),
    )


class _Precise:
    """moto behind one door: it checks a condition and stores in two steps, as S3 does not.

    It also ignores If-Match where an upload in parts is completed.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environment["REQUEST_METHOD"] == "GET":
            answer: Iterable[bytes] = self._app(environment, start)
            return answer
        with self._lock:
            return list(self._app(environment, start))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of moto over HTTP."""
    app = _Precise(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(server: str) -> Iterator[Any]:
    """A client of moto over HTTP, with an empty bucket."""
    with urlopen(Request(f"{server}/moto-api/reset", method="POST")):
        pass
    client = connect(server)
    client.create_bucket(Bucket=BUCKET)
    yield client
    client.close()


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of moto in this process, with an empty bucket."""
    lock = threading.Lock()
    answer = BotocoreStubber.__call__

    def one_at_a_time(self: BotocoreStubber, *args: Any, **more: Any) -> Any:
        with lock:
            return answer(self, *args, **more)

    monkeypatch.setattr(BotocoreStubber, "__call__", one_at_a_time)
    with mock_aws():
        client = connect(None)
        client.create_bucket(Bucket=BUCKET)
        yield client


class TestS3InThisProcess(WorkspaceContract):
    many: ClassVar[int] = 100  # pages are turned over HTTP

    @pytest.fixture
    def workspace(self, inside: Any) -> S3Workspace:
        return S3Workspace(BUCKET, client=inside)


class TestS3OverHttp(WorkspaceContract):
    @pytest.fixture
    def workspace(self, remote: Any) -> S3Workspace:
        return S3Workspace(BUCKET, prefix="team/agents", client=remote)

    # The web framework below moto's server takes no line break in a path; S3 does.
    @pytest.mark.parametrize("key", [key for key in ODD_KEYS if "\n" not in key])
    def test_odd_keys_are_keys_like_others(self, workspace: Workspace, key: str) -> None:
        super().test_odd_keys_are_keys_like_others(workspace, key)


def content(workspace: S3Workspace, key: str) -> bytes:
    return b"".join(workspace.open(key))


def keys(workspace: S3Workspace, prefix: str = "") -> list[str]:
    return [stored.key for stored in workspace.list(prefix)]


def unfinished(client: Any) -> list[Any]:
    found: list[Any] = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    return found


# Settings -----------------------------------------------------------------------------------


def test_boto3_is_imported_with_the_first_use_only() -> None:
    script = (
        "import sys, ci_toolkit, ci_toolkit.workspaces as w; print('boto3' in sys.modules);"
        "print(w.S3Workspace.__name__, 'boto3' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "S3Workspace", "True"]


def test_a_client_is_made_from_the_settings_of_the_machine() -> None:
    with mock_aws():
        workspace = S3Workspace("files", prefix="a/b/")
        connect(None).create_bucket(Bucket="files")
        workspace.put("x", [b"x"])
        assert content(workspace, "x") == b"x"
    assert repr(workspace) == "S3Workspace('files', prefix='a/b/')"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bucket": ""}, "is no bucket"),
        ({"bucket": "s3://files/a"}, "plain name or an ARN"),
        ({"bucket": "files", "prefix": "/a"}, "is no prefix"),
        ({"bucket": "files", "prefix": "a//b"}, "is no prefix"),
        ({"bucket": "files", "tags": {"team": "r&d"}}, "is no tag of S3"),
        ({"bucket": "files", "tags": {f"tag-{n}": "" for n in range(11)}}, "at most 10 tags"),
    ],
)
def test_what_cannot_be_used_is_a_configuration_error(
    arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        S3Workspace(**arguments)


def test_an_unknown_profile_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(ConfigurationError, match="no-such-profile"):
        S3Workspace("files")


def test_a_prefix_keeps_two_workspaces_of_one_bucket_apart(inside: Any) -> None:
    one, other = (S3Workspace(BUCKET, prefix=name, client=inside) for name in ("a", "a-b"))
    one.put("x", [b"one"])
    other.put("x", [b"other"])
    assert (content(one, "x"), content(other, "x")) == (b"one", b"other")
    assert (keys(one), keys(other)) == (["x"], ["x"])
    assert keys(S3Workspace(BUCKET, client=inside)) == ["a-b/x", "a/x"]


def test_a_key_and_a_prefix_that_are_too_long_together_are_refused(inside: Any) -> None:
    workspace = S3Workspace(BUCKET, prefix="p" * 24, client=inside)
    with pytest.raises(WorkspaceError, match="1024 bytes together"):
        workspace.put("k" * 1000, [b""])


def test_objects_that_are_no_files_of_a_workspace_are_not_listed(inside: Any) -> None:
    inside.put_object(Bucket=BUCKET, Key="folder/")
    inside.put_object(Bucket=BUCKET, Key="folder/a", Body=b"a")
    assert keys(S3Workspace(BUCKET, client=inside)) == ["folder/a"]


@pytest.mark.parametrize("size", [10, PART + 1])
def test_media_type_kms_key_and_tags_arrive(remote: Any, size: int) -> None:
    workspace = S3Workspace(
        BUCKET, client=remote, kms_key_id=KMS, tags={"team": "r+d=1", "cost centre": "7"}
    )
    workspace.put("a", [bytes(size)], media_type="image/png")
    head = remote.head_object(Bucket=BUCKET, Key="a")
    tags = remote.get_object_tagging(Bucket=BUCKET, Key="a")["TagSet"]
    assert (head["ContentType"], head["ContentLength"]) == ("image/png", size)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", KMS)
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"team": "r+d=1", "cost centre": "7"}


# Uploads in parts ---------------------------------------------------------------------------


def test_the_parts_of_a_file_are_its_bytes_whatever_the_pieces() -> None:
    data = bytes(range(256)) * (3 * PART // 256) + b"end"
    pieces = [data[:1], data[1 : PART - 1], b"", data[PART - 1 : PART + 5], data[PART + 5 :]]
    parts = list(_cut(pieces))
    assert [(len(part), last) for part, last in parts] == [(PART, False)] * 3 + [(3, True)]
    assert b"".join(part for part, _ in parts) == data
    assert list(_cut([])) == [(b"", True)]
    assert [last for _, last in _cut([bytes(PART)])] == [True]


def test_a_file_of_forty_mebibytes_travels_in_parts_and_back(remote: Any) -> None:
    workspace = S3Workspace(BUCKET, client=remote)
    digest = sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(640):
            piece = number.to_bytes(2, "big") * (CHUNK // 32)
            digest.update(piece)
            yield piece

    stored = workspace.put("large", pieces())
    assert stored.size == 40 * CHUNK
    assert stored.etag.endswith('-5"')
    assert list(workspace.list("")) == [stored]
    read = sha256()
    for piece in workspace.open("large"):
        read.update(piece)
    assert read.digest() == digest.digest()
    assert unfinished(remote) == []


@pytest.mark.parametrize("size", [1, PART, PART + 1, 3 * PART])
def test_content_that_breaks_leaves_no_parts_behind(inside: Any, size: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield bytes(size)
        raise WorkspaceFileMissingError("of another workspace")

    workspace = S3Workspace(BUCKET, client=inside)
    with pytest.raises(WorkspaceFileMissingError, match="of another workspace"):
        workspace.put("a", pieces())
    assert (unfinished(inside), keys(workspace)) == ([], [])


def test_conditions_hold_for_uploads_in_parts(inside: Any) -> None:
    workspace = S3Workspace(BUCKET, client=inside)
    first = workspace.put("a", [bytes(2 * PART)], if_absent=True)
    with pytest.raises(WorkspaceConflictError):
        workspace.put("a", [b"new" * PART], if_absent=True)
    assert list(workspace.list("")) == [first]
    assert unfinished(inside) == []


def test_conditions_that_exclude_each_other_hold_for_no_file(inside: Any) -> None:
    workspace = S3Workspace(BUCKET, client=inside)
    stored = workspace.put("a", [b"a"])
    for more in ({"if_absent": True, "if_match": stored.etag}, {"if_match": ""}):
        with pytest.raises(WorkspaceConflictError):
            workspace.put("a", [b"b"], **more)
    assert content(workspace, "a") == b"a"


# A store that answers as it is told ----------------------------------------------------------

Reply = tuple[int, dict[str, str], bytes]
Asked = list[tuple[str, str, dict[str, str]]]


@contextmanager
def scripted(reply: Callable[[str, str, dict[str, str]], Reply]) -> Iterator[tuple[Any, Asked]]:
    """A client of an HTTP server that answers as it is told, and what it was asked.

    A body that is shorter than the announced Content-Length breaks the connection.
    """
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            left = int(self.headers.get("Content-Length", 0))
            while left:
                left -= len(self.rfile.read(min(left, 65536)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked.append((self.command, self.path, headers))
            status, more, body = reply(self.command, self.path, headers)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | more).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
                if more.get("Content-Length", str(len(body))) != str(len(body)):
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    client = connect(f"http://127.0.0.1:{server.server_port}", retries={"total_max_attempts": 1})
    try:
        yield client, asked
    finally:
        client.close()
        server.shutdown()
        server.server_close()
        thread.join()


def refusal(
    status: int, code: str, *, region: str = "us-east-1", words: str = "It is so."
) -> Reply:
    told = f"<Code>{code}</Code><Message>{words}</Message><Region>{region}</Region>"
    headers = {"Content-Type": "application/xml", "x-amz-bucket-region": region}
    return status, headers, f"<Error>{told}</Error>".encode()


def use(workspace: S3Workspace, verb: str) -> object:
    verbs: dict[str, Callable[[], object]] = {
        "put": lambda: workspace.put("a", [b"a"]),
        "open": lambda: workspace.open("a"),
        "list": lambda: list(workspace.list("")),
        "delete": lambda: workspace.delete("a"),
    }
    return verbs[verb]()


@pytest.mark.parametrize("verb", ["put", "open", "list", "delete"])
@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (refusal(404, "NoSuchBucket"), "Create the bucket"),
        (
            refusal(301, "PermanentRedirect", region="eu-west-1"),
            "The bucket lies in the region eu-west-1",
        ),
        (
            refusal(400, "AuthorizationHeaderMalformed", region="eu-central-1"),
            "The bucket lies in the region eu-central-1",
        ),
        (refusal(400, "ExpiredToken"), "credentials have expired"),
        (refusal(403, "InvalidAccessKeyId"), "credentials are wrong or unknown"),
        (refusal(403, "RequestTimeTooSkewed"), "clock is wrong"),
        (refusal(403, "AccessDenied"), "s3:ListBucket on arn:aws:s3:::files"),
        (refusal(400, "KMS.DisabledException"), "The KMS key refuses"),
        (refusal(503, "SlowDown"), "try again later"),
        (refusal(501, "NotImplemented"), "does not do what the workspace needs"),
        (refusal(418, "BrandNewCode"), "BrandNewCode"),
        (refusal(503, "BrandNewCode"), "try again later"),
    ],
)
def test_every_verb_tells_the_operator_what_to_do(verb: str, reply: Reply, words: str) -> None:
    with scripted(lambda *_: reply) as (client, _):
        with pytest.raises(WorkspaceError, match=words) as caught:
            use(S3Workspace(BUCKET, client=client), verb)
        assert type(caught.value) is WorkspaceError
        assert "bucket 'files'" in str(caught.value)


@pytest.mark.parametrize(
    ("verb", "action"),
    [("put", "PutObject"), ("open", "GetObject"), ("list", "ListBucket"), ("delete", "Delete")],
)
def test_a_denied_verb_names_its_iam_action(verb: str, action: str) -> None:
    with scripted(lambda *_: refusal(403, "AccessDenied")) as (client, _):
        workspace = S3Workspace(BUCKET, prefix="team", client=client)
        with pytest.raises(WorkspaceError, match=rf"Allow s3:{action}.*:::files/team/\*"):
            use(workspace, verb)


def test_a_kms_key_that_denies_is_named_as_such() -> None:
    denied = refusal(403, "AccessDenied", words="not allowed to perform: kms:GenerateDataKey")
    with (
        scripted(lambda *_: denied) as (client, _),
        pytest.raises(WorkspaceError, match="kms:Decrypt on it in its key policy"),
    ):
        S3Workspace(BUCKET, client=client, kms_key_id=KMS).put("a", [b"a"])


def test_one_forbidden_key_leaves_the_others_readable() -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply:
        if path.endswith("/secret"):
            return refusal(403, "AccessDenied")
        return 200, {"ETag": '"e"'}, b"public"

    with scripted(reply) as (client, _):
        workspace = S3Workspace(BUCKET, client=client)
        with pytest.raises(WorkspaceError, match="GetObject of 'secret'"):
            workspace.open("secret")
        assert content(workspace, "public") == b"public"


def test_a_bucket_that_is_not_there_is_told(inside: Any) -> None:
    workspace = S3Workspace("no-such-bucket", client=inside)
    for verb in ("put", "open", "list", "delete"):
        with pytest.raises(WorkspaceError, match="Create the bucket") as caught:
            use(workspace, verb)
        assert type(caught.value) is WorkspaceError


def test_a_bucket_name_that_is_none_is_told(inside: Any) -> None:
    with pytest.raises(WorkspaceError, match="check the bucket name"):
        S3Workspace("no bucket", client=inside).open("a")


def test_missing_credentials_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    session = boto3.Session(region_name="us-east-1")
    session._session.get_component("credential_provider").providers = []
    with pytest.raises(WorkspaceError, match="No usable credentials were found"):
        S3Workspace(BUCKET, client=session.client("s3")).open("a")


def test_a_store_that_cannot_be_reached_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = connect(f"http://127.0.0.1:{port}", retries={"total_max_attempts": 1})
    with pytest.raises(WorkspaceError, match="cannot be reached from here"):
        S3Workspace(BUCKET, client=client).put("a", [b"a"])


# What goes wrong on the way -------------------------------------------------------------------


def upload(reply: Callable[[str, str, dict[str, str]], Reply | None] | None = None) -> Any:
    """Answers as S3 does to a put, in one or in parts, where `reply` has no answer."""

    def answer(method: str, path: str, headers: dict[str, str]) -> Reply:
        if reply is not None and (other := reply(method, path, headers)) is not None:
            return other
        if path.endswith("?uploads"):
            return 200, {}, b"<R><UploadId>u1</UploadId></R>"
        if method == "HEAD":
            return 200, {"ETag": '"e"', "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}, b""
        if method == "POST":
            return 200, {}, b"<CompleteResult><ETag>&quot;e&quot;</ETag></CompleteResult>"
        return 200, {"ETag": '"e"'}, b""

    return scripted(answer)


def test_a_long_upload_holds_a_bounded_number_of_parts() -> None:
    piece = bytes(CHUNK)
    with upload() as (client, asked):
        workspace = S3Workspace(BUCKET, client=client)
        workspace.put("warm", [piece])
        tracemalloc.start()
        try:
            stored = workspace.put("large", (piece for _ in range(20 * PART // CHUNK)))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert stored.size == 20 * PART
    assert most < (PARALLEL + 4) * PART
    assert sum("partNumber=" in path for _, path, _ in asked) == 20


def test_parts_and_the_whole_carry_their_checksums() -> None:
    data = bytes(PART) + b"end"
    with upload() as (client, asked):
        S3Workspace(BUCKET, client=client).put("a", [data])
        S3Workspace(BUCKET, client=client).put("b", [b"end"])
    sums = {
        path.partition("files/")[2]: headers["x-amz-checksum-crc32"]
        for method, path, headers in asked
        if "x-amz-checksum-crc32" in headers
    }
    assert sums == {
        "a?uploadId=u1&partNumber=1": crc32(bytes(PART)),
        "a?uploadId=u1&partNumber=2": crc32(b"end"),
        "a?uploadId=u1": crc32(data),
        "b": crc32(b"end"),
    }


def crc32(data: bytes) -> str:
    return b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.mark.parametrize("failing", ["partNumber=2", "uploadId=u1"])
def test_an_upload_that_fails_is_aborted(failing: str) -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply | None:
        failed = method in {"PUT", "POST"} and path.endswith(failing)
        return refusal(403, "AccessDenied") if failed else None

    with (
        upload(reply) as (client, asked),
        pytest.raises(WorkspaceError, match="Allow s3:PutObject"),
    ):
        S3Workspace(BUCKET, client=client).put("a", [bytes(10 * PART)])
    aborts = [path for method, path, _ in asked if method == "DELETE"]
    assert aborts == ["/files/a?uploadId=u1"]
    assert asked[-1][0] == "DELETE"


def test_parts_that_cannot_be_removed_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply | None:
        return refusal(403, "AccessDenied") if method in {"DELETE", "PUT"} else None

    with upload(reply) as (client, _), pytest.raises(WorkspaceError, match="s3:PutObject"):
        S3Workspace(BUCKET, client=client).put("a", [bytes(PART + 1)])
    (record,) = [each for each in caplog.records if each.name.startswith("ci_toolkit")]
    assert "upload u1 may be left in the bucket" in record.getMessage()
    assert "Allow s3:AbortMultipartUpload" in record.getMessage()


@pytest.mark.parametrize("size", [1, PART + 1])
@pytest.mark.parametrize(
    "refused",
    [
        refusal(412, "PreconditionFailed"),
        refusal(409, "ConditionalRequestConflict"),
        refusal(404, "NoSuchKey"),
    ],
)
def test_a_condition_is_checked_by_the_request_that_shows_the_file(
    size: int, refused: Reply
) -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply | None:
        return refused if "if-match" in headers else None

    with upload(reply) as (client, asked), pytest.raises(WorkspaceConflictError):
        S3Workspace(BUCKET, client=client).put("a", [bytes(size)], if_match='"seen"')
    conditions = [
        (method, headers["if-match"]) for method, _, headers in asked if "if-match" in headers
    ]
    assert conditions == [("PUT" if size == 1 else "POST", '"seen"')]


@pytest.mark.parametrize("size", [1, PART + 1])
@pytest.mark.parametrize(
    "second", [refusal(412, "PreconditionFailed"), refusal(404, "NoSuchUpload")]
)
def test_a_put_whose_answer_was_lost_is_found_to_be_stored(size: int, second: Reply) -> None:
    marks: list[str] = []

    def reply(method: str, path: str, headers: dict[str, str]) -> Reply | None:
        if mark := headers.get("x-amz-meta-ci-toolkit-put"):
            marks.append(mark)
        if "if-none-match" in headers:
            return second
        if method == "HEAD":
            times = {"ETag": '"mine"', "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}
            return 200, times | {"x-amz-meta-ci-toolkit-put": marks[0]}, b""
        return None

    with upload(reply) as (client, asked):
        stored = S3Workspace(BUCKET, client=client).put("a", [bytes(size)], if_absent=True)
    assert (stored.size, stored.etag, stored.modified) == (size, '"mine"', 1577836800.0)
    assert not any(method == "DELETE" for method, _, _ in asked)


def test_a_put_that_may_not_be_read_back_is_stored_all_the_same() -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply | None:
        return refusal(403, "AccessDenied") if method == "HEAD" else None

    with upload(reply) as (client, _):
        stored = S3Workspace(BUCKET, client=client).put("a", [b"a"])
    assert abs(stored.modified - time.time()) < 60


# Broken connections ---------------------------------------------------------------------------

DATA = bytes(range(256)) * (3 * CHUNK // 256) + b"end"


def dropping(
    drops: int, *, then: bytes = DATA, etags: Iterable[str] = repeat('"e"')
) -> Callable[[str, str, dict[str, str]], Reply]:
    """A file whose first readers lose the connection after some bytes."""
    left, versions = iter(range(drops)), iter(etags)

    def reply(method: str, path: str, headers: dict[str, str]) -> Reply:
        etag = next(versions)
        if headers.get("if-match", etag) != etag:
            return refusal(412, "PreconditionFailed")
        start = int(headers.get("range", "bytes=0-")[6:-1])
        broken = next(left, None) is not None
        rest = (DATA if broken else then)[start:]
        told = {"ETag": etag, "Content-Length": str(len(rest)), "x-amz-checksum-crc32": crc32(DATA)}
        if start:
            del told["x-amz-checksum-crc32"]
        return 206 if start else 200, told, rest[: CHUNK - 7] if broken else rest

    return reply


@pytest.mark.parametrize("drops", [0, 1, 3])
def test_a_broken_connection_is_taken_up_where_it_broke(drops: int) -> None:
    with scripted(dropping(drops)) as (client, asked):
        pieces = list(S3Workspace(BUCKET, client=client).open("a"))
    assert b"".join(pieces) == DATA
    assert max(len(piece) for piece in pieces) <= CHUNK
    assert len(asked) == drops + 1
    assert all(headers["if-match"] == '"e"' for _, _, headers in asked[1:])


def test_a_connection_that_always_breaks_is_an_error_and_never_a_short_file() -> None:
    def reply(method: str, path: str, headers: dict[str, str]) -> Reply:
        start = int(headers.get("range", "bytes=0-")[6:-1])
        told = {"ETag": '"e"', "Content-Length": str(len(DATA) - start)}
        return 206 if start else 200, told, DATA[start : start + 10]

    with scripted(reply) as (client, asked):
        pieces = S3Workspace(BUCKET, client=client).open("a")
        with pytest.raises(WorkspaceError, match="connection broke"):
            list(pieces)
    assert len(asked) == 6


def test_a_file_that_was_replaced_while_the_connection_broke_is_not_mixed() -> None:
    with scripted(dropping(1, etags=['"e"', '"new"'])) as (client, _):
        pieces = S3Workspace(BUCKET, client=client).open("a")
        with pytest.raises(WorkspaceError, match="replaced or deleted") as caught:
            list(pieces)
    assert type(caught.value) is WorkspaceError


@pytest.mark.parametrize("drops", [0, 1])
def test_damaged_content_is_an_error(drops: int) -> None:
    with scripted(dropping(drops, then=DATA[:-1] + b"?")) as (client, _):
        pieces = S3Workspace(BUCKET, client=client).open("a")
        with pytest.raises(WorkspaceError, match="damaged"):
            list(pieces)


# Links ----------------------------------------------------------------------------------------


def fetch(request: PresignedRequest, data: bytes | None = None) -> bytes:
    asked = Request(request.url, data, dict(request.headers), method=request.method)
    with urlopen(asked) as answer:
        body: bytes = answer.read()
    return body


def test_a_link_stores_and_a_link_reads_one_file(remote: Any) -> None:
    workspace = S3Workspace(BUCKET, prefix="team", client=remote)
    data = b"a,b\n1,2\n"
    link = workspace.presigned_put(
        "u/data.csv", media_type="text/csv", size=len(data), sha256=sha256(data).hexdigest()
    )
    fetch(link, data)
    assert content(workspace, "u/data.csv") == data
    assert remote.head_object(Bucket=BUCKET, Key="team/u/data.csv")["ContentType"] == "text/csv"
    assert fetch(workspace.presigned_get("u/data.csv")) == data
    with pytest.raises(HTTPError, match="404"):
        fetch(workspace.presigned_get("missing"))


def test_a_link_binds_every_header_that_it_names(inside: Any) -> None:
    workspace = S3Workspace(BUCKET, client=inside, kms_key_id=KMS, tags={"team": "r+d"})
    assert isinstance(workspace, Presigned)
    link = workspace.presigned_put(
        "a", media_type="text/csv", size=3, sha256=sha256(b"abc").hexdigest(), expires=60
    )
    assert link.method == "PUT"
    assert link.headers == {
        "Content-Type": "text/csv",
        "Content-Length": "3",
        "x-amz-checksum-sha256": b64encode(sha256(b"abc").digest()).decode(),
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": KMS,
        "x-amz-tagging": "team=r%2Bd",
    }
    query = parse_qs(urlsplit(link.url).query)
    signed = set(query["X-Amz-SignedHeaders"][0].split(";"))
    assert signed == {"host"} | {name.lower() for name in link.headers}
    assert query["X-Amz-Expires"] == ["60"]
    assert link.url not in repr(link)


def test_a_link_that_cannot_be_made_is_a_workspace_error(inside: Any) -> None:
    workspace = S3Workspace(BUCKET, client=inside)
    for expires in (0.5, 8 * 24 * 3600.0):
        with pytest.raises(WorkspaceError, match="1 to 604800 seconds"):
            workspace.presigned_get("a", expires=expires)
    with pytest.raises(WorkspaceError, match="is no SHA-256"):
        workspace.presigned_put("a", sha256="abc")
    with pytest.raises(WorkspaceError, match="is no key"):
        workspace.presigned_get("../a")
    keys: dict[str, Any] = {"aws_access_key_id": "i", "aws_secret_access_key": "s"}
    old = SESSION.client("s3", "us-east-1", config=Config(signature_version="s3"), **keys)
    with pytest.raises(WorkspaceError, match="signature_version='s3v4'"):
        S3Workspace(BUCKET, client=old).presigned_get("a")


def test_a_client_as_boto3_makes_it_signs_our_links_anew_and_its_own_as_before() -> None:
    client = SESSION.client("s3", "us-east-1", aws_access_key_id="i", aws_secret_access_key="s")
    workspace = S3Workspace(BUCKET, client=client)

    assert "X-Amz-Signature=" in workspace.presigned_get("a").url
    theirs = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "a"})
    assert "X-Amz-Signature=" not in theirs


SEND = """
import sys, urllib.request
put, get, kind = sys.argv[1:]
data = bytes(range(256)) * 8192
headers = {"Content-Type": kind, "Content-Length": str(len(data))}
with urllib.request.urlopen(urllib.request.Request(put, data, headers, method="PUT")):
    pass
with urllib.request.urlopen(get) as answer:
    print(answer.read() == data)
"""


@pytest.mark.local
def test_a_sandbox_sends_and_fetches_a_file_by_links(remote: Any) -> None:
    workspace = S3Workspace(BUCKET, client=remote)
    data = bytes(range(256)) * 8192
    put = workspace.presigned_put("made", media_type="image/png", size=len(data))
    get = workspace.presigned_get("made")
    command = " ".join(shlex.quote(each) for each in ("python3", "-c", SEND, put.url, get.url))
    backend = LocalBackend(network="host")
    try:
        sandbox = backend.start(name="links")
        execution = sandbox.execute_command(f"{command} image/png", timeout=60)
        sandbox.close()
    finally:
        backend.close()
    assert (execution.stdout, execution.exit_code) == ("True\n", 0), execution.stderr
    assert content(workspace, "made") == data


# The whole house --------------------------------------------------------------------------------


def test_a_conversation_saves_to_s3_and_is_restored_after_a_loss(remote: Any, scope: Scope) -> None:
    backend = InMemoryBackend(run_python=True)
    workspace = S3Workspace(BUCKET, prefix="agents", client=remote)
    with CodeInterpreter(backend, workspace) as interpreter:
        interpreter.upload("in.csv", b"a,b\n", scope=scope)
        code = "open('out.csv', 'w').write(open('in.csv').read() + '1,2')"
        first = interpreter.call(
            "execute_code", {"code": code, "output_filename": "out.csv"}, scope=scope
        )
        assert (first.is_error, interpreter.download("code-interpreter/out.csv", scope=scope)) == (
            False,
            b"a,b\n1,2",
        ), first.text
        (sandbox,) = backend.sandboxes
        backend.lose(sandbox)
        again = interpreter.call(
            "execute_code", {"code": "print(open('out.csv').read())"}, scope=scope
        )
    assert (again.is_error, "a,b\n1,2" in again.text) == (False, True), again.text
    assert keys(workspace) == [
        "ada/thread-1/code-interpreter/out.csv",
        "ada/thread-1/sandboxes/main/record.json",
        "ada/thread-1/state/manifest.json",
        "ada/thread-1/uploads/in.csv",
    ]


def test_what_the_page_about_s3_shows_runs() -> None:
    text = (Path(__file__).parent.parent / "docs" / "s3.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 3
    with mock_aws():
        connect(None).create_bucket(Bucket="my-bucket")
        names: dict[str, Any] = {"data": b"a,b\n", "backend": InMemoryBackend()}
        for block in blocks:
            exec(compile(block, "<documentation>", "exec"), names)
        assert keys(S3Workspace("my-bucket")) == ["agents/ada/thread-1/uploads/sales.csv"]


# The table ----------------------------------------------------------------------------------


def _below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


def test_the_table_knows_every_exception_of_botocore() -> None:
    kinds = [each for each in _below(BotoCoreError) if each.__module__ == BotoCoreError.__module__]
    assert len(kinds) > 80
    for kind in kinds:
        error = kind.__new__(kind)
        found = told(error, "GetObject", "a", bucket=BUCKET, prefix="")  # type: ignore[arg-type]
        assert type(found) is WorkspaceError
    generic = {kind.__name__ for kind in kinds if not any(p in EXCEPTIONS for p in kind.__mro__)}
    assert generic == set()


def test_the_table_knows_every_error_of_the_operations_that_are_used() -> None:
    model = connect(None).meta.service_model
    modelled = {
        shape.error_code or shape.name
        for operation in ACTIONS
        for shape in model.operation_model(operation).error_shapes
    }
    assert {"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "InvalidObjectState"} <= modelled
    assert modelled - set(CODES) == set()


DOCUMENTED = """
    AccessDenied AccountProblem AllAccessDisabled AuthorizationHeaderMalformed BadDigest
    BandwidthLimitExceeded ConditionalRequestConflict EntityTooLarge EntityTooSmall ExpiredToken
    IncompleteBody InternalError InvalidAccessKeyId InvalidArgument InvalidBucketName
    InvalidDigest InvalidObjectState InvalidPart InvalidPartOrder InvalidRequest InvalidSecurity
    InvalidToken KeyTooLongError MalformedXML MetadataTooLarge MethodNotAllowed
    MissingSecurityHeader NoSuchBucket NoSuchKey NoSuchUpload NoSuchVersion NotImplemented
    NotSignedUp OperationAborted PermanentRedirect PreconditionFailed Redirect RequestTimeout
    RequestTimeTooSkewed ServiceUnavailable SignatureDoesNotMatch SlowDown TemporaryRedirect
    TokenRefreshRequired 301 307 400 403 404 409 412 500 503
"""


def test_the_table_knows_the_documented_codes() -> None:
    assert set(DOCUMENTED.split()) - set(CODES) == set()


def test_no_text_of_the_table_has_a_gap() -> None:
    for code in CODES:
        error = ClientError({"Error": {"Code": code, "Message": "m"}}, "GetObject")
        text = str(told(error, "GetObject", "a", bucket="arn:aws:s3:::files", prefix="p/"))
        assert "{" not in text
        assert "arn:aws:s3:::arn" not in text
        assert isinstance(told(error, "GetObject", "a", bucket="b", prefix=""), CODES[code][0])
