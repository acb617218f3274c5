//! What is allowed in a playbook and yet is hardly meant: thresholds nobody reaches, rules that match nothing, caps
//! that make a rule useless, rules that say the same twice.
//!
//! Nothing is said that may be wrong: a route is called closed only if no amounts and counts whatever open it.

mod reach;

use std::fmt;

use tasuki_domain::Millipoints;

use self::reach::{Edges, Reach};
use crate::decay::Decay;
use crate::fault::Spot;
use crate::kind::EventKind;
use crate::model::{AccountPolicy, FitRule, FitTest, Playbook, Route, Rule};
use crate::pattern::Pattern;
use crate::track::TrackRef;
use crate::value::Length;

/// Attributes that the trackers' words are translated into; rules on fit may name others as well.
pub const STANDARD_ATTRIBUTES: [&str; 13] = [
    "email",
    "name",
    "first_name",
    "last_name",
    "title",
    "department",
    "phone",
    "company",
    "industry",
    "employees",
    "country",
    "region",
    "website",
];

/// Most signals of a lead that are kept, and so the most that a rule can match.
pub(crate) const MOST_SIGNALS: i64 = 500;

/// How sure it is that something else was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It cannot be meant so: something never happens, or always.
    Warning,
    /// It may be meant so; whoever reads it should know.
    Note,
}

impl Severity {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

macro_rules! lints {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $severity:ident;)*) => {
        /// What is found; the words never change, so that scripts can rely on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $name,)* }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As it is printed: `unreachable-threshold`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// How sure it is that something else was meant.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }
        }
    };
}

lints! {
    /// All rules together do not give the points that a grade or a route asks for.
    UnreachableThreshold = "unreachable-threshold", Warning;
    /// A route that opens for nobody, since its condition contradicts itself.
    NeverOpens = "never-opens", Warning;
    /// A route that is open for a lead that has done nothing.
    AlwaysOpen = "always-open", Warning;
    /// A route behind others of which one holds whenever it does.
    NeverTaken = "never-taken", Warning;
    /// A rule whose conditions no event and no attribute meets.
    NeverMatches = "never-matches", Warning;
    /// A rule whose cap, or that of its group, is below what it gives once.
    CapBelowPoints = "cap-below-points", Warning;
    /// A group whose cap its rules never reach, or to which no rule belongs.
    CapOutOfReach = "cap-out-of-reach", Warning;
    /// A rule without points that no route asks for.
    WithoutEffect = "without-effect", Warning;
    /// Two rules with the same conditions.
    SameConditions = "same-conditions", Warning;
    /// What matches one rule matches a wider one as well, and counts under both.
    CountsTwice = "counts-twice", Note;
    /// Points fade more slowly than signals are forgotten.
    ForgottenFirst = "forgotten-first", Note;
    /// Mails opened give points, although mail scanners open them all.
    OpenedByScanners = "opened-by-scanners", Note;
    /// An attribute that no tracker's words are translated into.
    UnknownAttribute = "unknown-attribute", Note;
    /// A track of which there is no rule: it shows what the rules of no track give.
    TrackWithoutRules = "track-without-rules", Warning;
    /// A track that no route is of: nobody is handed over by its score.
    TrackWithoutRoute = "track-without-route", Note;
    /// A route that stays open by a condition that does not hold everywhere where it opens.
    StaysStricter = "stays-stricter", Warning;
    /// A route that a company opens for all of its people, also for who did nothing.
    OpensForWholeAccounts = "opens-for-whole-accounts", Note;
    /// Routes ask for accounts, and the playbook does not say who counts for one.
    AccountNotSet = "account-not-set", Note;
    /// Sales has longer for what is more urgent.
    UrgentIsSlower = "urgent-is-slower", Warning;
}

/// Something that is hardly meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lint {
    /// Counted from 1; 0 where it is about no place of the file.
    pub line: usize,
    /// In characters, counted from 1; 0 likewise.
    pub column: usize,
    /// What was found.
    pub kind: Kind,
    /// In words, with the names of what it is about.
    pub problem: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        write!(f, "{}: {} [{}]", self.kind.severity().name(), self.problem, self.kind.name())
    }
}

