"""Reads the public contract as a CRM connector would, with a client that is not rdkafka.

python contract.py BOOTSTRAP_SERVERS LEAD_ID SECONDS  ->  the first record of that lead, as {"headers", "key", "value"}
"""

import json
import sys
import time

from kafka import KafkaConsumer

servers, lead, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
consumer = KafkaConsumer(
    "leads.qualified.v1",
    bootstrap_servers=servers,
    isolation_level="read_committed",
    auto_offset_reset="earliest",
    enable_auto_commit=False,
    group_id=None,
    consumer_timeout_ms=500,
)
until = time.monotonic() + seconds
while time.monotonic() < until:
    for record in consumer:
        if record.key.decode() == lead:
            headers = {name: value.decode() for name, value in record.headers}
            print(json.dumps({"headers": headers, "key": record.key.decode(), "value": json.loads(record.value)}))
            sys.exit(0)
sys.exit("no record of lead " + lead)
