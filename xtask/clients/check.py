"""Drives Neon's own clients against a running Plinth, and judges every answer by Neon's own schemas.

    check.py --url http://127.0.0.1:8080 --key plinth_live_… --folder FOLDER

FOLDER has the clients in it: `npm install` of package.json beside this file, and a Python with requirements.txt. Between the
clients and Plinth stands a proxy that looks at each answer. Ends with 1 and what is wrong, else with 0.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import jsonschema
import psycopg2
import yaml
from neon_api import NeonAPI

FAULTS = []


def fault(text):
    FAULTS.append(text)
    print("✗", text, flush=True)


def check(holds, text):
    if holds:
        print("✓", text, flush=True)
    else:
        fault(text)


class Schemas:
    """What Neon's document says that each operation answers."""

    def __init__(self, folder):
        file = folder / "node_modules/@neondatabase/api-client/public-v2-for-users.gen.yaml"
        self.document = yaml.safe_load(file.read_text())
        self.paths = []
        for path, item in self.document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$")
            # What has fewer placeholders is meant before what has more.
            self.paths.append((path.count("{"), pattern, path, item))
        self.paths.sort(key=lambda it: it[0])
        self.seen = set()

    def resolve(self, it):
        while "$ref" in it:
            at = self.document
            for part in it["$ref"].removeprefix("#/").split("/"):
                at = at[part]
            it = at
        return it

    def judge(self, method, path, status, body):
        for _, pattern, name, item in self.paths:
            if pattern.match(path) and method.lower() in item:
                break
        else:
            # Routes beside those of the document are not Neon's to judge.
            return
        self.seen.add((method, name))
        responses = item[method.lower()]["responses"]
        known = {str(code): it for code, it in responses.items()}
        answer = known.get(str(status))
        if answer is None and status >= 400:
            answer = known.get("default")
        if answer is None:
            fault(f"{method} {name} answers {status}, which is not in its document")
            return
        content = self.resolve(answer).get("content", {}).get("application/json")
        if content is None or not body:
            return
        schema = {**tolerant(content["schema"]), "components": tolerant(self.document["components"])}
        validator = jsonschema.Draft202012Validator(schema)
        for error in list(validator.iter_errors(json.loads(body)))[:3]:
            where = "/".join(map(str, error.absolute_path))
            fault(f"{method} {name} {status}: {where}: {error.message[:200]}")


def tolerant(schema):
    """OpenAPI 3.0 as JSON Schema: `nullable`, and nothing about examples."""
    if isinstance(schema, list):
        return [tolerant(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: tolerant(it) for name, it in schema.items() if name not in ("example", "examples", "discriminator")}
    if made.pop("nullable", False) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    return made


def proxy(target, schemas):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            size = int(self.headers.get("content-length") or 0)
            sent = self.rfile.read(size) if size else None
            to = http.client.HTTPConnection(target, timeout=120)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding", "connection")}
            to.request(self.command, self.path, sent, headers)
            answer = to.getresponse()
            body = answer.read()
            path = urlsplit(self.path).path.removeprefix("/api/v2")
            schemas.judge(self.command, path.rstrip("/"), answer.status, body)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "content-length", "date"):
                    self.send_header(name, value)
            if answer.status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = forward

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/api/v2"