impl Playbook {
    /// What is allowed and yet hardly meant, in the order of the file.
    pub fn lints(&self) -> Vec<Lint> {
        let mut lints = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            self.lint_rule(index, rule, &mut lints);
        }
        for (rule, spot) in self.fit_rules.iter().zip(&self.places.fit_rules) {
            fit_rule(rule, *spot, &mut lints);
        }
        self.lint_same_fit(&mut lints);
        self.lint_groups(&mut lints);
        self.lint_tracks(&mut lints);
        self.lint_grades(&Reach::of(self, None), &mut lints);
        for (index, route) in self.routes.iter().enumerate() {
            let reach = Reach::of(self, route.track.as_ref().map(|track| track.place));
            self.lint_route(index, route, &reach, &mut lints);
        }
        self.lint_urgencies(&mut lints);
        self.lint_accounts(&mut lints);
        lints.sort();
        lints
    }

    fn lint_rule(&self, index: usize, rule: &Rule, lints: &mut Vec<Lint>) {
        let spot = self.places.rules.get(index).copied().unwrap_or_default();
        let name = &rule.name;
        let mut add = |kind, problem| lints.push(lint(spot, kind, problem));
        if let Some(why) = never_matches(rule) {
            add(Kind::NeverMatches, format!("rule \"{name}\" matches no event: {why}"));
        }
        let points = abs(rule.points);
        if let Some(cap) = rule.cap.filter(|cap| *cap < points) {
            add(
                Kind::CapBelowPoints,
                format!("rule \"{name}\" never has its {} points: its cap is {cap}", rule.points),
            );
        }
        if let Some(group) = rule.group.map(|at| &self.groups[at]).filter(|group| group.cap < points) {
            let (group, cap) = (&group.name, group.cap);
            add(
                Kind::CapBelowPoints,
                format!(
                    "rule \"{name}\" never has its {} points: the cap of its group \"{group}\" is {cap}",
                    rule.points
                ),
            );
        }
        if points == Millipoints::ZERO && !self.facts.iter().any(|fact| fact.rule == index) {
            add(Kind::WithoutEffect, format!("rule \"{name}\" gives no points, and no route asks for it"));
        }
        if let Decay::HalfLife(half_life) = rule.decay
            && half_life > crate::KEPT_FOR
        {
            let (half_life, kept) = (Length(half_life), Length(crate::KEPT_FOR));
            add(
                Kind::ForgottenFirst,
                format!("rule \"{name}\" halves in {half_life}, but signals are forgotten after {kept}"),
            );
        }
        if rule.event == EventKind::EmailOpened && rule.points > Millipoints::ZERO {
            add(
                Kind::OpenedByScanners,
                format!("rule \"{name}\" rewards opened mails, and mail scanners open them all; clicks say more"),
            );
        }
        for (other_index, other) in self.rules.iter().enumerate().filter(|(at, _)| *at != index) {
            let (wider, narrower) = (is_wider(other, rule), is_wider(rule, other));
            if wider && narrower && other.track == rule.track && other_index < index {
                let other = &other.name;
                add(Kind::SameConditions, format!("rules \"{other}\" and \"{name}\" look for the same; one is enough"));
            } else if wider
                && (!narrower || (other.track != rule.track && other_index < index))
                && never_matches(rule).is_none()
            {
                let other = &other.name;
                add(Kind::CountsTwice, format!("what counts under \"{name}\" counts under \"{other}\" as well"));
            }
        }
    }

    fn lint_same_fit(&self, lints: &mut Vec<Lint>) {
        for (index, rule) in self.fit_rules.iter().enumerate() {
            let same = |other: &&FitRule| {
                other.attribute == rule.attribute && other.test == rule.test && other.track == rule.track
            };
            if let Some(other) = self.fit_rules[..index].iter().find(same) {
                let problem =
                    format!("rules \"{}\" and \"{}\" look for the same; one is enough", other.name, rule.name);
                lints.push(lint(self.places.fit_rules[index], Kind::SameConditions, problem));
            }
        }
    }

    fn lint_groups(&self, lints: &mut Vec<Lint>) {
        for (index, (group, spot)) in self.groups.iter().zip(&self.places.groups).enumerate() {
            let mut own = self.rules.iter().filter(|rule| rule.group == Some(index)).peekable();
            let name = &group.name;
            if own.peek().is_none() {
                lints.push(lint(*spot, Kind::CapOutOfReach, format!("no rule belongs to group \"{name}\"")));
                continue;
            }
            let most: Millipoints = own.map(|rule| abs(rule.most())).sum();
            if most <= group.cap {
                let cap = group.cap;
                let problem = format!(
                    "the cap of group \"{name}\" changes nothing: it is {cap}, and its rules together never make more than {most}"
                );
                lints.push(lint(*spot, Kind::CapOutOfReach, problem));
            }
        }
    }

    fn lint_tracks(&self, lints: &mut Vec<Lint>) {
        for (track, spot) in self.tracks.iter().zip(&self.places.tracks) {
            let name = &track.name;
            let is_it = |named: &Option<TrackRef>| named.as_ref().is_some_and(|named| named.name == *name);
            let has_rule = self.rules.iter().any(|rule| is_it(&rule.track))
                || self.fit_rules.iter().any(|rule| is_it(&rule.track));
            if !has_rule {
                let problem = format!("no rule is of track \"{name}\": it shows what the rules of no track give");
                lints.push(lint(*spot, Kind::TrackWithoutRules, problem));
            }
            if !self.routes.iter().any(|route| is_it(&route.track)) {
                let problem = format!("no route is of track \"{name}\": its score is shown, and hands nobody over");
                lints.push(lint(*spot, Kind::TrackWithoutRoute, problem));
            }
        }
    }

    fn lint_grades(&self, reach: &Reach, lints: &mut Vec<Lint>) {
        let Playbook { grades, places, .. } = self;
        let axes = [
            ("fit", ["A", "B", "C"], grades.fit, reach.fit, places.fit_grades),
            ("engagement", ["1", "2", "3"], grades.engagement, reach.engagement, places.engagement_grades),
        ];
        for (axis, names, limits, most, spot) in axes {
            for (name, limit) in names.into_iter().zip(limits).filter(|(_, limit)| *limit > most) {
                let problem = format!(
                    "nobody gets a grade {name}: it begins at {limit} of {axis}, and all rules together give {most}"
                );
                lints.push(lint(spot, Kind::UnreachableThreshold, problem));
            }
        }
    }

    fn lint_route(&self, index: usize, route: &Route, reach: &Reach, lints: &mut Vec<Lint>) {
        let name = &route.name;
        let mut add = |kind, problem| lints.push(lint(self.places.routes[index], kind, problem));
        if reach::open_for_nothing(route, self) {
            return add(Kind::AlwaysOpen, format!("route \"{name}\" is open for every lead, whatever it did"));
        }
        match reach::opens(route, self, reach) {
            reach::Opens::Yes | reach::Opens::Unknown => {}
            reach::Opens::Never => {
                return add(
                    Kind::NeverOpens,
                    format!("route \"{name}\" never opens: its condition contradicts itself"),
                );
            }
            reach::Opens::OutOfReach => {
                let (engagement, fit) = (reach.engagement, reach.fit);
                let rules = match &route.track {
                    Some(track) => format!("all rules of track \"{}\" and of none", track.name),
                    None => "all rules".to_owned(),
                };
                let problem = format!(
                    "route \"{name}\" never opens: {rules} together give {engagement} of engagement and {fit} of fit"
                );
                return add(Kind::UnreachableThreshold, problem);
            }
        }
        if let Some(stays) = &route.stays_while {
            if route.dwell.is_none() {
                add(
                    Kind::WithoutEffect,
                    format!(
                        "`stays_while` of route \"{name}\" changes nothing: without `dwell` it hands over as it opens"
                    ),
                );
            }
            match reach::edges(route, stays, self, reach) {
                Some(Edges { stricter: true, wider: _ }) => add(
                    Kind::StaysStricter,
                    format!("`stays_while` of route \"{name}\" is stricter than `when`, where it is to hold longer"),
                ),
                Some(Edges { stricter: false, wider: false }) => add(
                    Kind::WithoutEffect,
                    format!("`stays_while` of route \"{name}\" changes nothing: it holds only where `when` does"),
                ),
                Some(Edges { stricter: false, wider: true }) | None => {}
            }
        }
        if reach::opens_for_whole_accounts(route, self, reach) {
            add(
                Kind::OpensForWholeAccounts,
                format!("route \"{name}\" is open for everybody of such an account, whatever they did themselves"),
            );
        }
        if let Some(before) = reach::taken_before(&self.routes[..index], route, self, reach) {
            add(
                Kind::NeverTaken,
                format!("route \"{name}\" is never taken: wherever it holds, {before} does before it"),
            );
        }
    }

    fn lint_accounts(&self, lints: &mut Vec<Lint>) {
        let asks = self
            .routes
            .iter()
            .zip(&self.places.routes)
            .find(|(route, _)| route.conditions().any(|condition| !condition.asks_of_account().is_empty()));
        if let Some((route, spot)) = asks.filter(|_| !self.places.account_is_set) {
            let (name, AccountPolicy { engaged_from, cap }) = (&route.name, self.account);
            let problem = format!(
                "route \"{name}\" asks for accounts, and [account] says nothing: who has {engaged_from} points of \
                 engagement counts, and an account has at most {cap}"
            );
            lints.push(lint(*spot, Kind::AccountNotSet, problem));
        }
    }

    fn lint_urgencies(&self, lints: &mut Vec<Lint>) {
        let names = ["urgent", "high", "normal"];
        for at in 1..names.len() {
            let (sooner, later) = (self.accept_within[at - 1], self.accept_within[at]);
            if sooner > later {
                let problem = format!(
                    "sales has {} for what is {}, and {} for what is {}",
                    Length(sooner),
                    names[at - 1],
                    Length(later),
                    names[at]
                );
                lints.push(lint(Spot::default(), Kind::UrgentIsSlower, problem));
            }
        }
    }
}

