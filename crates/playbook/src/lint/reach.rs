//! How far the points go, and which amounts and counts open a route.
//!
//! A condition turns only at the numbers that stand in it. So it is enough to try those, what lies right beside them, and
//! the ends: what holds for none of these holds for no lead. Facts and axes are tried independently of each other, which
//! allows more than can happen; "never" is therefore certain, and only "never" is ever said.

use tasuki_domain::Millipoints;

use super::{MOST_SIGNALS, never_matches};
use crate::account::{AccountFacts, AccountMeasure, MOST_PEOPLE};
use crate::condition::Condition;
use crate::model::{FitRule, FitTest, Playbook, Route};

/// Conditions with more combinations than this are not tried.
const MOST_COMBINATIONS: usize = 20_000;

/// The most that all rules together give that count for a track, or for the lead itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) engagement: Millipoints,
    pub(super) fit: Millipoints,
}

impl Reach {
    pub(super) fn of(playbook: &Playbook, track: Option<usize>) -> Self {
        // Those without a group stand behind the groups.
        let mut sums = vec![Millipoints::ZERO; playbook.groups.len() + 1];
        let can_match = |rule: &&crate::Rule| rule.counts_for(track) && never_matches(rule).is_none();
        for rule in playbook.rules.iter().filter(can_match) {
            sums[rule.group.unwrap_or(playbook.groups.len())] += rule.most().max(Millipoints::ZERO);
        }
        let caps = playbook.groups.iter().map(|group| group.cap);
        sums.iter_mut().zip(caps).for_each(|(sum, cap)| *sum = cap.min(*sum));
        let engagement: Millipoints = sums.into_iter().sum();
        Self { engagement: engagement.min(playbook.engagement_cap), fit: fit(playbook, track).min(playbook.fit_cap) }
    }
}

fn fit(playbook: &Playbook, track: Option<usize>) -> Millipoints {
    let mut attributes: Vec<&str> = playbook.fit_rules.iter().map(|rule| rule.attribute.as_str()).collect();
    attributes.sort_unstable();
    attributes.dedup();
    attributes.into_iter().map(|attribute| of_attribute(playbook, attribute, track)).sum()
}

/// The most that one value of an attribute gives.
fn of_attribute(playbook: &Playbook, attribute: &str, track: Option<usize>) -> Millipoints {
    let own = |rule: &&FitRule| rule.attribute == attribute && rule.counts_for(track);
    let rules: Vec<&FitRule> = playbook.fit_rules.iter().filter(own).collect();
    let mut values = Vec::new();
    let mut any_text = false;
    for rule in &rules {
        match &rule.test {
            // A text may mention, and be like, anything together.
            FitTest::Mentions(_) | FitTest::Like(_) => any_text = true,
            FitTest::OneOf(listed) => values.extend(listed.iter().cloned()),
            FitTest::Number { from, to } => values.extend([from, to].into_iter().flatten().map(u32::to_string)),
            FitTest::Missing => {}
        }
    }
    let of_value = |value: Option<&str>| -> Millipoints {
        rules.iter().filter(|rule| rule.matches(value)).map(|rule| rule.points).sum()
    };
    let with_value = if any_text {
        let positive =
            rules.iter().filter(|rule| can_match_some_text(rule)).map(|rule| rule.points.max(Millipoints::ZERO));
        positive.sum()
    } else {
        values.iter().map(|value| of_value(Some(value))).max().unwrap_or(Millipoints::ZERO)
    };
    with_value.max(of_value(None)).max(Millipoints::ZERO)
}

fn can_match_some_text(rule: &FitRule) -> bool {
    match &rule.test {
        FitTest::Mentions(phrases) => !phrases.is_empty(),
        FitTest::Like(patterns) => !patterns.is_empty(),
        FitTest::OneOf(_) | FitTest::Number { .. } => true,
        FitTest::Missing => false,
    }
}

pub(super) enum Opens {
    Yes,
    /// Too many combinations to be tried.
    Unknown,
    /// With no amounts at all.
    Never,
    /// With amounts that no lead has.
    OutOfReach,
}

