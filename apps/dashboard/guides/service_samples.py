"""Programs of the pages about webhooks, alerts and keys. Tests run each against a running server."""

from __future__ import annotations

from typing import Final

from apps.dashboard.guides.samples import Sample

EVENT: Final = "liquidation.spike"


def webhook_samples(base_url: str) -> dict[str, list[Sample]]:
    """``add`` makes a webhook; ``receive`` are whole receivers; ``check`` is the check written out."""
    return {
        "add": [Sample("curl", "cURL", _ADD % {"url": base_url})],
        "receive": [
            Sample("python", "Python, with standardwebhooks", _RECEIVE_PYTHON),
            Sample("javascript", "JavaScript, with Node alone", _RECEIVE_JAVASCRIPT),
        ],
        "check": [
            Sample("python", "Python, with the standard library alone", _CHECK_PYTHON),
            Sample("npm", "JavaScript, with standardwebhooks of npm", _CHECK_NPM),
        ],
    }


def alert_samples(base_url: str) -> dict[str, list[Sample]]:
    names = {"url": base_url}
    return {
        "add": [Sample("curl", "cURL", _RULE % names)],
        "backtest": [
            Sample("python", "Python", _BACKTEST_PYTHON % names),
            Sample("javascript", "JavaScript", _BACKTEST_JAVASCRIPT % names),
        ],
    }


def key_samples(base_url: str) -> list[Sample]:
    return [Sample("curl", "cURL", _KEY % {"url": base_url})]


_ADD: Final = """\
curl -X POST "%(url)s/v1/webhooks" \\
  -H "X-API-Key: $FOCSAL_KEY" \\
  -H "Idempotency-Key: my-first-webhook" \\
  -H "Content-Type: application/json" \\
  -d '{"url": "https://example.com/focsal", "events": ["liquidation.spike"], "assets": ["BTC"]}'
"""
_RECEIVE_PYTHON: Final = """\
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["FOCSAL_WEBHOOK_SECRET"])
seen = set()

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            event = webhook.verify(body, headers)
        except WebhookVerificationError:
            self.send_response(400)
        else:
            if headers["webhook-id"] not in seen:
                seen.add(headers["webhook-id"])
                print(event["type"], event["event_id"], flush=True)
            self.send_response(204)
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver).serve_forever()
"""
_RECEIVE_JAVASCRIPT: Final = """\
import {createHmac, timingSafeEqual} from "node:crypto";
import {createServer} from "node:http";

const key = Buffer.from(process.env.FOCSAL_WEBHOOK_SECRET.replace("whsec_", ""), "base64");
const seen = new Set();

function isSigned(headers, body) {
  const id = headers["webhook-id"], timestamp = headers["webhook-timestamp"];
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= 300)) return false;
  const expected = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest();
  // Two signatures while a secret is rotated: one that fits is enough.
  return (headers["webhook-signature"] ?? "").split(" ").some((one) => {
    const found = Buffer.from(one.replace("v1,", ""), "base64");
    return found.length === expected.length && timingSafeEqual(found, expected);
  });
}

createServer(async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!isSigned(request.headers, body)) return response.writeHead(400).end();
  const event = JSON.parse(body);
  if (!seen.has(event.event_id)) {
    seen.add(event.event_id);
    console.log(event.type, event.event_id);
  }
  response.writeHead(204).end();
}).listen(Number(process.env.PORT ?? 8080), "127.0.0.1");
"""
_CHECK_PYTHON: Final = """\
import base64
import hashlib
import hmac
import time

def is_signed(secret, headers, body):
    \"\"\"headers have small letters; body is the bytes as they came, before any parsing.\"\"\"
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    # Two signatures while a secret is rotated: one that fits is enough.
    found = headers["webhook-signature"].split()
    return any(hmac.compare_digest(one, "v1," + expected) for one in found)
"""
_CHECK_NPM: Final = """\
import {Webhook} from "standardwebhooks";

const webhook = new Webhook(process.env.FOCSAL_WEBHOOK_SECRET);
export function eventOf(body, headers) {
  // Throws when the signature does not fit or the timestamp is older than five minutes.
  return webhook.verify(body, headers);
}
"""
_RULE: Final = """\
curl -X POST "%(url)s/v1/alerts" \\
  -H "X-API-Key: $FOCSAL_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"name": "BTC funding runs hot", "cooldown_seconds": 3600, "condition":
       {"metric": "markets.funding", "asset": "BTC", "field": "aggregate.value",
        "op": ">", "value": 0.03, "clear": 0.02}}'
"""
_BACKTEST_PYTHON: Final = """\
import os
import requests

answer = requests.post(
    "%(url)s/v1/alerts/backtest",
    headers={"X-API-Key": os.environ["FOCSAL_KEY"]},
    json={
        "condition": {"metric": "markets.funding", "asset": "BTC",
                      "field": "aggregate.value", "op": ">", "value": 0.01},
        "cooldown_seconds": 0,
        "days": 30,
    },
)
answer.raise_for_status()
found = answer.json()
print(found["fires"], found["moments"])
"""
_BACKTEST_JAVASCRIPT: Final = """\
const answer = await fetch("%(url)s/v1/alerts/backtest", {
  method: "POST",
  headers: {"X-API-Key": process.env.FOCSAL_KEY, "Content-Type": "application/json"},
  body: JSON.stringify({
    condition: {metric: "markets.funding", asset: "BTC",
                field: "aggregate.value", op: ">", value: 0.01},
    cooldown_seconds: 0,
    days: 30,
  }),
});
if (!answer.ok) throw new Error(await answer.text());
const found = await answer.json();
console.log(found.fires, found.moments);
"""
_KEY: Final = """\
curl -X POST "%(url)s/v1/account/keys" \\
  -H "Cookie: sessionid=$FOCSAL_SESSION; csrftoken=$FOCSAL_CSRF" \\
  -H "X-CSRFToken: $FOCSAL_CSRF" -H "Origin: %(url)s" \\
  -H "Content-Type: application/json" -H "Idempotency-Key: nightly-job-2026" \\
  -d '{"name": "nightly job", "layers": ["L1"], "allowed_ips": ["203.0.113.0/24"]}'
"""
