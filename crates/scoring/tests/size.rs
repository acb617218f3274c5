//! How much is kept of a lead.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::typical_lead;
use tasuki_playbook::Playbook;
use tasuki_scoring::ScoringState;
use tasuki_stream::State;

#[test]
fn a_typical_lead_of_twenty_signals_takes_few_bytes_and_reads_back() {
    let lead = typical_lead(&Arc::new(Playbook::built_in()), 20);
    let state = lead.state();
    println!("20 signals and a profile of 6 attributes: {} bytes", state.len());
    assert!(state.len() <= 768, "{} bytes", state.len());
    let mut again = Vec::new();
    ScoringState::decode(&state).unwrap().encode(&mut again);
    assert_eq!(again, state);
}

#[test]
fn a_state_that_is_cut_off_or_goes_on_is_refused() {
    let state = typical_lead(&Arc::new(Playbook::built_in()), 3).state();
    for length in 0..state.len() {
        assert!(ScoringState::decode(&state[..length]).is_err(), "cut off at {length}");
    }
    assert!(ScoringState::decode(&[state.as_slice(), &[0]].concat()).is_err());
}

/// As a release before accounts wrote it.
#[test]
fn a_state_of_the_format_before_is_read_and_written_in_the_present_one() {
    let before = include_bytes!("states/lead.v3.bin");
    let mut now = Vec::new();
    ScoringState::decode(before).unwrap().encode(&mut now);
    assert_eq!((before[0], now[0]), (3, 4));
    // The instants had a byte each that said whether they are there; now one byte says it of all.
    assert_eq!(now.len(), before.len() - 2);
    let mut again = Vec::new();
    ScoringState::decode(&now).unwrap().encode(&mut again);
    assert_eq!(again, now);
}

/// As a release wrote it whose accounts told their leads nothing.
#[test]
fn the_state_of_an_account_of_the_format_before_is_read_and_written_in_the_present_one() {
    let (revision, said, version) = ([1, 2, 3, 4], [5; 8], 9);
    // One lead by its id, its score of version 7 as of 1 ms, engaged with 2 millipoints, of IT.
    let leads = [&[1][..], &[0x33; 16], &[7, 2, 1, 4, 2], b"IT"].concat();
    let before = [b"A", &revision[..], &said, &[version], &leads].concat();
    let mut now = Vec::new();
    ScoringState::decode(&before).unwrap().encode(&mut now);
    let told = [0; 4];
    assert_eq!(now, [b"B", &revision[..], &said, &[version], &told, &leads].concat());
}