pub(super) fn opens(route: &Route, playbook: &Playbook, reach: &Reach) -> Opens {
    let within = Combinations::of(&[route], playbook, *reach);
    let anywhere =
        Combinations::of(&[route], playbook, Reach { engagement: playbook.engagement_cap, fit: playbook.fit_cap });
    let (Some(within), Some(anywhere)) = (within, anywhere) else { return Opens::Unknown };
    if within.any(|at| at.opens(route)) {
        Opens::Yes
    } else if anywhere.any(|at| at.opens(route)) {
        Opens::OutOfReach
    } else {
        Opens::Never
    }
}

/// Whether it is open for a lead that has done nothing and of which nothing is known.
pub(super) fn open_for_nothing(route: &Route, playbook: &Playbook) -> bool {
    open_in(route, playbook, &AccountFacts::default())
}

/// Whether it is open for a lead that has done nothing and of which nothing is known, whose account has this.
fn open_in(route: &Route, playbook: &Playbook, account: &AccountFacts) -> bool {
    route.holds(Millipoints::ZERO, Millipoints::ZERO, &vec![0; playbook.facts.len()], account)
}

/// Whether some account opens it for whoever belongs to it.
pub(super) fn opens_for_whole_accounts(route: &Route, playbook: &Playbook, reach: &Reach) -> bool {
    let combinations = Combinations::of(&[route], playbook, *reach);
    combinations.is_some_and(|all| all.any(|at| open_in(route, playbook, &at.account)))
}

/// How the two edges of a route lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edges {
    /// Somewhere it opens, and the condition to stay open does not hold.
    pub(super) stricter: bool,
    /// Somewhere it stays open and would not open.
    pub(super) wider: bool,
}

/// `None` if there are too many combinations to be tried.
pub(super) fn edges(route: &Route, stays: &Condition, playbook: &Playbook, reach: &Reach) -> Option<Edges> {
    let combinations = Combinations::of(&[route], playbook, *reach)?;
    let stays = |at: &At| stays.holds(at.engagement, at.fit, &at.facts, &at.account);
    let stricter = combinations.any(|at| at.opens(route) && !stays(at));
    Some(Edges { stricter, wider: combinations.any(|at| stays(at) && !at.opens(route)) })
}

/// The routes of which one holds wherever this one does, in words. One that has to be open for longer does not come before
/// it, and of one that stays open beyond its condition nothing is said. What the axes
/// of another track show is not known: of its routes only those are looked at that ask for none of them.
pub(super) fn taken_before(before: &[Route], route: &Route, playbook: &Playbook, reach: &Reach) -> Option<String> {
    if route.stays_while.is_some() {
        return None;
    }
    let asks_no_axis = |other: &Route| {
        let asked = other.condition.asked();
        asked.engagement.is_empty() && asked.fit.is_empty()
    };
    let comes_before =
        |other: &&Route| other.dwell <= route.dwell && (other.track == route.track || asks_no_axis(other));
    let before: Vec<&Route> = before.iter().filter(comes_before).collect();
    let together: Vec<&Route> = before.iter().copied().chain([route]).collect();
    let combinations = Combinations::of(&together, playbook, *reach)?;
    let left = combinations.any(|at| at.opens(route) && !before.iter().any(|other| at.opens(other)));
    if left || before.is_empty() {
        return None;
    }
    let alone = before.iter().find(|other| !combinations.any(|at| at.opens(route) && !at.opens(other)));
    Some(alone.map_or_else(|| "one of those before it".to_owned(), |other| format!("\"{}\"", other.name)))
}

/// Amounts and counts to be tried, all with all.
struct Combinations {
    engagement: Vec<Millipoints>,
    fit: Vec<Millipoints>,
    /// For each fact of the playbook; just 0 for those that are not asked for.
    facts: Vec<Vec<i64>>,
    /// Only those that there can be.
    accounts: Vec<AccountFacts>,
}

struct At {
    engagement: Millipoints,
    fit: Millipoints,
    facts: Vec<i64>,
    account: AccountFacts,
}

impl At {
    fn opens(&self, route: &Route) -> bool {
        route.holds(self.engagement, self.fit, &self.facts, &self.account)
    }
}

