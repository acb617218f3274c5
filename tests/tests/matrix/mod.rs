//! Which package goes through what, and what must come of it.

use tasuki_tests::cells::{Cell, Expected, Home, Scenario};

use Expected::{AtMostOnce, FirstLost, Never, Once};
use Scenario::{
    AnswerLost, Batch, BrokerDown, BrokerSlow, Get, Hostile, Killed, Large, Leave, NoCors, Normal, Plain, Refused,
    WrongKey,
};

type Row = (&'static str, Home, &'static [(Scenario, Expected)]);

const TOO_LARGE: Expected = FirstLost("5 MB is more than the log takes: kept as a dead letter, the others go on");
const NEVER_AGAIN: &str = "this client never sends anything again";
const FEW_TRIES: Expected = AtMostOnce("this client tries three times within some seconds, whatever Retry-After says");
const NO_ACCESS: Expected = Never("the browser asks first, and without CORS headers sends nothing", 0);
const NOT_KEPT: Expected =
    AtMostOnce("this client keeps nothing: what is not on its way when the page is left is lost");
const NOT_YET_KEPT: Expected = AtMostOnce(
    "this client keeps an event once it is about to send it: what has not come so far when the page is left is lost",
);
const NO_SETTINGS: Expected = Never("without settings, for which it needs a key, this client sends nothing", 0);
const NO_KEY: &str = "401 is final for this client";

/// Every package and its scenarios. Snowplow's protocol knows no key; Python's Segment and Rudder refuse large events themselves.
const MATRIX: &[Row] = &[
    (
        "@segment/analytics-node",
        Home::Node,
        &[
            (Normal, Once),
            (Batch, Once),
            (Hostile, Once),
            (Large, TOO_LARGE),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 5)),
        ],
    ),
    (
        "analytics-node",
        Home::Node,
        &[
            (Normal, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, FEW_TRIES),
            (BrokerSlow, Once),
            (BrokerDown, FEW_TRIES),
            (WrongKey, Never(NO_KEY, 5)),
        ],
    ),
    (
        "@rudderstack/rudder-sdk-node",
        Home::Node,
        &[
            (Normal, Once),
            (Plain, Once),
            (Batch, Once),
            (Hostile, Once),
            (Large, TOO_LARGE),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 5)),
        ],
    ),
    (
        "@jitsu/js",
        Home::Node,
        &[
            (Normal, Once),
            (Hostile, Once),
            (Large, TOO_LARGE),
            (Refused, AtMostOnce(NEVER_AGAIN)),
            (AnswerLost, Once),
            (Killed, AtMostOnce(NEVER_AGAIN)),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 6)),
        ],
    ),
    (
        "@snowplow/node-tracker",
        Home::Node,
        &[
            (Normal, Once),
            (Get, Once),
            (Batch, Once),
            (Hostile, Once),
            (Large, TOO_LARGE),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
        ],
    ),
    (
        "segment-analytics-python",
        Home::Python,
        &[
            (Normal, Once),
            (Plain, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 5)),
        ],
    ),
    (
        "rudder-sdk-python",
        Home::Python,
        &[
            (Normal, Once),
            (Plain, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 5)),
        ],
    ),
    (
        "snowplow-tracker",
        Home::Python,
        &[
            (Normal, Once),
            (Get, Once),
            (Batch, Once),
            (Hostile, Once),
            (Large, TOO_LARGE),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
        ],
    ),
    (
        "@segment/analytics-next",
        Home::Browser,
        &[
            (Normal, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, NO_SETTINGS),
            (Leave, NOT_YET_KEPT),
            (NoCors, NO_ACCESS),
        ],
    ),
    (
        "@rudderstack/analytics-js",
        Home::Browser,
        &[
            (Normal, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (Leave, Once),
            (NoCors, NO_ACCESS),
        ],
    ),
    (
        "@snowplow/browser-tracker",
        Home::Browser,
        &[
            (Normal, Once),
            (Get, Once),
            (Batch, Once),
            (Hostile, Once),
            (Refused, Once),
            (AnswerLost, Once),
            (Killed, Once),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (Leave, Once),
            (NoCors, NO_ACCESS),
        ],
    ),
    (
        "@jitsu/js",
        Home::Browser,
        &[
            (Normal, Once),
            (Hostile, Once),
            (Refused, AtMostOnce(NEVER_AGAIN)),
            (AnswerLost, Once),
            (Killed, AtMostOnce(NEVER_AGAIN)),
            (BrokerSlow, Once),
            (BrokerDown, Once),
            (WrongKey, Never(NO_KEY, 6)),
            (Leave, NOT_KEPT),
            (NoCors, NO_ACCESS),
        ],
    ),
];

/// The cells of these scenarios; `CONFORM_ONLY` takes some of them.
pub(crate) fn cells(of: impl Fn(Scenario) -> bool) -> Vec<Cell> {
    let only = std::env::var("CONFORM_ONLY").unwrap_or_default();
    let all = MATRIX.iter().flat_map(|(package, home, row)| {
        let cell = |&(scenario, expected): &_| Cell { package, home: *home, scenario, expected, again: false };
        row.iter().map(cell)
    });
    all.filter(|cell| of(cell.scenario) && cell.name().contains(&only)).collect()
}
