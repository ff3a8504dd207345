"""The public hub's HTTP protocol, spoken on this machine well enough for its real client, and misbehaving on order. There are no tests in here.

    with LoopbackHub() as there:
        there.create("sets-sto/sto-icon-dataset")
        there.order("GET /api/.*/tree/", "stall")             # the next listing gets no answer
        hub = HfHub(endpoint=there.url)
        ...
        assert there.count("GET /api/.*/tree/") == 2

What can be ordered (`order(pattern, kind, times)`; the pattern is searched in "METHOD /path"):

    status      answers `code` with `headers` and `error`, and does nothing          done_but    does it, and then answers `code`
    cut         hangs up without an answer, and does nothing                         lost_reply  does it, and then hangs up
    stall       says nothing for `seconds` (or until the hub closes), does nothing   truncated   half of the answer, then hangs up
    drip        the body in pieces of `step` bytes, `seconds` apart                  wrong_bytes one byte of the body is another, the headers are right
    headers     the right answer with further `headers`                              nonsense    answers 200 with a web page, as the portals of hotels do

`python tests/loopback_hub.py --files 12000` serves a repository of so many small files until it is stopped, and prints its address: for benchmarks.
"""
import argparse
import base64
import hashlib
import json
import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

BINARY = (".png", ".jpg", ".pt", ".onnx", ".npz", ".safetensors", ".parquet", ".zip", ".bin")  # what .gitattributes sends to large file storage
PAGE = 1000  # entries in one page of a listing
FAULTS = {"status", "cut", "stall", "lost_reply", "done_but", "truncated", "drip", "wrong_bytes", "headers", "nonsense"}


class Blob(NamedTuple):
    "A file's content as the hub keeps it."
    data: bytes
    lfs: str = ""  # sha256 when it lies in large file storage

    @property
    def oid(self) -> str:
        "Git's name for the content, or for the small pointer that stands for it."
        data = self.lfs.encode() if self.lfs else self.data
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Answer(NamedTuple):
    code: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}


class Refusal(Exception):
    "Raised wherever a request cannot be served; carries the answer."

    def __init__(self, code: int, error: str, error_code: str = "", headers: dict[str, str] | None = None, **more: str):
        headers = {"Content-Type": "application/json", "X-Error-Message": error, **({"X-Error-Code": error_code} if error_code else {}), **(headers or {})}
        self.answer = Answer(code, json.dumps({"error": error, **more}).encode(), headers)


class Request(NamedTuple):
    method: str
    path: str  # unquoted, without the query
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def __str__(self) -> str: return f"{self.method} {self.path}"


class Order(NamedTuple):
    "One misbehaviour; `left` counts down."
    pattern: re.Pattern
    kind: str
    left: list[int]
    how: dict[str, Any]
    every: int  # 0: each request that fits; n: of those for one path the first, and then every n-th
    seen: Counter


class Repository:
    "Commits, each a whole tree of paths; the newest is the head."

    def __init__(self) -> None:
        self.lock, self.commits, self._rows = threading.Lock(), [], {}
        self.add("initial commit", {".gitattributes": Blob(b"*.png filter=lfs diff=lfs merge=lfs -text\n")})

    def add(self, title: str, tree: dict[str, Blob]) -> str:
        known = f"{self.commits[-1][0] if self.commits else ''}{title}{sorted((p, b.oid) for p, b in tree.items())}"
        self.commits.append((hashlib.sha1(known.encode()).hexdigest(), title, tree))
        return self.commits[-1][0]

    @property
    def head(self) -> str: return self.commits[-1][0]

    @property
    def files(self) -> dict[str, Blob]: return self.commits[-1][2]

    def at(self, revision: str) -> tuple[str, dict[str, Blob]]:
        for sha, _, tree in reversed(self.commits):
            if revision == "main" or sha == revision: return sha, tree
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def rows(self, sha: str, tree: dict[str, Blob]) -> dict[str, list[dict]]:
        "What each folder of a revision lists, folder by folder; worked out once."
        if sha not in self._rows:
            rows, seen = {"": []}, set()
            for path in sorted(tree):
                parts = path.split("/")
                for depth in range(1, len(parts)):
                    folder = "/".join(parts[:depth])
                    if folder not in seen:
                        seen.add(folder)
                        rows[folder] = []
                        rows["/".join(parts[:depth - 1])].append({"type": "directory", "oid": "0" * 40, "size": 0, "path": folder})
                rows["/".join(parts[:-1])].append(file_row(path, tree[path]))
            self._rows = {sha: rows}  # only the newest that was asked for
        return self._rows[sha]