impl Combinations {
    /// `None` if they are too many.
    fn of(routes: &[&Route], playbook: &Playbook, reach: Reach) -> Option<Self> {
        let asked = || routes.iter().flat_map(|route| route.conditions()).map(Condition::asked);
        let amounts = |numbers: Vec<Millipoints>, most: Millipoints| {
            let step = Millipoints::new(1);
            let near = numbers.into_iter().flat_map(|number| [number - step, number, number + step]);
            in_order(near.chain([Millipoints::ZERO, most]).filter(|at| (Millipoints::ZERO..=most).contains(at)))
        };
        let near = asked().flat_map(|asked| &asked.counts).flat_map(|&count| [count - 1, count, count + 1]);
        let counts = in_order(near.chain([0, 1, MOST_SIGNALS]).filter(|count| (0..=MOST_SIGNALS).contains(count)));
        let of_fact = |(index, fact): (usize, &crate::FactQuery)| {
            let wanted = asked().any(|asked| asked.facts.contains(&index));
            let can_match = never_matches(&playbook.rules[fact.rule]).is_none();
            if wanted && can_match { counts.clone() } else { vec![0] }
        };
        let combinations = Self {
            engagement: amounts(asked().flat_map(|asked| asked.engagement.clone()).collect(), reach.engagement),
            fit: amounts(asked().flat_map(|asked| asked.fit.clone()).collect(), reach.fit),
            facts: playbook.facts.iter().enumerate().map(of_fact).collect(),
            accounts: accounts(routes, playbook, reach),
        };
        (combinations.count()? <= MOST_COMBINATIONS).then_some(combinations)
    }

    fn count(&self) -> Option<usize> {
        let axes = self.engagement.len().checked_mul(self.fit.len())?.checked_mul(self.accounts.len())?;
        self.facts.iter().try_fold(axes, |count, counts| count.checked_mul(counts.len()))
    }

    fn any(&self, mut holds: impl FnMut(&At) -> bool) -> bool {
        let mut places = vec![0; self.facts.len()];
        loop {
            let facts: Vec<i64> = self.facts.iter().zip(&places).map(|(counts, &at)| counts[at]).collect();
            for &engagement in &self.engagement {
                for &fit in &self.fit {
                    for &account in &self.accounts {
                        if holds(&At { engagement, fit, facts: facts.clone(), account }) {
                            return true;
                        }
                    }
                }
            }
            // To the next combination of counts, as one counts with digits.
            let more = places.iter_mut().zip(&self.facts).any(|(place, counts)| {
                *place = (*place + 1) % counts.len();
                *place != 0
            });
            if !more {
                return false;
            }
        }
    }
}

/// What accounts may have, at the numbers that are asked about, beside them and at the ends: not more departments than people,
/// and not more engagement than these have at most. Where nobody is ever engaged, there is only the empty one.
fn accounts(routes: &[&Route], playbook: &Playbook, reach: Reach) -> Vec<AccountFacts> {
    let most_people = if reach.engagement < playbook.account.engaged_from { 0 } else { i64::from(MOST_PEOPLE) };
    let of = |measure: AccountMeasure| {
        let most = match measure {
            AccountMeasure::Departments | AccountMeasure::People => most_people,
            AccountMeasure::Engagement => playbook.account.cap.get(),
        };
        let asked = routes.iter().flat_map(|route| route.conditions());
        let asked = asked.flat_map(|condition| condition.asks_of_account().turns_at(measure));
        let near = asked.flat_map(|&at| [at - 1, at]);
        in_order(near.chain([0, most]).filter(|at| (0..=most).contains(at)))
    };
    let [departments, people, engagement] = AccountMeasure::ALL.map(of);
    let mut accounts = Vec::new();
    for &people in &people {
        for &departments in departments.iter().filter(|departments| **departments <= people) {
            let most = people.saturating_mul(reach.engagement.get());
            for &engagement in engagement.iter().filter(|engagement| **engagement <= most) {
                let none = AccountFacts::default();
                let account = none.with(AccountMeasure::People, people).with(AccountMeasure::Departments, departments);
                accounts.push(account.with(AccountMeasure::Engagement, engagement));
            }
        }
    }
    accounts
}

fn in_order<T: Ord>(numbers: impl Iterator<Item = T>) -> Vec<T> {
    let mut numbers: Vec<T> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}
