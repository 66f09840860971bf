"""The things that requests are about: made over the API itself, so that they exist when an id is asked for.

For a new route: a path parameter gets an id by itself if the route's collection has a POST whose body is in `SAMPLES`. An
operation that needs more than that to succeed gets a sample of its own there. `cargo xtask fuzz-api` names each operation
that never succeeded.
"""

import itertools
import json
import os
import random
import re
import threading
from dataclasses import dataclass, field
from typing import Any

import requests

NOTHING = object()

# How many ids of a collection are kept to choose from.
POOL = 20

# Where an answer to a POST has the id of what it made, if not in `data.id`.
IDS = {"/v1/queries": ("data", "query_id")}


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
        with open(os.environ["PLINTH_FUZZ_DOCUMENT"], encoding="utf-8") as file:
            document = json.load(file)
        self.operations = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        # The sample shop, which the demo has connected, and the key that all of this is done with: neither may go.
        self.connection = self.get("/v1/connections")["data"][-1]["id"]
        self.kept = {self.connection} | {
            key["id"] for key in self.get("/v1/api-keys")["data"] if self.key.endswith(key["hint"])
        }

    # What hooks.py asks for

    def credential(self, operation):
        return self.key

    def sample(self, operation):
        """A request of this operation that succeeds, or None where nothing is known of it."""
        with self.lock:
            make = SAMPLES.get(operation)
            sample = make(self) if make else None
            method, path = self.operations[operation]
            ids = self.ids(operation, path, {}, always=True)
            if sample is None:
                has_body = method in ("POST", "PUT", "PATCH")
                return None if has_body or (ids is None) else Sample(path=ids)
            sample.path = {**(ids or {}), **sample.path}
            return sample

    def ids(self, operation, path, generated, always=False):
        """Ids that exist for the parameters of the path, mostly; None where one cannot be had."""
        with self.lock:
            ids = {}
            for name in re.findall(r"{(\w+)}", path):
                if not always and self.random.random() < 0.2:
                    continue
                collection = path[: path.index("{" + name + "}")].rstrip("/")
                for known, value in ids.items():
                    collection = collection.replace("{" + known + "}", value)
                is_last = path.endswith("{" + name + "}")
                gone = self.operations[operation][0] == "DELETE" and is_last
                id = self.take(collection, fresh=gone)
                if id is not None:
                    ids[name] = id
                elif always:
                    return None
            return ids

    def learn(self, path, method, parameters, response):
        """Keeps the ids of what an answer says is there, and forgets what was removed."""
        if not 200 <= response.status_code < 300 or "{" in path and method != "DELETE":
            return
        with self.lock:
            if method == "DELETE":
                last = re.search(r"/{(\w+)}$", path)
                if last and parameters:
                    for pool in self.pools.values():
                        if parameters.get(last[1]) in pool:
                            pool.remove(parameters[last[1]])
            elif method == "POST":
                try:
                    self.remember(path, id_in(path, json.loads(response.content)))
                except (ValueError, KeyError, TypeError):
                    pass

    # Making things

    def take(self, collection, fresh=False):
        """An id of this collection; a new one if it is to be removed."""
        pool = self.pools.setdefault(collection, [])
        if not fresh and len(pool) > 2:
            return self.random.choice(pool)
        maker = next((id for id, at in self.operations.items() if at == ("POST", collection)), None)
        if maker in SAMPLES:
            made = self.send("POST", collection, SAMPLES[maker](self).body)
            id = id_in(collection, made)
            if not fresh:
                self.remember(collection, id)
            return id
        return self.random.choice(pool) if pool else None

    def remember(self, collection, id):
        pool = self.pools.setdefault(collection, [])
        if id not in self.kept and id not in pool:
            pool.append(id)
            del pool[:-POOL]

    def send(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.key}"}
        response = self.session.request(method, self.url + path, json=body, headers=headers, timeout=60)
        if not 200 <= response.status_code < 300:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response.json() if response.content else None

    def get(self, path):
        return self.send("GET", path)

    def name(self, what):
        return f"{what} {next(self.numbers)}"


def id_in(collection, body):
    for step in IDS.get(collection, ("data", "id")):
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

# By operation id: a request that succeeds.
SAMPLES = {
    "create_connection": lambda world: Sample(body=connection(world)),
    "get_schema": lambda world: Sample(path={"id": world.connection}),
    "refresh_schema": lambda world: Sample(path={"id": world.connection}),
    "test_connection": lambda world: Sample(path={"id": world.connection}),
    "create_query": lambda world: Sample(
        body={"connection_id": world.connection, **world.random.choice(QUESTIONS)}
    ),
    "create_api_key": lambda world: Sample(body={"name": world.name("Key"), "scopes": ["queries:read"]}),
}

WORLD = World()