def file_row(path: str, blob: Blob) -> dict:
    row = {"type": "file", "oid": blob.oid, "size": len(blob.data), "path": path}
    if blob.lfs: row["lfs"] = {"oid": blob.lfs, "size": len(blob.data), "pointerSize": 134}
    return row


class LoopbackHub:
    "The hub itself: repositories, large file storage, what was asked of it, and the misbehaviours that were ordered."

    def __init__(
        self, page: int = PAGE,
        tokens: dict[str, str] | None = None,  # token -> user; None: anybody may write
    ) -> None:
        self.page, self.tokens = page, tokens
        self.repos: dict[str, Repository] = {}
        self.storage: dict[str, bytes] = {}  # large files by sha256
        self.requests: list[Request] = []
        self._orders: list[Order] = []
        self._lock, self.closing = threading.Lock(), threading.Event()
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "LoopbackHub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": .02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def create(self, name: str, files: dict[str, bytes] | None = None) -> Repository:
        "A repository as a new one is, or with files in it, without any HTTP."
        repo = self.repos[name] = Repository()
        if files: repo.add("files", repo.files | {path: self.blob(path, data) for path, data in files.items()})
        return repo

    def blob(self, path: str, data: bytes) -> Blob:
        "Content as a commit would have stored it."
        if not data or not path.endswith(BINARY): return Blob(data)
        sha = hashlib.sha256(data).hexdigest()
        self.storage[sha] = data
        return Blob(data, sha)

    def order(self, pattern: str, kind: str, times: int = 1, every: int = 0, **how: Any) -> None:
        "The next `times` requests that fit the pattern are treated like this; with `every`, of those for one path the first, and then every so many."
        assert kind in FAULTS, kind
        self._orders.append(Order(re.compile(pattern), kind, [times], how, every, Counter()))

    def count(self, pattern: str = "") -> int:
        "How many requests fit the pattern since the last `forget`."
        return sum(bool(re.search(pattern, str(request))) for request in list(self.requests))

    def forget(self) -> None:
        "Empties the list of requests and of orders."
        self.requests.clear()
        self._orders.clear()

    def note(self, request: Request) -> Order | None:
        "Writes a request down and looks whether a misbehaviour was ordered for it."
        with self._lock:
            self.requests.append(request)
            for order in self._orders:
                if order.left[0] > 0 and order.pattern.search(str(request)):
                    order.seen[str(request)] += 1
                    if order.every and (order.seen[str(request)] - 1) % order.every: continue
                    order.left[0] -= 1
                    return order
        return None

    # What it can do, request by request

    def serve(self, request: Request) -> Answer:
        who = self._who(request)
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and re.fullmatch(method, request.method):
                if request.method == "POST" and not who and "paths-info" not in request.path: raise Refusal(401, "Invalid username or password.")
                return act(self, request, *found.groups())
        raise Refusal(404, "Not Found")

    def _who(self, request: Request) -> str:
        "The user behind the token; a token that nobody has is refused, as the public hub does."
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self.tokens is None: return "anybody"
        if token and token not in self.tokens: raise Refusal(401, "Invalid credentials in Authorization header")
        return self.tokens.get(token, "")

    def _repo(self, name: str) -> Repository:
        if name not in self.repos: raise Refusal(404, "Repository not found", "RepoNotFound")
        return self.repos[name]

    def _create(self, request: Request) -> Answer:
        asked = json.loads(request.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.repos: raise Refusal(409, "You already created this dataset repo", url=f"{self.url}/datasets/{name}")
        self.create(name)
        return as_json({"url": f"{self.url}/datasets/{name}", "name": name, "id": "0"})

    def _info(self, request: Request, name: str, revision: str | None) -> Answer:
        sha, tree = self._repo(name).at(revision or "main")
        info = {"_id": "0", "id": name, "sha": sha}
        if "expand" in request.query: return as_json(info)
        more = {"private": False, "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [], "lastModified": "2026-11-20T00:00:00.000Z"}
        return as_json(info | more | {"siblings": [{"rfilename": path} for path in sorted(tree)]})

    def _tree(self, request: Request, name: str, revision: str, folder: str | None) -> Answer:
        repo = self._repo(name)
        rows, folder = repo.rows(*repo.at(revision)), folder or ""
        if folder not in rows: raise Refusal(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        found, start = rows[folder], int(request.query.get("cursor", ["0"])[0])
        if request.query.get("recursive", [""])[0].lower() == "true":
            found = [row for at in sorted(rows) if not folder or at == folder or at.startswith(f"{folder}/") for row in rows[at]]
        if start + self.page >= len(found): return as_json(found[start:])
        query = urlencode({**{k: v[0] for k, v in request.query.items()}, "cursor": start + self.page})
        link = f'<{self.url}/api/datasets/{name}/tree/{revision}/{folder.replace("/", "%2F")}?{query}>; rel="next"'
        return as_json(found[start:start + self.page], {"Link": link})

    def _paths(self, request: Request, name: str, revision: str) -> Answer:
        repo = self._repo(name)
        sha, tree = repo.at(revision)
        asked = json.loads(request.body)["paths"] if request.body[:1] == b"{" else parse_qs(request.body.decode())["paths"]
        rows = repo.rows(sha, tree)
        return as_json([file_row(path, tree[path]) if path in tree else {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
                        for path in asked if path in tree or path in rows])

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Answer:
        sha, tree = self._repo(name).at(revision)
        if path not in tree: raise Refusal(404, "Entry not found", "EntryNotFound")
        blob, headers = tree[path], {"X-Repo-Commit": sha}
        if not blob.lfs: return Answer(200, blob.data, headers | {"ETag": f'"{blob.oid}"'})
        elsewhere = f"{self.url.replace('127.0.0.1', 'localhost')}/storage/{blob.lfs}?X-Signature=secret-of-the-store"  # another name: another host
        return Answer(302, b"", headers | {"Location": elsewhere, "X-Linked-Etag": f'"{blob.lfs}"', "X-Linked-Size": str(len(blob.data))})

    def _preupload(self, request: Request, name: str, revision: str) -> Answer:
        _, tree = self._repo(name).at(revision)
        def mode(file: dict) -> dict:
            there = tree.get(file["path"])
            how = "lfs" if file["path"].endswith(BINARY) or file["size"] > 10 << 20 else "regular"
            return {"path": file["path"], "uploadMode": how, "shouldIgnore": False, **({"oid": there.lfs or there.oid} if there else {})}
        return as_json({"files": [mode(file) for file in json.loads(request.body)["files"]]})

    def _batch(self, request: Request, name: str) -> Answer:
        self._repo(name)
        def places(known: dict) -> dict:
            if known["oid"] in self.storage: return known
            at = f"{self.url}/storage/{known['oid']}"
            return {**known, "authenticated": True, "actions": {"upload": {"href": f"{at}?X-Signature=secret-of-the-store"}, "verify": {"href": f"{at}/verify"}}}
        return as_json({"transfer": "basic", "objects": [places(known) for known in json.loads(request.body)["objects"]]})

    def _store(self, request: Request, sha: str) -> Answer:
        if hashlib.sha256(request.body).hexdigest() != sha: raise Refusal(400, "these bytes have another sha256")
        self.storage[sha] = request.body
        return Answer()

    def _stored(self, request: Request, sha: str) -> Answer:
        if sha not in self.storage: raise Refusal(404, "no such object")
        return Answer(200, self.storage[sha], {"ETag": f'"{sha}"'})

    def _verify(self, request: Request, sha: str) -> Answer: return Answer(200 if sha in self.storage else 404, b"{}")

    def _commit(self, request: Request, name: str, revision: str) -> Answer:
        repo, lines = self._repo(name), [json.loads(line) for line in request.body.splitlines()]
        said = next(line["value"] for line in lines if line["key"] == "header")
        with repo.lock:
            if said.get("parentCommit") not in (None, repo.head): raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            tree = dict(repo.files)
            for line in lines: self._change(tree, line["key"], line["value"])
            sha = repo.add(said["summary"], tree)
        return as_json({"success": True, "commitOid": sha, "commitUrl": f"{self.url}/datasets/{name}/commit/{sha}", "hookOutput": ""})

    def _change(self, tree: dict[str, Blob], key: str, value: dict) -> None:
        if key == "file": tree[value["path"]] = Blob(base64.b64decode(value["content"]))
        if key == "deletedFile" and tree.pop(value["path"], None) is None: raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        if key == "lfsFile":
            if value["oid"] not in self.storage: raise Refusal(400, f"{value['oid']} was not uploaded")
            tree[value["path"]] = Blob(self.storage[value["oid"]], value["oid"])

    def _yaml(self, request: Request) -> Answer: return as_json({"errors": [], "warnings": []})


def as_json(value: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


NAME, REVISION = r"([^/]+/[^/]+)", r"([^/]+)"
ROUTES = (
    ("POST", "/api/repos/create", LoopbackHub._create),
    ("POST", "/api/validate-yaml", LoopbackHub._yaml),
    ("GET|HEAD", rf"/api/datasets/{NAME}(?:/revision/{REVISION})?", LoopbackHub._info),
    ("GET", rf"/api/datasets/{NAME}/tree/{REVISION}(?:/(.*))?", LoopbackHub._tree),
    ("POST", rf"/api/datasets/{NAME}/paths-info/{REVISION}", LoopbackHub._paths),
    ("POST", rf"/api/datasets/{NAME}/preupload/{REVISION}", LoopbackHub._preupload),
    ("POST", rf"/api/datasets/{NAME}/commit/{REVISION}", LoopbackHub._commit),
    ("POST", rf"/datasets/{NAME}\.git/info/lfs/objects/batch", LoopbackHub._batch),
    ("GET|HEAD", rf"/datasets/{NAME}/resolve/{REVISION}/(.+)", LoopbackHub._resolve),
    ("PUT", "/storage/([0-9a-f]{64})", LoopbackHub._store),
    ("GET|HEAD", "/storage/([0-9a-f]{64})", LoopbackHub._stored),
    ("POST", "/storage/([0-9a-f]{64})/verify", LoopbackHub._verify),
)


class _Handler(BaseHTTPRequestHandler):
    "HTTP/1.1 with connections that stay, and the misbehaviours that lie below the protocol."
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, -1  # an answer leaves in one piece
    hub: LoopbackHub

    def log_message(self, *args: object) -> None: pass

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked": return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self) -> None:
        address = urlsplit(self.path)
        headers = {key.lower(): value for key, value in self.headers.items()}
        request = Request(self.command, unquote(address.path), parse_qs(address.query), headers, self._read_body())
        order = self.hub.note(request)
        kind, how = (order.kind, order.how) if order else ("", {})
        if kind == "stall": self.hub.closing.wait(how.get("seconds", 60))
        if kind in ("stall", "cut"): return self._hang_up()
        try: answer = Refusal(how["code"], how.get("error", "ordered")).answer if kind == "status" else self.hub.serve(request)
        except Refusal as refusal: answer = refusal.answer
        if kind == "lost_reply": return self._hang_up()
        if kind == "nonsense": answer = Answer(200, b"<html>Welcome to our WLAN</html>", {"Content-Type": "text/html"})
        if kind == "done_but": answer = Refusal(how["code"], "ordered").answer
        if kind == "wrong_bytes" and answer.body: answer = answer._replace(body=bytes([answer.body[0] ^ 1]) + answer.body[1:])
        self._send(answer._replace(headers=answer.headers | how.get("headers", {})), kind, how)

    def _send(self, answer: Answer, kind: str, how: dict[str, Any]) -> None:
        self.send_response_only(answer.code)
        for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items(): self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD": return
        for piece in self._pieces(answer.body, kind, how.get("step", 1)):
            self.wfile.write(piece)
            if kind == "drip":
                self.wfile.flush()
                if self.hub.closing.wait(how["seconds"]): return self._hang_up()
        self.wfile.flush()
        if kind == "truncated": self._hang_up()

    def _pieces(self, body: bytes, kind: str, step: int) -> Iterable[bytes]:
        if kind == "truncated": return [body[:len(body) // 2]]
        return (body[i:i + step] for i in range(0, len(body), step)) if kind == "drip" else [body]

    def _hang_up(self) -> None:
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError: pass

    def _serve(self) -> None:
        try: self._answer()
        except (BrokenPipeError, ConnectionResetError): self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = _serve  # noqa: N815


class _Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def handle_error(self, request: object, client_address: object) -> None:
        "A client that was killed is no error of ours."
        if not isinstance(sys.exception(), ConnectionError): super().handle_error(request, client_address)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serves one repository of many small files until stopped.")
    parser.add_argument("--files", type=int, default=12_000)
    parser.add_argument("--bytes", type=int, default=6_000, help="size of each file")
    parser.add_argument("--suffix", default=".jsonl", help=".png goes through large file storage, one redirect a file")
    parser.add_argument("--stalling", type=int, default=0, help="so many files more in stall/, which say nothing, and as many in drip/, which come byte by byte, and never an end")
    arguments = parser.parse_args()
    pattern = bytes(range(256)) * (arguments.bytes // 256 + 1)
    with LoopbackHub() as hub:
        hub.create("sets-sto/bench", {f"crops/{i:05}{arguments.suffix}": (b"%06d" % i + pattern)[:arguments.bytes] for i in range(arguments.files)}
                   | {f"{how}/{i}.jsonl": b"never" * 1000 for how in ("stall", "drip") for i in range(arguments.stalling)})
        hub.order("/stall/", "stall", times=1 << 30, seconds=3600)
        hub.order("/drip/", "drip", times=1 << 30, seconds=.5)
        print(hub.url, flush=True)
        while True: time.sleep(3600)


if __name__ == "__main__": main()