class Clients:
    def __init__(self, folder, host, key):
        self.folder = folder
        self.environment = {**os.environ, "NEON_API_HOST": host, "NEON_API_KEY": key, "CI": "1"}

    def neonctl(self, *arguments, fails=False, says="", at=None):
        # What comes after `--` is psql's.
        end = arguments.index("--") if "--" in arguments else len(arguments)
        common = ("--no-analytics", "--output", "json", "--config-dir", str(self.folder / "config"))
        command = [str(self.folder / "node_modules/.bin/neonctl"), *arguments[:end], *common, *arguments[end:]]
        done = subprocess.run(command, cwd=at, env=self.environment, capture_output=True, text=True, timeout=180)
        name = "neonctl " + " ".join(arguments)
        if (done.returncode != 0) != fails or says not in done.stdout + done.stderr:
            fault(f"{name}: ends with {done.returncode}: {done.stderr.strip()[-400:]} {done.stdout[-200:]}")
            return None
        print("✓", name, flush=True)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return done.stdout.strip()

    def node(self, script, **more):
        # Beside the modules, where Node looks for them.
        copy = self.folder / script.name
        copy.write_text(script.read_text())
        environment = {**self.environment, **more}
        done = subprocess.run(["node", str(copy)], env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            fault(f"{script.name}: {done.stderr.strip()[-800:]}")
            return None
        return json.loads(done.stdout)


def psql(uri, sql):
    done = subprocess.run(["psql", uri, "-X", "-A", "-t", "-q", "-c", sql], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        fault(f"psql: {sql}: {done.stderr.strip()[-300:]}")
        return None
    return done.stdout.strip()


def of_neonctl(it):
    made = it.neonctl("projects", "create", "--name", "from neonctl")
    if not made:
        return
    project, uri = made["project"]["id"], made["connection_uris"][0]["connection_uri"]
    at = ("--project-id", project)
    psql(uri, "CREATE TABLE t AS SELECT generate_series(1, 100) AS n")
    it.neonctl("projects", "list")
    it.neonctl("projects", "get", project)
    it.neonctl("projects", "update", project, "--name", "renamed")
    it.neonctl("me")
    it.neonctl("orgs", "list")

    dev = it.neonctl("branches", "create", *at, "--name", "dev")
    it.neonctl("branches", "list", *at)
    it.neonctl("branches", "get", "dev", *at)
    it.neonctl("branches", "rename", "dev", "develop", *at)
    it.neonctl("branches", "create", *at, "--name", "develop", fails=True)
    printed = it.neonctl("connection-string", "develop", *at)
    printed = printed if isinstance(printed, str) else (printed or {}).get("connection_string", "")
    check(psql(printed, "SELECT count(*) FROM t") == "100", "the printed string leads to the branch's rows")
    psql(printed, "CREATE TABLE added (id bigint PRIMARY KEY)")
    diff = it.neonctl("branches", "schema-diff", "main", "develop", *at, "--database", "neondb") or ""
    check("+CREATE TABLE public.added" in diff, "the difference of the schemas names the new table")
    psql(printed, "DELETE FROM t WHERE n > 10")
    check(psql(uri, "SELECT count(*) FROM t") == "100", "the parent is left alone")

    it.neonctl("roles", "create", *at, "--name", "reporting", "--branch", "main")
    it.neonctl("roles", "list", *at, "--branch", "main")
    it.neonctl("databases", "create", *at, "--name", "books", "--owner-name", "reporting", "--branch", "main")
    it.neonctl("databases", "list", *at, "--branch", "main")
    it.neonctl("databases", "delete", "books", *at, "--branch", "main")
    it.neonctl("roles", "delete", "reporting", *at, "--branch", "main")
    it.neonctl("operations", "list", *at)

    # The past: a row that came later is not there.
    time.sleep(2)
    moment = psql(uri, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')")
    lsn = psql(uri, "SELECT pg_current_wal_lsn()")
    time.sleep(2)
    psql(uri, "DELETE FROM t")
    for point in (moment, lsn):
        name = "past-" + ("time" if point == moment else "lsn")
        past = it.neonctl("branches", "create", *at, "--name", name, "--parent", point)
        if past:
            check(psql(past["connection_uris"][0]["connection_uri"], "SELECT count(*) FROM t") == "100", f"a branch {name} has what was")
    it.neonctl("branches", "create", *at, "--name", "never", "--parent", "2020-01-01T00:00:00Z", fails=True)
    it.neonctl("branches", "restore", "main", f"^self@{moment}", *at, "--preserve-under-name", "main-old")
    check(psql(uri, "SELECT count(*) FROM t") == "100", "main is restored on the same address")
    it.neonctl("branches", "reset", "develop", *at, "--parent")
    it.neonctl("branches", "set-default", "develop", *at)
    it.neonctl("branches", "set-default", "main", *at)
    snapshots_of_neonctl(it, at, uri)
    keys_of_neonctl(it, project)
    it.neonctl("ip-allow", "add", "192.0.2.0/24", "127.0.0.1", "::1", *at)
    it.neonctl("ip-allow", "list", *at)
    check(psql(uri, "SELECT 1") == "1", "from an address that is allowed")
    it.neonctl("ip-allow", "remove", "192.0.2.0/24", *at)
    it.neonctl("ip-allow", "reset", *at)
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86400))
    it.neonctl("branches", "set-expiration", "develop", *at, "--expires-at", soon)
    empty = it.neonctl("branches", "create", *at, "--name", "empty", "--schema-only", "--parent", "main")
    if empty:
        check(psql(empty["connection_uris"][0]["connection_uri"], "SELECT count(*) FROM t") == "0", "a branch of the schema has no rows")
        it.neonctl("branches", "delete", "empty", *at)
    bare = it.neonctl("branches", "create", *at, "--name", "bare", "--no-compute")
    it.neonctl("branches", "add-compute", "bare", *at, "--type", "read_write")
    if bare:
        check(psql(it_uri(it, project, "bare"), "SELECT count(*) FROM t") == "100", "a compute that was added leads to the branch")
    it.neonctl("branches", "add-compute", "main", *at, "--type", "read_only")
    reader = it_uri(it, project, "main", "--endpoint-type", "read_only")
    check(psql(reader, "SELECT count(*), pg_is_in_recovery() FROM t") == "100|t", "a compute that only reads shows the branch")
    for name in ("past-time", "past-lsn", "bare"):
        it.neonctl("branches", "delete", name, *at)
    beside_of_neonctl(it, project, at)
    absent_of_neonctl(it, at)
    it.neonctl("projects", "delete", project)
    deleted = it.neonctl("projects", "list", "--recoverable-only") or {}
    deleted = deleted.get("projects", []) if isinstance(deleted, dict) else deleted
    check(project in [one["id"] for one in deleted], "the deleted project is among those that can be recovered")
    it.neonctl("projects", "recover", project)
    check(psql(uri, "SELECT count(*) FROM t") == "100", "a recovered project is on its address again")
    it.neonctl("projects", "delete", project)


def beside_of_neonctl(it, project, at):
    """Any route by its path, psql and its questions, and the folder that knows its branch."""
    listed = it.neonctl("api", f"/projects/{project}/branches") or {}
    check("main" in [one["name"] for one in listed.get("branches", [])], "a route that is called by its path tells the branches")
    it.neonctl("api", f"/projects/{project}/branches", "-X", "POST", "-F", "branch.name=by-path")
    it.neonctl("branches", "delete", "by-path", *at)
    it.neonctl("psql", "main", *at, "--", "-X", "-t", "-c", "SELECT 'rows ' || count(*) FROM t", says="rows 100")
    it.neonctl("inspect", "db", "table-sizes", *at, "--branch", "main", says="t")
    extended = it.neonctl("connection-string", "main", *at, "--extended") or {}
    check(extended.get("database") == "neondb", "the extended connection string names the database")
    with tempfile.TemporaryDirectory() as folder:
        it.neonctl("link", "--project-id", project, "--branch", "main", "--yes", "--no-env-pull", "--no-config", at=folder)
        it.neonctl("status", "--current-branch", at=folder, says="main")
        it.neonctl("checkout", "develop", "--no-env-pull", at=folder)
        it.neonctl("status", "--current-branch", at=folder, says="develop")
        it.neonctl("roles", "list", at=folder, says="neondb_owner")
        it.neonctl("set-context", "--project-id", project, at=folder)


def absent_of_neonctl(it, at):
    """What a single machine is not says so."""
    branch = (*at, "--branch", "main")
    it.neonctl("vpc", "project", "list", *at, fails=True, says="VPC")
    it.neonctl("data-api", "get", *branch, "--database", "neondb", fails=True, says="Data API")
    it.neonctl("neon-auth", "enable", *branch, fails=True, says="Neon Auth")


def keys_of_neonctl(it, project):
    made = it.neonctl("api-keys", "create", "--name", "of one project", "--project-id", project) or {}
    it.neonctl("api-keys", "list")
    whole, it.environment["NEON_API_KEY"] = it.environment["NEON_API_KEY"], made.get("key", "")
    it.neonctl("branches", "list", "--project-id", project)
    it.neonctl("projects", "create", "--name", "one too many", fails=True)
    it.environment["NEON_API_KEY"] = whole
    org = (it.neonctl("orgs", "list") or [{}])[0].get("id", "")
    it.neonctl("api-keys", "revoke", str(made.get("id")), "--org-id", org)
    own = it.neonctl("api-keys", "create", "--name", "of the organization", "--org-id", org) or {}
    it.neonctl("api-keys", "list", "--org-id", org)
    it.neonctl("api-keys", "revoke", str(own.get("id")), "--org-id", org)


def snapshots_of_neonctl(it, at, uri):
    it.neonctl("snapshots", "create", *at, "--branch", "main", "--name", "full")
    psql(uri, "DELETE FROM t WHERE n > 50")
    listed = it.neonctl("snapshots", "list", *at) or []
    check([one["name"] for one in listed] == ["full"], "the snapshot is listed")
    it.neonctl("snapshots", "update", "full", *at, "--name", "hundred")
    it.neonctl("snapshots", "get", "hundred", *at)
    it.neonctl("snapshots", "restore", "hundred", *at, "--name", "looked-at")
    it.neonctl("snapshots", "finalize", "looked-at", *at, "--name", "main-of-fifty")
    check(psql(uri, "SELECT count(*) FROM t") == "100", "a snapshot is restored on the same address")
    it.neonctl("snapshots", "schedule", "set", *at, "--branch", "main", "--frequency", "daily", "--hour", "3", "--retention", "86400")
    it.neonctl("snapshots", "schedule", "get", *at, "--branch", "main")
    it.neonctl("snapshots", "delete", "hundred", *at)


def it_uri(it, project, branch, *more):
    printed = it.neonctl("connection-string", branch, "--project-id", project, *more)
    return printed if isinstance(printed, str) else (printed or {}).get("connection_string", "")


def of_sdk(it, here):
    made = it.node(here / "sdk.mjs")
    if made:
        psql(made["uri"], "SELECT 1")
        check(psql(made["branchUri"], "SELECT 1") == "1", "@neon/sdk: what createAndConnect gives can be connected to")


def of_python(host, key):
    neon = NeonAPI(key, base_url=host + "/")
    made = neon.project_create(project={"name": "from Python"})
    project = made.project.id
    uri = neon.connection_uri(project, "neondb", "neondb_owner").uri
    check(psql(uri, "SELECT 1") == "1", "neon-api: a project that was made can be connected to")
    branch = neon.branch_create(project, branch={"name": "dev"}, endpoints=[{"type": "read_write"}]).branch.id
    check(any(it.id == branch for it in neon.branches(project).branches), "neon-api: its branch is listed")
    neon.role_create(project, branch, "reporting")
    neon.database_create(project, branch, database={"name": "books", "owner_name": "reporting"})
    check(len(neon.databases(project, branch).databases) == 2, "neon-api: its databases are listed")
    neon.role_password_reset(project, branch, "reporting")
    endpoint = neon.endpoints(project).endpoints[0].id
    neon.endpoint_suspend(project, endpoint)
    neon.endpoint_start(project, endpoint)
    neon.operations(project)
    neon.me()
    neon.branch_delete(project, branch)
    neon.project_delete(project)


def of_nobody(host, key):
    """What no client has a command for: the answers are judged all the same."""

    def call(method, path, body=None):
        to = http.client.HTTPConnection(urlsplit(host).netloc, timeout=60)
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        to.request(method, "/api/v2" + path, json.dumps(body) if body else None, headers)
        answer = to.getresponse()
        text = answer.read()
        said = "" if answer.status < 300 else f": {answer.status} {text[:200]!r}"
        check(not said, f"{method} {path}{said}")
        return json.loads(text or b"null")

    project = call("POST", "/projects", {"project": {"name": "from nobody"}})["project"]["id"]
    shared = call("POST", f"/projects/{project}/permissions", {"email": "somebody@example.com"})
    call("GET", f"/projects/{project}/permissions")
    call("DELETE", f"/projects/{project}/permissions/{shared['id']}")
    call("GET", "/projects/shared")
    keys = key_server()
    kept = call("POST", f"/projects/{project}/jwks", {"jwks_url": keys, "provider_name": "Example"})["jwks"]
    call("GET", f"/projects/{project}/jwks")
    call("DELETE", f"/projects/{project}/jwks/{kept['id']}")
    today = time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime())
    span = f"granularity=daily&from={today}&to={today}&org_id={call('GET', '/users/me/organizations')['organizations'][0]['id']}"
    for of in ("projects", "branches"):
        call("GET", f"/consumption_history/v2/{of}?{span}&project_ids={project}&metrics=compute_unit_seconds")
    call("DELETE", f"/projects/{project}")


