"""The trackers for Python: python conform.py CELL, spoken to as cell.mjs says."""

import json
import logging
import os
import sys
import threading
import time

cell = json.loads(sys.argv[1])
scenario, endpoint, key, count = cell["scenario"], cell["endpoint"], cell["key"], cell["count"]
email = cell["cell"] + "@conform.example"
flush_at = 20 if scenario == "batch" else 1
HUGE = "x" * 5_000_000


def say(line):
    print(" ".join(str(line).split()), flush=True)


def token(number):
    return f"/conform/{cell['cell']}/{number:04}"


def nested(levels):
    return 1 if levels == 0 else [nested(levels - 1)]


# What clients have sent that broke other collectors. The package must be able to send it.
HOSTILE = [
    {"nan": float("nan"), "infinity": float("inf"), "text": "NaN"},
    {"surrogate": "a\ud800b"},
    {"nul": "a\0b"},
    {"deep": nested(150)},
    {"big": 2**70},
]
if cell["package"] == "snowplow-tracker":
    # It raises: what it cannot encode it does not send.
    HOSTILE.remove({"surrogate": "a\ud800b"})


def segment_like(analytics):
    analytics.write_key = key
    analytics.gzip = scenario != "plain"
    analytics.on_error = lambda error, items: say(f"lost {error}")
    analytics.flush_interval = 0.2
    analytics.flush_at = flush_at
    analytics.upload_size = flush_at

    def send(number, path, more):
        if number % 2 == 0:
            analytics.page(email, name=path, properties={"path": path, **more})
        else:
            analytics.track(email, "Seen", {"path": path, **more})

    return send, lambda: None


def segment():
    import segment.analytics as analytics

    analytics.host = endpoint
    return segment_like(analytics)


def rudder():
    import rudderstack.analytics as analytics

    analytics.dataPlaneUrl = endpoint
    return segment_like(analytics)


def snowplow():
    from snowplow_tracker import Emitter, PageView, SelfDescribing, SelfDescribingJson, StructuredEvent, Subject, Tracker

    method = "get" if scenario == "get" else "post"
    emitter = Emitter(endpoint.removeprefix("http://"), protocol="http", method=method, batch_size=flush_at)
    tracker = Tracker(namespace="conform", emitters=emitter, app_id="website", subject=Subject().set_user_id(email))

    def send(number, path, more):
        if more:
            tracker.track(SelfDescribing(SelfDescribingJson("iglu:com.acme/seen/jsonschema/1-0-0", {"path": path, **more})))
        elif number % 2 == 0:
            tracker.track(PageView(page_url="https://www.example.com" + path))
        else:
            tracker.track(StructuredEvent("seen", "seen", label=path, value=42.5))

    return send, tracker.flush


packages = {"segment-analytics-python": segment, "rudder-sdk-python": rudder, "snowplow-tracker": snowplow}
send, meanwhile = packages[cell["package"]]()
# Snowplow's tells of every request.
logging.disable(logging.ERROR)
over = threading.Event()
say("ready")
sys.stdin.readline()
for number in range(count):
    more = HOSTILE[number % len(HOSTILE)] if scenario == "hostile" else {}
    send(number, token(number), {"huge": HUGE} if scenario == "large" and number == 0 else more)
meanwhile()
say("sent")


def wait():
    sys.stdin.readline()
    over.set()


threading.Thread(target=wait, daemon=True).start()
while not over.wait(0.3):
    meanwhile()
# Without the packages' own goodbyes, which wait for what is not to be sent any more.
sys.stdout.flush()
os._exit(0)
