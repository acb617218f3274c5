"""Page views of another person, sent by Snowplow's own package.

python snowplow.py INGEST_HOST:PORT USER_ID COUNT
"""

import sys

from snowplow_tracker import Emitter, PageView, Subject, Tracker

address, user_id, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
failed = []
emitter = Emitter(address, protocol="http", method="post", batch_size=1, on_failure=lambda sent, events: failed.extend(events))
subject = Subject()
subject.set_user_id(user_id)
tracker = Tracker(namespace="site", emitters=emitter, app_id="website", subject=subject)
for number in range(count):
    tracker.track(PageView(page_url=f"https://www.example.com/products/{number}", page_title=f"Product {number}"))
tracker.flush()
sys.exit("lost: %d" % len(failed) if failed else 0)
