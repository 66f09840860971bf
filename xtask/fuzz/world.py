"""The things that requests are about: made over the API itself, so that they exist when an id is asked for.

For a new route: a path parameter gets an id by itself if the route's collection has a POST whose body is in `SAMPLES`. An
operation that needs more than that to succeed gets a sample of its own there. `cargo xtask fuzz-api` names each operation
that never succeeded.
"""

import base64
import email
import email.policy
import hashlib
import http.server
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

from owner import EMAIL, PASSWORD

NOTHING = object()

# How many ids of a collection are kept to choose from.
POOL = 20

# Where an answer to a POST has the id of what it made, if not in `data.id`.
IDS = {"create_query": ("data", "query_id"), "save_sql": ("data", "query_id")}

# Which POST makes what a collection has, where it is not that of the collection.
MAKERS = {"/v1/team/invitations": "invite_member"}

# How long a letter may take.
LETTER_SECONDS = 30


@dataclass
class Sample:
    """A request that succeeds."""

    path: dict = field(default_factory=dict)
    query: dict = field(default_factory=dict)
    headers: dict = field(default_factory=dict)
    body: Any = NOTHING
    media_type: str = "application/json"


class World:
    def __init__(self):
        self.url = os.environ["PLINTH_FUZZ_URL"]
        self.key = os.environ["PLINTH_FUZZ_KEY"]
        self.random = random.Random(int(os.environ["PLINTH_FUZZ_SEED"]))
        self.numbers = itertools.count(1)
        self.pools = {}
        self.lock = threading.RLock()
        self.session = requests.Session()
        self.data = pathlib.Path(os.environ["PLINTH_FUZZ_DATA"])
        self.neighbour = pathlib.Path(os.environ["PLINTH_FUZZ_NEIGHBOUR"])
        self.token = None
        self.guesser = None
        self.elsewhere = None
        # A connection whose schema samples change.
        self.drifting = None
        with open(os.environ["PLINTH_FUZZ_DOCUMENT"], encoding="utf-8") as file:
            document = json.load(file)
        all = [
            (operation, method.upper(), path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        self.operations = {it["operationId"]: (method, path) for it, method, path in all}
        # What takes a sign-in says that it takes no other header.
        self.with_body = {it["operationId"] for it, _, _ in all if "requestBody" in it}
        self.public = {it["operationId"] for it, _, _ in all if it.get("security") in ([], [{}])}
        self.signed_in = {it["operationId"] for it, _, _ in all if it.get("security") == [{"bearer": []}]}
        # The sample shop, which the demo has connected, and the key that all of this is done with: neither may go.
        self.connection = self.get("/v1/connections")["data"][-1]["id"]
        self.organization = self.get("/v1/me/access")["data"]["organization_id"]
        self.kept = {self.connection} | {
            key["id"] for key in self.get("/v1/api-keys")["data"] if self.key.endswith(key["hint"])
        }

    # What hooks.py asks for

    def credential(self, operation, succeeded):
        if operation in self.public:
            return None
        if operation not in self.signed_in:
            return self.key
        with self.lock:
            if operation == "leave_organization" and not succeeded:
                return self.sign_in(self.new_member()["email"])["access_token"]
            if operation == "change_password" and succeeded:
                # Wrong passwords stop sign-ins for a while: those of somebody who is not needed any more.
                if self.guesser is None:
                    self.guesser = self.sign_in(self.new_member()["email"])["access_token"]
                return self.guesser
            if operation in ENDING or self.token is None:
                self.token = self.sign_in(EMAIL)["access_token"]
            return self.token

    def sample(self, operation, succeeded):
        """A request of this operation that succeeds, or None where nothing is known of it."""
        with self.lock:
            make = SAMPLES.get(operation)
            if succeeded and operation in SLOW:
                return None
            sample = make(self) if make else None
            method, path = self.operations[operation]
            ids = self.ids(operation, path, {}, always=True, known=sample.path if sample else {})
            if sample is None:
                return None if operation in self.with_body or ids is None else Sample(path=ids)
            sample.path = {**(ids or {}), **sample.path}
            return sample

    def ids(self, operation, path, generated, always=False, known={}):
        """Ids that exist for the parameters of the path, mostly; None where one cannot be had."""
        with self.lock:
            ids = dict(known)
            for name in re.findall(r"{(\w+)}", path):
                if name in ids or not always and self.random.random() < 0.2:
                    continue
                collection = path[: path.index("{" + name + "}")].rstrip("/")
                for parameter, value in ids.items():
                    collection = collection.replace("{" + parameter + "}", value)
                if "{" in collection:
                    # What it would be part of is not there, on purpose.
                    continue
                is_last = path.endswith("{" + name + "}")
                gone = self.operations[operation][0] == "DELETE" and is_last
                if gone and not always and operation in SLOW and self.random.random() < 0.9:
                    continue
                id = self.take(collection, fresh=gone)
                if id is not None:
                    ids[name] = id
                elif always:
                    return None
            return ids

    def spare(self, method, path, parameters):
        """Other parameters for a request that would remove or change what everything here is done with; None for others."""
        last = re.search(r"^.*/{(\w+)}$", path)
        is_threat = method == "DELETE" or method == "PATCH" and path.startswith("/v1/api-keys/")
        if not (last and parameters and is_threat):
            return None
        value = str(parameters.get(last[1]))
        if plain(value) not in {plain(it) for it in self.kept | {self.organization}}:
            return None
        prefix = value.rpartition("_")[0]
        return {**parameters, last[1]: f"{prefix}_{uuid.uuid4().hex}" if prefix else str(uuid.uuid4())}

    def learn(self, operation, parameters, response):
        """Keeps the ids of what an answer says is there, and forgets what was removed."""
        method, path = self.operations[operation]
        if not 200 <= response.status_code < 300:
            return
        with self.lock:
            if operation in ENDING:
                self.token = None
            if method == "DELETE" and parameters:
                last = re.search(r"/{(\w+)}$", path)
                for pool in self.pools.values():
                    if last and parameters.get(last[1]) in pool:
                        pool.remove(parameters[last[1]])
            elif method == "POST" and "{" not in path:
                collection = next((at for at, maker in MAKERS.items() if maker == operation), path)
                try:
                    self.remember(collection, id_in(operation, json.loads(response.content)))
                except (ValueError, KeyError, TypeError):
                    pass

    # Making things

    def take(self, collection, fresh=False):
        """An id of this collection; a new one if it is to be removed."""
        if collection in SPECIAL:
            return SPECIAL[collection](self)
        if collection.endswith("/tables"):
            return self.random.choice(["public.customers", "orders", "products"])
        if collection.endswith("/columns"):
            return "id"
        pool = self.pools.setdefault(collection, [])
        if not fresh and len(pool) > 2:
            return self.random.choice(pool)
        default = next((id for id, at in self.operations.items() if at == ("POST", collection)), None)
        maker = MAKERS.get(collection, default)
        if maker in SAMPLES:
            made = self.send(*self.operations[maker], SAMPLES[maker](self).body)
            id = id_in(maker, made)
            if not fresh:
                self.remember(collection, id)
            return id
        return self.random.choice(pool) if pool else None

    def remember(self, collection, id):
        pool = self.pools.setdefault(collection, [])
        if id not in self.kept and id not in pool:
            pool.append(id)
            del pool[:-POOL]

    def sign_in(self, address):
        body = {"email": address, "password": PASSWORD}
        return self.send("POST", "/v1/auth/login", body, key=None)["data"]

    def new_address(self):
        return f"person{next(self.numbers)}@example.com"

    def invite(self):
        """The token of an invitation that was mailed."""
        address = self.new_address()
        self.send("POST", "/v1/team/members", {"email": address, "role": "viewer"})
        return address, self.letter(address, r"invite_[\w-]+")

    def new_member(self):
        address, token = self.invite()
        body = {"token": token, "password": PASSWORD}
        self.send("POST", "/v1/invitations/accept", body, key=None)
        members = self.get("/v1/team/members?limit=100")["data"]
        return next(it for it in members if it["email"] == address)

    def reset_token(self):
        self.send("POST", "/v1/auth/password/forgot", {"email": EMAIL}, key=None)
        return self.letter(EMAIL, r"reset_[\w-]+")

    def letter(self, address, pattern):
        """What the newest letter to this address has of this pattern; the server leaves its mail in the data folder."""
        deadline = time.monotonic() + LETTER_SECONDS
        while time.monotonic() < deadline:
            for file in sorted(self.data.glob("mail/*.eml"), reverse=True):
                try:
                    letter = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
                except FileNotFoundError:
                    continue  # the server keeps the newest only
                if address in letter["To"]:
                    found = re.search(pattern, letter.get_body(("plain", "html")).get_content())
                    if found:
                        return found[0]
            time.sleep(0.05)
        raise RuntimeError(f"no letter to {address} with {pattern}")

    def new_organization(self):
        """An organization of the owner's that may go: its id, its name, and what requests for it carry."""
        token = self.sign_in(EMAIL)["access_token"]
        name = self.name("Organization")
        made = self.send("POST", "/v1/organizations", {"name": name}, key=token)["data"]
        return made["id"], name, {"Authorization": f"Bearer {token}", "x-tenant-id": made["id"]}

    def deletable(self):
        id, name, headers = self.new_organization()
        return Sample(path={"id": id}, query={"confirm": name}, headers=headers)

    def restorable(self):
        sample = self.deletable()
        path = f"/v1/organizations/{sample.path['id']}?{urllib.parse.urlencode(sample.query)}"
        self.send("DELETE", path, headers=sample.headers)
        return Sample(path=sample.path, headers=sample.headers)

    def transferable(self):
        id, _, headers = self.new_organization()
        address = self.new_address()
        self.send("POST", "/v1/team/members", {"email": address, "role": "admin"}, headers=headers)
        body = {"token": self.letter(address, r"invite_[\w-]+"), "password": PASSWORD}
        self.send("POST", "/v1/invitations/accept", body, key=None)
        members = self.send("GET", "/v1/team/members?limit=100", headers=headers)["data"]
        member = next(it for it in members if it["email"] == address)
        return Sample(path={"id": id}, headers=headers, body={"member_id": member["id"]})

    def granted(self):
        """An app that the owner has let act for them: what it shows to get its tokens."""
        token = self.sign_in(EMAIL)["access_token"]
        app = self.send("POST", "/v1/oauth-apps", oauth_app(self), key=token)["data"]
        verifier = "a-verifier-that-is-long-enough-for-the-standard-0123456789"
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": app["id"],
            "redirect_uri": BACK,
            "scope": "queries:read",
            "state": "s",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        url = f"{self.url}/oauth/authorize?{urllib.parse.urlencode(query)}"
        with requests.Session() as browser:
            page = browser.post(url, data={"email": EMAIL, "password": PASSWORD}, timeout=60).text
            decided = browser.post(
                url,
                data={
                    "ticket": re.search(r'name="ticket" value="([^"]*)', page)[1],
                    "organization": re.search(r'<option value="([^"]*)', page)[1],
                    "decision": "allow",
                },
                allow_redirects=False,
                timeout=60,
            )
        code = urllib.parse.parse_qs(urllib.parse.urlsplit(decided.headers["Location"]).query)["code"][0]
        return {
            "grant_type": "authorization_code",
            "client_id": app["id"],
            "client_secret": app["client_secret"],
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": verifier,
        }

    def exchanged(self):
        """A token that such an app has got, and how the app shows itself."""
        form = self.granted()
        tokens = self.session.post(f"{self.url}/oauth/token", data=form, timeout=60).json()
        shown = {name: form[name] for name in ("client_id", "client_secret")}
        return {"token": tokens["access_token"], **shown}

    def entry(self, path, body):
        return self.send("POST", f"/v1/connections/{self.connection}/{path}", body)["data"]["id"]

    def new_conversation(self):
        body = {"connection_id": self.connection, "question": "How many customers are there?"}
        return self.send("POST", "/v1/queries", body)["data"]["conversation_id"]

    def postgres(self):
        """A database that the server may reach, as a tenant would type it in: that of another Plinth."""
        runtime = json.loads((self.neighbour / "runtime.json").read_text())
        port, database = re.search(r":(\d+)/(\w+)", runtime["database_url"]).groups()
        return {
            "host": "127.0.0.1",
            "port": int(port),
            "database": database,
            "username": "postgres",
            "password": (self.neighbour / "postgres/superuser.password").read_text().strip(),
            "ssl": False,
        }

    def send(self, method, path, body=None, key=NOTHING, headers=None):
        key = self.key if key is NOTHING else key
        headers = headers or ({"Authorization": f"Bearer {key}"} if key else {})
        response = self.session.request(method, self.url + path, json=body, headers=headers, timeout=60)
        if not 200 <= response.status_code < 300:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def get(self, path):
        return self.send("GET", path)

    def name(self, what):
        return f"{what} {next(self.numbers)}"


def plain(id):
    """The digits of an id, which one address writes with a prefix and another with dashes."""
    return re.sub(r"^[a-z]+_|-", "", id.lower())


def id_in(operation, body):
    for step in IDS.get(operation, ("data", "id")):
        body = body[step]
    return body


def connection(world):
    return {
        "type": "postgresql",
        "name": world.name("Connection"),
        "host": "127.0.0.1",
        "port": 5432,
        "database": "shop",
        "username": "reader",
        "password": "not a real one",
    }


QUESTIONS = [
    {"question": "How many customers are there?"},
    {"question": "How many orders were placed last year?"},
    {"sql": "SELECT id, country FROM customers ORDER BY id LIMIT 5"},
    {"sql": "SELECT count(*) AS n, now() AS at, NULL AS nothing, ARRAY[1, 2] AS many FROM orders", "format": "table"},
    {"sql": "SELECT country, count(*) FROM customers GROUP BY country", "format": "chart"},
    {"sql": "SELECT 1 AS one", "format": "csv"},
]

# Where apps get their codes.
BACK = "https://app.example.com/back"


def oauth_app(world):
    return {"name": world.name("App"), "redirect_uris": [BACK], "scopes": ["queries:read"], "is_confidential": True}


def provider(world):
    return {
        "name": world.name("Provider"),
        "issuer": f"https://id{next(world.numbers)}.example.com",
        "jwks_url": "https://id.example.com/keys",
        "audience": "plinth",
        "default_role": "viewer",
    }


def model(world):
    return {
        "name": world.name("Model"),
        "provider": world.random.choice(["openai", "anthropic", "gemini", "ollama"]),
        # Nobody answers there, and nothing waits.
        "base_url": "http://127.0.0.1:9",
        "model": "tiny-1",
        "api_key": "sk-fuzz",
        "timeout_seconds": 2,
    }


def config(world):
    return {
        "name": world.name("Config"),
        "provider": "postgresql",
        "connection_config": world.postgres(),
        "is_active": True,
    }


KINDS = {"glossary": "term", "metrics": "metric", "examples": "example"}


def term(world):
    return {"name": world.name("Term"), "table": "public.customers", "predicate": "country IS NOT NULL"}


def metric(world):
    return {"name": world.name("Metric"), "table": "public.customers", "expression": "count(*)"}


def example(world):
    return {"question": world.name("What about"), "sql": "SELECT count(*) FROM customers"}


def note(world):
    return {"description": world.name("What it is"), "synonyms": ["things"]}


def noted(world, *parts):
    """The path of something that has an annotation."""
    ids = {"id": world.connection, **dict(parts)}
    path = "/".join(["/v1/connections", ids["id"], "schema/tables", ids["table"]])
    path += f"/columns/{ids['column']}" if "column" in ids else ""
    world.send("PUT", f"{path}/annotation", note(world))
    return ids


def policy(world):
    """It binds nobody who sends requests."""
    return {"name": world.name("Policy"), "table": "public.customers", "roles": ["viewer"], "rows": "id > 0"}


def with_policy(world):
    """The path of a policy."""
    made = world.send("POST", f"/v1/connections/{world.connection}/policies", policy(world))
    return {"id": world.connection, "policy_id": made["data"]["id"]}


def saved_query(world):
    return {
        "name": world.name("Saved"),
        "connection_id": world.connection,
        "sql": "SELECT {{ answer }} AS answer",
        "parameters": [{"name": "answer", "type": "enum", "options": ["yes", "no"], "default": "yes"}],
    }


def with_saved_query(world, **more):
    """The path of a saved query."""
    made = world.send("POST", "/v1/queries/save", saved_query(world))
    return {"id": made["data"]["query_id"], **more}


def psql(world, sql):
    """Runs statements in the database that a tenant may connect, as whoever owns it."""
    it = world.postgres()
    program = shutil.which("psql") or sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
    url = f"postgresql://{it['username']}@{it['host']}:{it['port']}/{it['database']}"
    done = subprocess.run(
        [program, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c", sql, url],
        env={**os.environ, "PGPASSWORD": it["password"]},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode != 0:
        raise RuntimeError(f"psql: {done.stderr[:500]}")


def repair(world):
    """The path of a repair: of a saved query whose column has another name since."""
    number = next(world.numbers)
    table = f"public.drifting_{number}"
    if world.drifting is None:
        body = {"type": "postgresql", "name": world.name("Drifting"), "ssl_mode": "disable"}
        it = {key: value for key, value in world.postgres().items() if key != "ssl"}
        world.drifting = world.send("POST", "/v1/connections", {**body, **it})["data"]["id"]
    refresh = f"/v1/connections/{world.drifting}/schema/refresh"
    psql(world, f"CREATE TABLE {table} (id int, amount int)")
    world.send("POST", refresh)
    body = {
        "name": world.name("Drifting"),
        "connection_id": world.drifting,
        "sql": f"SELECT amount FROM {table}",
    }
    query = world.send("POST", "/v1/queries/save", body)["data"]["query_id"]
    psql(world, f"ALTER TABLE {table} RENAME COLUMN amount TO total")
    world.send("POST", refresh)
    until = time.monotonic() + LETTER_SECONDS
    while time.monotonic() < until:
        found = world.get(f"/v1/queries/repairs?query_id={query}")["data"]
        if found:
            return {"repair_id": found[0]["id"]}
        time.sleep(0.2)
    raise RuntimeError(f"{query} was not found broken")


def workflow(world):
    return {
        "name": world.name("Workflow"),
        "trigger": {"type": "webhook"},
        "steps": [
            {"name": "one", "type": "sql", "connection_id": world.connection, "sql": "SELECT 1 AS one"}
        ],
        # Nobody answers there: runs wait for their next try.
        "actions": [{"name": "post", "type": "http", "url": "http://127.0.0.1:9/", "json": {"n": "{{ row_count }}"}}],
    }


def workflow_run(world):
    """The path of a run that has not ended."""
    made = world.send("POST", "/v1/workflows", workflow(world))["data"]["id"]
    return {"id": made, "run_id": world.send("POST", f"/v1/workflows/{made}/run")["data"]["id"]}


def write_connection(world):
    return {
        "name": world.name("Writes"),
        "connection_id": world.connection,
        "username": "writer",
        "password": "not a real one",
        "tables": ["public.orders"],
        # Nobody of that name can log in there, and nothing is written.
        "verify": False,
    }


def waiting_run(world):
    writes = world.send("POST", "/v1/write-connections", write_connection(world))["data"]["id"]
    body = workflow(world)
    body["trigger"] = {"type": "manual"}
    body.pop("conditions", None)
    sql = "DELETE FROM orders WHERE id = -1"
    mark = {"name": "mark", "type": "write", "write_connection_id": writes, "sql": sql, "approval": {"self_approval": True}}
    body["actions"] = [mark]
    made = world.send("POST", "/v1/workflows", body)["data"]["id"]
    ids = {"id": made, "run_id": world.send("POST", f"/v1/workflows/{made}/run")["data"]["id"]}
    for _ in range(100):
        run = world.get(f"/v1/workflows/{made}/runs/{ids['run_id']}")["data"]
        if run["approvals"] or run["ended_at"]:
            break
        time.sleep(0.1)
    return ids


def webhook(world):
    made = world.send("POST", "/v1/workflows", workflow(world))["data"]["id"]
    return {"token": world.get(f"/v1/workflows/{made}/webhook")["data"]["url"].rsplit("/", 1)[1]}


def alert(world):
    query = world.send("POST", "/v1/queries", {"connection_id": world.connection, "sql": "SELECT 1 AS one"})
    return {
        "name": world.name("Alert"),
        "query_id": query["data"]["query_id"],
        "condition": {"type": "has_rows"},
        "schedule": {"every": "hour"},
    }


def new_alert(world):
    return {"id": world.send("POST", "/v1/alerts", alert(world))["data"]["id"]}


def credential(world):
    # An organization has two hundred at most.
    for it in world.get("/v1/credentials?limit=100")["data"][80:]:
        world.send("DELETE", f"/v1/credentials/{it['id']}")
    name = world.name("credential").lower().replace(" ", "-")
    return {"name": name, "type": "bearer", "origin": "https://crm.example.com", "secret": "a secret"}


def new_credential(world):
    return {"id": world.send("POST", "/v1/credentials", credential(world))["data"]["id"]}


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """A server that speaks the management API as far as is asked here: it lets everybody in and has every project."""

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length") or 0))
        self.tell({"access_token": "a", "refresh_token": "r", "expires_in": 3600, "token_type": "Bearer"})

    def do_GET(self):
        at = f"http://{self.headers['host']}"
        if self.path.startswith("/.well-known/"):
            ends = {f"{it}_endpoint": f"{at}/{it}" for it in ("authorization", "token", "revocation")}
            self.tell({"issuer": at, **ends})
        elif "/projects/" in self.path:
            id = self.path.rpartition("/projects/")[2]
            self.tell({"project": {"id": id, "name": id}})
        else:
            self.tell({"id": "1", "email": "zoe@example.com"})

    def tell(self, told):
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def elsewhere(world):
    """Where such a server is; it ends with this process."""
    if world.elsewhere is None:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        world.elsewhere = f"http://127.0.0.1:{server.server_address[1]}/api/v2"
    return world.elsewhere


def remote(world):
    # An organization has a hundred at most: the older ones make room.
    for it in world.get("/v1/remotes?limit=100")["data"][40:]:
        world.session.delete(f"{world.url}/v1/remotes/{it['id']}", headers={"Authorization": f"Bearer {world.key}"})
    name = world.name("remote").lower().replace(" ", "-")
    return {"name": name, "base_url": elsewhere(world), "key": "not a real one".replace(" ", "-")}


def new_remote(world):
    return {"id": world.send("POST", "/v1/remotes", remote(world))["data"]["id"]}


def oauth_remote(world):
    """The path of a remote that nobody has signed in to."""
    body = remote(world)
    del body["key"]
    issuer = body["base_url"].removesuffix("/api/v2")
    body["oauth"] = {"issuer": issuer, "client_id": "plinth", "scopes": ["projects"]}
    return {"id": world.send("POST", "/v1/remotes", body)["data"]["id"]}


def returned_remote(world):
    """The same, and what a browser came back with from it."""
    path = oauth_remote(world)
    url = world.send("POST", f"/v1/remotes/{path['id']}/authorization")["data"]["authorize_url"]
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["state"][0]
    return Sample(path=path, body={"code": "a-code", "state": state})


def remote_project(world):
    return {"project_id": world.name("project").lower().replace(" ", "-")}


def with_remote_project(world):
    """The path of a project that lives at a remote."""
    path, body = new_remote(world), remote_project(world)
    world.send("POST", f"/v1/remotes/{path['id']}/projects", body)
    return {**path, **body}


def subscription(world):
    # An organization has fifty at most: the older ones make room.
    for it in world.get("/v1/event-subscriptions?limit=100")["data"][20:]:
        world.send("DELETE", f"/v1/event-subscriptions/{it['id']}")
    # Nobody answers there: deliveries wait for their next try.
    return {"url": "http://127.0.0.1:9/", "types": ["member.added"], "description": world.name("Events")}


def new_subscription(world):
    return {"id": world.send("POST", "/v1/event-subscriptions", subscription(world))["data"]["id"]}


def event_delivery(world):
    path = new_subscription(world)
    sent = world.send("POST", f"/v1/event-subscriptions/{path['id']}/ping")
    return {**path, "delivery_id": sent["data"]["id"]}


def dashboard(world):
    query = world.send("POST", "/v1/queries", {"connection_id": world.connection, "sql": "SELECT 1 AS one"})
    position = {"x": 0, "y": 0, "w": 6, "h": 4}
    widget = {"type": "metric", "query_id": query["data"]["query_id"], "position": position}
    return {"name": world.name("Dashboard"), "widgets": [widget]}


def with_widget(world):
    """The path of a widget."""
    made = world.send("POST", "/v1/dashboards", dashboard(world))["data"]
    return {"id": made["id"], "widget_id": made["widgets"][0]["id"]}


def with_share(world):
    """The path of a link to a dashboard."""
    made = world.send("POST", "/v1/dashboards", dashboard(world))["data"]["id"]
    share = world.send("POST", f"/v1/dashboards/{made}/shares", {"kind": "embed"})["data"]
    return {"id": made, "share_id": share["id"]}


def run(world):
    """The path of a run that nobody waited for, and that has its rows."""
    headers = {"Authorization": f"Bearer {world.key}", "Prefer": "respond-async"}
    body = {"connection_id": world.connection, "sql": "SELECT 1 AS one"}
    id = world.send("POST", "/v1/queries", body, headers=headers)["data"]["id"]
    deadline = time.monotonic() + 30
    while world.get(f"/v1/query-runs/{id}")["data"]["state"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"{id} never ended")
        time.sleep(0.02)
    return {"id": id}


def shared(world, *parts):
    """The path of what a link shows."""
    made = world.send("POST", "/v1/dashboards", dashboard(world))["data"]
    share = world.send("POST", f"/v1/dashboards/{made['id']}/shares", {"kind": "link"})["data"]
    path = {"token": share["token"], "widget_id": made["widgets"][0]["id"]}
    return {name: path[name] for name in ("token", *parts)}


# Requests that end sign-ins: the next one that takes a sign-in signs in anew.
ENDING = {"sign_out", "sign_out_everywhere", "change_password", "reset_password", "end_my_session", "leave_organization"}

# What waits for a letter, hashes a password, or makes what there may be only so many of: once is enough.
SLOW = {
    "create_policy",
    "get_policy",
    "update_policy",
    "delete_policy",
    "reset_password",
    "accept_invitation",
    "remove_member",
    "leave_organization",
    "end_my_session",
    "remove_my_app",
    "delete_organization",
    "restore_organization",
    "transfer_organization",
    "exchange",
    "revoke",
    "introspect",
}

FORM = "application/x-www-form-urlencoded"

# Collections whose things are made otherwise than by a POST.
SPECIAL = {
    "/v1/conversations": lambda world: world.new_conversation(),
    "/v1/team/members": lambda world: world.new_member()["id"],
    "/v1/organizations": lambda world: world.organization,
    "/v1/me/apps": lambda world: world.exchanged()["client_id"],
    "/v1/me/sessions": lambda world: world.sign_in(EMAIL)["session_id"],
}

TABLE = ("table", "public.customers")

# By operation id: a request that succeeds.
SAMPLES = {
    "get_query_run": lambda world: Sample(path=run(world)),
    "get_query_run_results": lambda world: Sample(path=run(world)),
    "cancel_query_run": lambda world: Sample(path=run(world)),
    "create_dashboard": lambda world: Sample(body=dashboard(world)),
    "update_dashboard": lambda world: Sample(body={"description": world.name("What it shows")}),
    "refresh_dashboard": lambda world: Sample(body={}),
    "get_widget_image": lambda world: Sample(path=with_widget(world)),
    "create_dashboard_share": lambda world: Sample(body={"kind": "link"}),
    "revoke_dashboard_share": lambda world: Sample(path=with_share(world)),
    "get_shared_dashboard": lambda world: Sample(path=shared(world)),
    "get_shared_dashboard_image": lambda world: Sample(path=shared(world)),
    "get_shared_widget_image": lambda world: Sample(path=shared(world, "widget_id")),
    "create_workflow": lambda world: Sample(body=workflow(world)),
    "update_workflow": lambda world: Sample(body={"description": world.name("What it does")}),
    "preview_workflow": lambda world: Sample(body={}),
    "test_workflow_action": lambda world: Sample(body={"action": "post", "confirm": True}),
    "get_workflow_run": lambda world: Sample(path=workflow_run(world)),
    "cancel_workflow_run": lambda world: Sample(path=workflow_run(world)),
    "decide_workflow_run": lambda world: Sample(path=waiting_run(world), body={"decision": "approve"}),
    "create_write_connection": lambda world: Sample(body=write_connection(world)),
    "update_write_connection": lambda world: Sample(body={"max_rows": 5}),
    "call_workflow_webhook": lambda world: Sample(path=webhook(world), body={"order": 7}),
    "create_alert": lambda world: Sample(body=alert(world)),
    "update_alert": lambda world: Sample(
        path=new_alert(world), body={"description": world.name("What it is for")}
    ),
    "mute_alert": lambda world: Sample(path=new_alert(world), body={"seconds": 3600}),
    **{
        operation: lambda world: Sample(path=new_alert(world))
        for operation in [
            "get_alert",
            "delete_alert",
            "evaluate_alert",
            "unmute_alert",
            "list_alert_evaluations",
        ]
    },
    "create_credential": lambda world: Sample(body=credential(world)),
    "update_credential": lambda world: Sample(path=new_credential(world), body={"secret": "another"}),
    "get_credential": lambda world: Sample(path=new_credential(world)),
    "delete_credential": lambda world: Sample(path=new_credential(world)),
    "create_remote": lambda world: Sample(body=remote(world)),
    "update_remote": lambda world: Sample(path=new_remote(world), body={"region_id": "aws-eu-central-1"}),
    "get_remote": lambda world: Sample(path=new_remote(world)),
    "delete_remote": lambda world: Sample(path=new_remote(world)),
    "test_remote": lambda world: Sample(path=new_remote(world)),
    "authorize_remote": lambda world: Sample(path=oauth_remote(world)),
    "connect_remote": lambda world: returned_remote(world),
    "add_remote_project": lambda world: Sample(path=new_remote(world), body=remote_project(world)),
    "remove_remote_project": lambda world: Sample(path=with_remote_project(world)),
    "create_event_subscription": lambda world: Sample(body=subscription(world)),
    "update_event_subscription": lambda world: Sample(
        path=new_subscription(world), body={"description": world.name("Events")}
    ),
    **{
        operation: lambda world: Sample(path=new_subscription(world))
        for operation in [
            "get_event_subscription",
            "delete_event_subscription",
            "get_event_secret",
            "rotate_event_secret",
            "ping_event_subscription",
            "list_event_deliveries",
        ]
    },
    "get_event_delivery": lambda world: Sample(path=event_delivery(world)),
    "redeliver_event": lambda world: Sample(path=event_delivery(world)),
    "create_connection": lambda world: Sample(body=connection(world)),
    "update_connection": lambda world: Sample(body={"name": world.name("Connection")}),
    **{
        operation: lambda world: Sample(path={"id": world.connection})
        for operation in [
            "get_schema",
            "refresh_schema",
            "test_connection",
            "get_drift",
            "get_diagram",
            "get_table",
            "get_table_ddl",
            "list_snapshots",
            "list_annotations",
            "get_schema_freshness",
            "refresh_table",
        ]
    },
    "put_table_annotation": lambda world: Sample(path={"id": world.connection, **dict([TABLE])}, body=note(world)),
    "put_column_annotation": lambda world: Sample(
        path={"id": world.connection, **dict([TABLE]), "column": "id"}, body=note(world)
    ),
    "delete_table_annotation": lambda world: Sample(path=noted(world, TABLE)),
    "delete_column_annotation": lambda world: Sample(path=noted(world, TABLE, ("column", "id"))),
    **{
        operation: lambda world: Sample(path={"id": world.connection})
        for operation in ["list_terms", "list_metrics", "list_examples"]
    },
    **{
        f"{verb}_{kind}": lambda world, make=make, verb=verb, path=path: Sample(
            path={"id": world.connection, **({} if verb == "create" else {f"{KINDS[path]}_id": world.entry(path, make(world))})},
            **({"body": make(world)} if verb in ("create", "replace") else {}),
        )
        for kind, path, make in [("term", "glossary", term), ("metric", "metrics", metric), ("example", "examples", example)]
        for verb in ["create", "get", "replace", "delete"]
    },
    "accept_example": lambda world: Sample(
        path={"id": world.connection, "example_id": world.entry("examples", example(world))}
    ),
    "give_feedback": lambda world: Sample(body={"rating": "down", "comment": "not quite"}),
    "create_query": lambda world: Sample(body={"connection_id": world.connection, **world.random.choice(QUESTIONS)}),
    "save_query": lambda world: Sample(body={"name": world.name("Saved"), "tags": ["one"]}),
    "update_query": lambda world: Sample(body={"saved": True, "name": world.name("Saved")}),
    "save_sql": lambda world: Sample(body=saved_query(world)),
    "get_query_version": lambda world: Sample(path=with_saved_query(world, version="1")),
    "restore_query_version": lambda world: Sample(path=with_saved_query(world, version="1")),
    "get_repair": lambda world: Sample(path=repair(world)),
    "apply_repair": lambda world: Sample(path=repair(world)),
    "dismiss_repair": lambda world: Sample(path=repair(world)),
    "set_repair_mode": lambda world: Sample(body={"mode": "off", "query_id": with_saved_query(world)["id"]}),
    "export_query": lambda world: Sample(path=with_saved_query(world), body={"format": "csv"}),
    "list_parameter_choices": lambda world: Sample(path=with_saved_query(world, name="answer")),
    "list_policies": lambda world: Sample(path={"id": world.connection}),
    "get_effective_policies": lambda world: Sample(path={"id": world.connection}, query={}),
    "create_policy": lambda world: Sample(path={"id": world.connection}, body=policy(world)),
    "get_policy": lambda world: Sample(path=with_policy(world)),
    "update_policy": lambda world: Sample(path=with_policy(world), body={"active": False}),
    "delete_policy": lambda world: Sample(path=with_policy(world)),
    "get_member_attributes": lambda world: Sample(),
    "put_member_attributes": lambda world: Sample(
        body={"attributes": {"country": {"type": "text", "value": "Germany"}}}
    ),
    "create_api_key": lambda world: Sample(body={"name": world.name("Key"), "scopes": ["queries:read"]}),
    "sign_in": lambda world: Sample(body={"email": EMAIL, "password": PASSWORD}),
    "refresh_tokens": lambda world: Sample(body={"refresh_token": world.sign_in(EMAIL)["refresh_token"]}),
    "forgot_password": lambda world: Sample(body={"email": "nobody@example.com"}),
    "reset_password": lambda world: Sample(body={"token": world.reset_token(), "password": PASSWORD}),
    "change_password": lambda world: Sample(body={"current_password": PASSWORD, "new_password": PASSWORD}),
    "accept_invitation": lambda world: Sample(body={"token": world.invite()[1], "password": PASSWORD}),
    "invite_member": lambda world: Sample(body={"email": world.new_address(), "role": "viewer"}),
    "update_member": lambda world: Sample(body={"role": "editor"}),
    "create_role": lambda world: Sample(body={"name": world.name("Role"), "scopes": ["queries:read"]}),
    "update_role": lambda world: Sample(body={"description": world.name("New")}),
    "create_model": lambda world: Sample(body=model(world)),
    "update_model": lambda world: Sample(body={"name": world.name("Model")}),
    "update_model_settings": lambda world: Sample(body={"currency": "EUR"}),
    "create_identity_provider": lambda world: Sample(body=provider(world)),
    "replace_identity_provider": lambda world: Sample(body=provider(world)),
    "update_api_key": lambda world: Sample(body={"name": world.name("Key")}),
    "create_organization": lambda world: Sample(body={"name": world.name("Organization")}),
    "get_organization": lambda world: Sample(path={"id": world.organization}),
    "update_organization": lambda world: Sample(path={"id": world.organization}, body={"time_zone": "Europe/Berlin"}),
    "delete_organization": World.deletable,
    "restore_organization": World.restorable,
    "transfer_organization": World.transferable,
    "create_oauth_app": lambda world: Sample(body=oauth_app(world)),
    "replace_oauth_app": lambda world: Sample(body=oauth_app(world)),
    "change_oauth_app_secret": lambda world: Sample(),
    "exchange": lambda world: Sample(body=world.granted(), media_type=FORM),
    "revoke": lambda world: Sample(body=world.exchanged(), media_type=FORM),
    "introspect": lambda world: Sample(body=world.exchanged(), media_type=FORM),
    "create_database_config": lambda world: Sample(body=config(world)),
    "update_database_config": lambda world: Sample(body={"name": world.name("Config")}),
    "test_postgres": lambda world: Sample(body=world.postgres()),
    "discover_postgres_schema": lambda world: Sample(body=world.postgres()),
}

WORLD = World()