def of_drivers(it, url, key):
    """The organization's own database, by the URI as it is printed and the drivers that most programs have."""

    def get(path):
        to = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        to.request("GET", path, headers={"authorization": f"Bearer {key}"})
        return to.getresponse().read()

    uri = json.loads(get("/v1/misc/db"))["connection_uri"]["uri"]
    psql(uri, "INSERT INTO agents (name) VALUES ('from psql')")
    connection = psycopg2.connect(uri)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO agents (name) VALUES (%s)", ["from psycopg2"])
        cursor.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        check(cursor.fetchone() == (True,), "psycopg2 connects with the printed string, over TLS")
    connection.close()
    authority = it.folder / "ca.pem"
    authority.write_bytes(get("/v1/misc/ca.pem"))
    script = Path(__file__).parent / "pg.mjs"
    seen = it.node(script, DATABASE_URI=uri, NODE_EXTRA_CA_CERTS=str(authority)) or {}
    check(seen.get("ssl") is True, "node-postgres connects with the printed string, over TLS that it verifies")
    names = psql(uri, "SELECT string_agg(name, ', ' ORDER BY name) FROM agents")
    check(names == "from node-postgres, from psql, from psycopg2", f"each has written a row: {names}")
    plain = uri.replace("channel_binding=require", "channel_binding=disable").replace("sslmode=require", "sslmode=disable")
    try:
        psycopg2.connect(plain).close()
        fault("the organization's own database lets somebody in without TLS")
    except psycopg2.OperationalError:
        check(True, "without TLS nobody is let in")


def key_server():
    class Keys(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": "AAAA"}]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/keys"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    options = parser.parse_args()
    schemas = Schemas(options.folder)
    host = proxy(urlsplit(options.url).netloc, schemas)
    it = Clients(options.folder, host, options.key)
    of_neonctl(it)
    of_sdk(it, Path(__file__).parent)
    of_nobody(host, options.key)
    of_drivers(it, options.url, options.key)
    try:
        of_python(host, options.key)
    except Exception as err:  # noqa: BLE001: whatever the client says is a fault of ours
        fault(f"neon-api: {type(err).__name__}: {str(err)[:400]}")
    print(f"{len(schemas.seen)} operations were judged by Neon's schemas, {len(FAULTS)} faults")
    sys.exit(1 if FAULTS else 0)


main()
