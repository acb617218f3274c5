//! A fault that did not land proves nothing, and on a fast machine the work may be done before it strikes. So it is tried
//! again: at other moments, and with twice the work each time.

use super::random::Random;
use super::report::{Run, Verdict};

/// One try at a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) seed: u64,
    /// From 1.
    pub(crate) number: u32,
    /// Behavior events of its load.
    pub(crate) events: usize,
}

impl Attempt {
    pub(crate) fn first(seed: u64, events: usize) -> Self {
        Self { seed, number: 1, events }
    }

    /// For the schedule of the fault: the same for the same attempt with the same seed, another for the next attempt.
    pub(crate) fn schedule(self) -> Random {
        match self.number {
            1 => Random::of(self.seed, "schedule"),
            number => Random::of(self.seed, &format!("schedule {number}")),
        }
    }

    fn next(self) -> Self {
        Self { number: self.number + 1, events: self.events.saturating_mul(2), ..self }
    }
}

/// Runs a fault until it lands, at most so often, and gives back the last run. Only what is not proved is tried again: what
/// was found wrong stays so, and a run that could not be carried out has a cause that is to be looked at.
pub(crate) fn until_it_lands(first: Attempt, at_most: u32, mut run: impl FnMut(Attempt) -> Run) -> Run {
    let mut attempt = first;
    loop {
        let ran = Run { attempts: attempt.number, events: attempt.events, ..run(attempt) };
        eprintln!("{ran}");
        let vacuous = ran.verdict() == Verdict::Invalid && ran.error.is_none();
        if !vacuous || attempt.number >= at_most {
            return ran;
        }
        attempt = attempt.next();
        eprintln!("--- {} seed {}: attempt {} with {} events", ran.fault, ran.seed, attempt.number, attempt.events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landed() -> Run {
        Run { landed: true, checked: [("I4", Vec::new())].into(), ..Run::default() }
    }

    fn vacuous() -> Run {
        Run { landed: false, ..landed() }
    }

    /// Attempts that come out like these, of which at most three are made: how many were, with how many events, and what
    /// the last one proves.
    fn verdict(mut outcomes: Vec<Run>) -> (u32, Vec<usize>, Verdict) {
        outcomes.reverse();
        let mut events = Vec::new();
        let ran = until_it_lands(Attempt::first(7, 100), 3, |attempt| {
            events.push(attempt.events);
            outcomes.pop().expect("no attempt after the last one")
        });
        assert_eq!(ran.events, *events.last().expect("at least one attempt"));
        (ran.attempts, events, ran.verdict())
    }

    #[test]
    fn a_fault_that_did_not_land_is_tried_again_with_twice_the_work() {
        assert_eq!(verdict(vec![landed()]), (1, vec![100], Verdict::Pass));
        assert_eq!(verdict(vec![vacuous(), landed()]), (2, vec![100, 200], Verdict::Pass));
        assert_eq!(verdict(vec![vacuous(), vacuous(), vacuous()]), (3, vec![100, 200, 400], Verdict::Invalid));
    }

    #[test]
    fn what_was_found_wrong_or_could_not_be_done_is_not_tried_again() {
        let lost = || Run { checked: [("I4", vec!["lost".to_owned()])].into(), ..landed() };
        assert_eq!(verdict(vec![lost()]), (1, vec![100], Verdict::Fail));
        assert_eq!(verdict(vec![Run { landed: false, ..lost() }]), (1, vec![100], Verdict::Fail));
        assert_eq!(verdict(vec![vacuous(), lost()]), (2, vec![100, 200], Verdict::Fail));
        let broken = Run { error: Some("no broker".to_owned()), ..vacuous() };
        assert_eq!(verdict(vec![broken]), (1, vec![100], Verdict::Invalid));
    }

    #[test]
    fn each_attempt_has_a_schedule_of_its_own_that_follows_from_the_seed() {
        let first = Attempt::first(7, 100);
        let number = |attempt: Attempt| attempt.schedule().next();
        assert_eq!(number(first), Random::of(7, "schedule").next());
        assert_eq!(number(first.next()), number(first.next()));
        assert_ne!(number(first), number(first.next()));
        assert_ne!(number(first.next()), number(first.next().next()));
    }
}
