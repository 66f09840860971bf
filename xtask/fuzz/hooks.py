"""What schemathesis does not know of Plinth: whose requests they are, which ids exist, and which answers are allowed.

The counts of all answers are left in the file that PLINTH_FUZZ_REPORT names; `cargo xtask fuzz-api` judges them.
"""

import atexit
import collections
import json
import os
import threading
import uuid

import schemathesis
from schemathesis.core.parameters import ParameterLocation

from world import NOTHING, WORLD

# The contract's answers of 500 and above; anything else up there is a fault of ours.
SERVER_ERRORS = {(500, "query_error"), (504, "query_timeout"), (502, "connection_error")}

# Of the valid requests for an operation, every so many-th is a sample that is known to succeed.
SAMPLE_EVERY = 4

answers = collections.defaultdict(collections.Counter)
# What was last said with each status, for operations that never succeed.
said = collections.defaultdict(dict)
positives = collections.Counter()
lock = threading.Lock()


@schemathesis.auth(refresh_interval=None)
class Key:
    """The owner's key, or where that is not enough, a sign-in."""

    def get(self, case, context):
        id = operation_id(context.operation)
        succeeded = any(200 <= status < 300 for status in answers[context.operation.label])
        return WORLD.credential(id, succeeded)

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"


def operation_id(operation):
    return operation.definition.raw["operationId"]


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts ids that exist and samples that succeed in the place of what was made up, in valid requests only."""
    prepare(case)
    # Ids that answers have told are tried too, and what all of this is done with has to stay.
    others = WORLD.spare(case.method.upper(), case.operation.path, case.path_parameters)
    if others:
        case.path_parameters = others


def prepare(case):
    operation = case.operation
    meta = case.meta
    if meta is not None and meta.phase.name.value == "stateful":
        # Its links have real ids already. But a key that comes twice is answered with what was made the first time, which
        # may be gone by now.
        if "Idempotency-Key" in case.headers:
            case.headers["Idempotency-Key"] = str(uuid.uuid4())
        # An organization is there for requests that pick it.
        if operation.path.startswith("/v1/organizations/{id}"):
            case.headers["x-tenant-id"] = str(case.path_parameters.get("id"))
        return
    if case.method.upper() != operation.method.upper():
        return  # a probe for methods that are not there
    is_valid = meta is None or meta.generation.mode.is_positive
    if is_valid:
        with lock:
            number = positives[operation.label]
            positives[operation.label] += 1
        succeeded = any(200 <= status < 300 for status in answers[operation.label])
        if number % SAMPLE_EVERY == 0 or not succeeded and number % 2 == 0:
            sample = WORLD.sample(operation_id(operation), succeeded)
            if sample is not None:
                return put(case, sample)
    if meta is None or not meta.is_negative_at(ParameterLocation.PATH):
        ids = WORLD.ids(operation_id(operation), operation.path, case.path_parameters)
        if ids:
            case.path_parameters = {**case.path_parameters, **ids}


def put(case, sample):
    case.path_parameters = {**(case.path_parameters or {}), **sample.path}
    case.query = dict(sample.query)
    case.headers.update(sample.headers)
    case.headers.pop("If-Match", None)
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    case.headers.pop("If-Match", None)
    if sample.body is not NOTHING:
        case.body = sample.body
        case.media_type = sample.media_type


@schemathesis.hook
def after_call(context, case, response):
    with lock:
        answers[case.operation.label][response.status_code] += 1
        said[case.operation.label][response.status_code] = response.content[:400].decode(errors="replace")
    if case.method.upper() == case.operation.method.upper():
        WORLD.learn(operation_id(case.operation), case.path_parameters, response)


@schemathesis.check
def only_the_contracts_server_errors(context, response, case):
    """No answer of 500 and above but the contract's three, in the envelope."""
    if response.status_code < 500:
        return
    try:
        error = json.loads(response.content)["error"]
    except (ValueError, KeyError, TypeError):
        raise AssertionError(f"status {response.status_code} without the envelope: {response.content[:200]!r}")
    code = error.get("code") if isinstance(error, dict) else error
    details = error.get("details") if isinstance(error, dict) else None
    # A remote is somebody else's server, as a connection is: what is made up for one cannot be reached.
    if response.status_code == 503 and isinstance(details, dict) and details.get("code") == "REMOTE_UNAVAILABLE":
        return
    if (response.status_code, code) not in SERVER_ERRORS:
        raise AssertionError(f"status {response.status_code} with the code {code!r}")


@schemathesis.check
def every_answer_has_its_request_id(context, response, case):
    """`x-request-id` comes back on every response."""
    if not response.headers.get("x-request-id"):
        raise AssertionError("the answer has no x-request-id")


@atexit.register
def report():
    counts = {label: {str(status): n for status, n in sorted(by.items())} for label, by in sorted(answers.items())}
    total = sum(n for by in counts.values() for n in by.values())
    for label, last in sorted(said.items()):
        if not any(200 <= status < 300 for status in last):
            for status, body in sorted(last.items()):
                print(f"· {label} was last answered {status}: {body}")
    with open(os.environ["PLINTH_FUZZ_REPORT"], "w", encoding="utf-8") as file:
        json.dump({"requests": total, "operations": counts}, file, indent=1)
