//! The contract of the runners, on a real Postgres.

mod support;

use support::Embedded;

tasuki_testkit::contract_suite!(Embedded::fresh());
