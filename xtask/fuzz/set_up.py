"""Makes the first owner of a new server, as an operator does, and prints the key: `set_up.py URL TOKEN`.

`POST /v1/setup` succeeds once in a server's life, before there is anything to fuzz; this is that once.
"""

import json
import sys
import urllib.request

from owner import EMAIL, PASSWORD

url, token = sys.argv[1:]
body = {"token": token, "organization": "Fuzzed", "email": EMAIL, "password": PASSWORD}
request = urllib.request.Request(
    url + "/v1/setup", data=json.dumps(body).encode(), headers={"content-type": "application/json"}
)
with urllib.request.urlopen(request, timeout=60) as response:
    assert response.status == 201, response.status
    print(json.load(response)["data"]["api_key"])