fn lint(Spot { line, column }: Spot, kind: Kind, problem: String) -> Lint {
    Lint { line, column, kind, problem }
}

fn abs(amount: Millipoints) -> Millipoints {
    Millipoints::new(amount.get().abs())
}

/// Why a rule matches no event at all.
fn never_matches(rule: &Rule) -> Option<String> {
    let conditions =
        [("about", &rule.about), ("path", &rule.path), ("source", &rule.source), ("campaign", &rule.campaign)];
    for (field, patterns) in conditions {
        if patterns.as_ref().is_some_and(Vec::is_empty) {
            return Some(format!("`{field}` lists nothing"));
        }
    }
    // Whatever stands before a path, host or query, is cut off when the event is taken in.
    let paths = rule.path.as_deref().unwrap_or_default();
    match paths.iter().find(|pattern| !pattern.may_be_path()) {
        Some(pattern) if !paths.iter().any(Pattern::may_be_path) => {
            Some(format!("a path begins with \"/\"; found \"{pattern}\""))
        }
        Some(_) | None => None,
    }
}

fn fit_rule(rule: &FitRule, spot: Spot, lints: &mut Vec<Lint>) {
    let (name, attribute) = (&rule.name, &rule.attribute);
    let never = match &rule.test {
        FitTest::Mentions(phrases) if phrases.is_empty() => Some("`mentions` lists nothing".to_owned()),
        FitTest::OneOf(values) if values.is_empty() => Some("`one_of` lists nothing".to_owned()),
        FitTest::Number { from: Some(from), to: Some(to) } if from > to => Some(format!("{from} is above {to}")),
        FitTest::Like(patterns) if patterns.is_empty() => Some("`like` lists nothing".to_owned()),
        FitTest::Mentions(_) | FitTest::OneOf(_) | FitTest::Number { .. } | FitTest::Like(_) | FitTest::Missing => None,
    };
    if let Some(why) = never {
        lints.push(lint(spot, Kind::NeverMatches, format!("rule \"{name}\" matches no lead: {why}")));
    }
    if rule.points == Millipoints::ZERO {
        lints.push(lint(spot, Kind::WithoutEffect, format!("rule \"{name}\" gives no points")));
    }
    if attribute != crate::EMAIL_DOMAIN && !STANDARD_ATTRIBUTES.contains(&attribute.as_str()) {
        let known = STANDARD_ATTRIBUTES.join(", ");
        let problem = format!(
            "rule \"{name}\" looks at \"{attribute}\", which only a tracker that sends it by this very name fills; \
             standard are {known} and {}",
            crate::EMAIL_DOMAIN
        );
        lints.push(lint(spot, Kind::UnknownAttribute, problem));
    }
}

/// Whether all that the narrower rule matches is matched by the wider one too; never says so wrongly.
fn is_wider(wider: &Rule, narrower: &Rule) -> bool {
    let covers = |wider: &Option<Vec<Pattern>>, narrower: &Option<Vec<Pattern>>| match (wider, narrower) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wider), Some(narrower)) => narrower.iter().all(|inner| wider.iter().any(|outer| outer.covers(inner))),
    };
    wider.event == narrower.event
        && covers(&wider.about, &narrower.about)
        && covers(&wider.path, &narrower.path)
        && covers(&wider.source, &narrower.source)
        && covers(&wider.campaign, &narrower.campaign)
}
