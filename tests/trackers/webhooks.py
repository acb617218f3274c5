"""What other systems send: CloudEvents, Standard Webhooks and HubSpot's signature by their own packages; Mautic, GA4 and our own
API, which have none, by hand. Everything goes out twice, as after an answer that was lost, and then something that goes out once.

python webhooks.py INGEST_URL WRITE_KEY WHSEC HUBSPOT_SECRET MAUTIC_SECRET
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from datetime import datetime, timezone

import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hubspot.utils.signature import Signature
from standardwebhooks import Webhook

ingest, key, whsec, hubspot_secret, mautic_secret = sys.argv[1:6]
failed = []


def post(path, body, headers, expected):
    answer = requests.post(ingest + path, data=body, headers=headers, timeout=10)
    if answer.status_code != expected:
        failed.append(f"{path}: {answer.status_code} {answer.text}")
    return answer


def twice_and_once(send, events, marker):
    for _again in range(2):
        for event in events:
            send(*event)
    send(*marker)


def cloud_event(convert, event_id, kind, data):
    attributes = {"id": event_id, "type": kind, "source": "/python", "subject": "lead/é"}
    message = convert(CloudEvent(attributes=attributes, data={"email": "ce-python@acme.example", **data}))
    post("/events", message.body, {"X-Write-Key": key, **message.headers}, 200)


def standard_webhook(event_id, kind, data):
    body = json.dumps({"type": kind, "data": {"email": "sw-python@acme.example", **data}})
    now = datetime.now(timezone.utc)
    signature = Webhook(whsec).sign(event_id, now, body)
    headers = {"webhook-id": event_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    post("/webhooks/generic", body, headers, 204)


def hubspot(attempt, events):
    body = json.dumps([{"portalId": 62515, "objectId": 123, "attemptNumber": attempt, **event} for event in events])
    now = str(int(time.time() * 1000))
    uri = ingest + "/webhooks/hubspot?src=1"
    signature = Signature.get_signature(hubspot_secret, body, "v3", uri, "POST", now)
    headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": now, "content-type": "application/json"}
    post("/webhooks/hubspot?src=1", body, headers, 204)


def mautic(body):
    text = json.dumps(body)
    signature = base64.b64encode(hmac.new(mautic_secret.encode(), text.encode(), hashlib.sha256).digest()).decode()
    post("/webhooks/mautic", text, {"Webhook-Signature": signature}, 204)


def ga4(events, micros):
    body = {"client_id": "123.456", "user_id": "ga4@acme.example", "timestamp_micros": micros, "events": events}
    query = f"?measurement_id=G-1&api_secret={key}"
    said = post("/debug/mp/collect" + query, json.dumps(body), {}, 200).json()
    if said != {"validationMessages": []}:
        failed.append(f"GA4: {said}")
    post("/mp/collect" + query, json.dumps(body), {}, 204)


def own(events):
    said = post("/v1/events", json.dumps(events), {"X-Write-Key": key}, 200).json()
    if (said["accepted"], said["rejected"]) != (len(events) - 1, 1):
        failed.append(f"own API: {said}")


twice_and_once(
    cloud_event,
    [
        (to_binary_event, "1", "com.acme.form.submitted", {"form": "newsletter"}),
        (to_structured_event, "2", "com.acme.email.opened", {"subject": "News"}),
    ],
    (to_binary_event, "3", "com.acme.marker", {}),
)
twice_and_once(
    standard_webhook,
    [("msg_py_1", "contact.created", {"first_name": "Ren"}), ("msg_py_2", "webinar.attended", {"webinar": "CRM"})],
    ("msg_py_3", "test.marker", {}),
)

occurred_at = int(time.time() * 1000) - 60_000
changes = [
    {"eventId": 1, "subscriptionType": "contact.creation", "occurredAt": occurred_at},
    {"eventId": 2, "subscriptionType": "contact.propertyChange", "propertyName": "email", "propertyValue": "hubspot@acme.example", "occurredAt": occurred_at},
    {"eventId": 3, "subscriptionType": "contact.propertyChange", "propertyName": "recent_conversion_event_name", "propertyValue": "Newsletter", "occurredAt": occurred_at},
]
hubspot(0, changes)
hubspot(1, changes)
hubspot(0, [{"eventId": 4, "subscriptionType": "contact.marker", "occurredAt": occurred_at}])

at = datetime.now(timezone.utc).isoformat(timespec="seconds")
contact = {"id": 47, "points": 5, "fields": {"core": {"email": {"alias": "email", "value": "mautic@acme.example"}}}}
visitor = {"id": 47, "points": 0, "fields": {"core": {"email": {"alias": "email", "value": None}}}}
happened = {
    "mautic.page_on_hit": [{"hit": {"id": 1, "url": "https://acme.example/pricing", "lead": visitor}, "timestamp": at}],
    "mautic.form_on_submit": [{"submission": {"id": 2, "form": {"id": 3, "alias": "newsletter"}, "lead": contact, "results": {"email": "mautic@acme.example"}}, "timestamp": at}],
    "mautic.email_on_open": [{"stat": {"id": 9, "emailAddress": "mautic@acme.example", "email": {"name": "News"}, "lead": contact}, "timestamp": at}],
}
mautic(happened)
mautic(happened)
mautic({"mautic.lead_points_change": [{"contact": contact, "points": {"old_points": 0, "new_points": 5}, "timestamp": at}]})

micros = int(time.time() * 1_000_000)
seen = [{"name": "page_view", "params": {"page_location": "https://acme.example/a"}}, {"name": "file_download", "params": {"file_name": "wp.pdf"}}]
ga4(seen, micros)
ga4(seen, micros)
ga4([{"name": "marker"}], micros)

events = [
    {"id": "e-1", "type": "page_viewed", "visitor_id": "own-1", "context": {"url": "https://acme.example/pricing"}},
    {"id": "e-2", "type": "form_submitted", "data": {"form": "newsletter"}, "visitor_id": "own-1", "email": "own@acme.example"},
    {"id": "e-3", "type": "form_submitted", "visitor_id": "own-1"},
]
own(events)
own(events)
own([{"id": "e-4", "type": "custom", "data": {"name": "marker"}, "visitor_id": "own-1"}, {}])

sys.exit("\n".join(failed) if failed else 0)
