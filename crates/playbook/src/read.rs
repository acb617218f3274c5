//! From the text of a file to a playbook, with every fault that can be found.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use cel::Env;
use serde::de::{Deserialize, IntoDeserializer};
use tasuki_domain::{Millipoints, Millis, PlaybookVersion};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::MOST_TRACKS;
use crate::account::AccountAsked;
use crate::condition::Compiler;
use crate::fault::{Faults, Reading};
use crate::file::{
    AccountSection, ConsequenceEntry, EngagementRule, ExclusionEntry, File, FitRuleEntry, GradesSection, RouteEntry,
    TrackEntry,
};
use crate::kind::EventKind;
use crate::model::{AccountPolicy, Consequence, Exclusion, FitRule, FitTest, Grades, Places, Playbook, Route, Rule};
use crate::track::{Track, TrackRef};
use crate::value::{Length, Name, Points};

mod behaviour;

impl Playbook {
    /// Reads a playbook file.
    ///
    /// # Errors
    ///
    /// [`Faults`]: the place of each, what was found there and what is allowed. Of one rule or route, only the first
    /// fault in its form is told; of a text that is not TOML, only what keeps it from being TOML.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut reading = Reading::new(text);
        let file = read_file(&mut reading);
        let playbook = file.and_then(|file| compile(&mut reading, file));
        match playbook {
            Some(playbook) if reading.is_clean() => Ok(playbook),
            Some(_) | None => Err(reading.into_faults()),
        }
    }
}

/// Reads the lists entry by entry, so that a fault in one does not hide those of the others.
fn read_file(reading: &mut Reading<'_>) -> Option<File> {
    let (table, errors) = DeTable::parse_recoverable(reading.text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| reading.toml(error));
        return None;
    }
    let mut table = table;
    let root = table.get_mut();
    let rules = entries::<EngagementRule>(reading, root, &["engagement", "rules"]);
    let fit_rules = entries::<FitRuleEntry>(reading, root, &["fit", "rules"]);
    let tracks = entries::<TrackEntry>(reading, root, &["tracks"]);
    let routes = entries::<RouteEntry>(reading, root, &["routes"]);
    let exclusions = entries::<ExclusionEntry>(reading, root, &["exclusions"]);
    match File::deserialize(table.into_deserializer()) {
        Ok(mut file) => {
            file.engagement.rules = rules;
            file.fit.rules = fit_rules;
            file.tracks = tracks;
            file.routes = routes;
            file.exclusions = exclusions;
            Some(file)
        }
        Err(error) => {
            reading.toml(&error);
            None
        }
    }
}

/// Takes the entries of a list out of the table and reads each; an empty list stays.
fn entries<'t, T: Deserialize<'t>>(reading: &mut Reading<'_>, table: &mut DeTable<'t>, path: &[&str]) -> Vec<T> {
    let mut at = table;
    let (last, tables) = path.split_last().expect("every path has an end");
    for name in tables {
        let Some(DeValue::Table(inner)) = at.get_mut(*name).map(Spanned::get_mut) else { return Vec::new() };
        at = inner;
    }
    let Some(DeValue::Array(list)) = at.get_mut(*last).map(Spanned::get_mut) else { return Vec::new() };
    let mut read = Vec::new();
    for entry in std::mem::replace(list, DeArray::new()) {
        match T::deserialize(entry.into_deserializer()) {
            Ok(entry) => read.push(entry),
            Err(error) => reading.toml(&error),
        }
    }
    read
}

fn compile(reading: &mut Reading<'_>, file: File) -> Option<Playbook> {
    if file.version == 0 {
        reading.fault(&(0..0), "`version` counts from 1");
    }
    let engagement_cap = axis_cap(reading, &file.engagement.cap);
    let fit_cap = axis_cap(reading, &file.fit.cap);
    let grades = grades(reading, &file.grades, engagement_cap, fit_cap);
    let account = account(reading, &file.account, engagement_cap);
    let spots =
        |names: &[&Spanned<Name>], reading: &Reading<'_>| names.iter().map(|n| reading.spot(&n.span())).collect();
    let places = Places {
        rules: spots(&file.engagement.rules.iter().map(|rule| &rule.name).collect::<Vec<_>>(), reading),
        fit_rules: spots(&file.fit.rules.iter().map(|rule| &rule.name).collect::<Vec<_>>(), reading),
        tracks: spots(&file.tracks.iter().map(|track| &track.name).collect::<Vec<_>>(), reading),
        groups: file.groups.values().map(|group| reading.spot(&group.cap.span())).collect(),
        routes: spots(&file.routes.iter().map(|route| &route.name).collect::<Vec<_>>(), reading),
        fit_grades: reading.spot(&file.grades.fit.span()),
        engagement_grades: reading.spot(&file.grades.engagement.span()),
        account_is_set: file.account.engaged_from.is_some() || file.account.cap.is_some(),
    };
    let mut groups = behaviour::groups(reading, file.groups);
    let mut tracks = tracks(reading, file.tracks);
    let rules = behaviour::rules(reading, file.engagement, &mut groups, &tracks);
    let fit_rules = fit_rules(reading, file.fit.rules, &tracks);
    unique(reading, file.routes.iter().map(|route| &route.name));
    unique(reading, file.exclusions.iter().map(|exclusion| &exclusion.name));

    let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
    let mut compiler = Compiler {
        env: Arc::new(Env::stdlib()),
        rules: &names,
        engagement_cap,
        fit_cap,
        account_cap: account.cap,
        account: AccountAsked::default(),
        facts: Vec::new(),
        boundaries: Vec::new(),
    };
    let mut boundaries: Vec<_> = grades.engagement.into_iter().chain([account.engaged_from]).collect();
    for track in &mut tracks {
        track.boundaries = grades.engagement.to_vec();
    }
    if file.routes.is_empty() {
        reading.fault(&(0..0), "there is no route; write at least one [[routes]] with name, when, urgency and pool");
    }
    let routes = routes(reading, file.routes, &mut compiler, &mut boundaries, &mut tracks);
    let (facts, account_asked) = (compiler.facts, compiler.account);
    for boundaries in tracks.iter_mut().map(|track| &mut track.boundaries).chain([&mut boundaries]) {
        boundaries.retain(|at| *at > Millipoints::ZERO && *at <= engagement_cap);
        boundaries.sort_unstable();
        boundaries.dedup();
    }

    let within = file.accept_within;
    let after = file.after_rejection;
    Some(Playbook {
        name: file.name.0,
        text: reading.text.to_owned(),
        version: PlaybookVersion::new(file.version),
        by_kind: index(&rules),
        rules,
        groups,
        engagement_cap,
        fit_rules,
        fit_cap,
        tracks,
        account,
        account_asked,
        grades,
        facts,
        boundaries,
        routes,
        exclusions: file.exclusions.into_iter().map(exclusion).collect(),
        // In the order of `Urgency` and `RejectReason`.
        accept_within: [within.urgent.0, within.high.0, within.normal.0],
        after_rejection: [
            after.timing,
            after.no_budget,
            after.no_authority,
            after.no_need,
            after.unreachable,
            after.bad_data,
            after.duplicate,
            after.competitor,
            after.not_a_fit,
        ]
        .map(consequence),
        places,
    })
}

/// What their conditions turn at is added to the boundaries of the lead itself, or to those of their track.
fn routes(
    reading: &mut Reading<'_>,
    entries: Vec<RouteEntry>,
    compiler: &mut Compiler<'_>,
    boundaries: &mut Vec<Millipoints>,
    tracks: &mut [Track],
) -> Vec<Route> {
    let mut routes = Vec::new();
    for entry in entries {
        let condition = compiler.compile(reading, &entry.when.span(), entry.when.get_ref());
        let stays = entry.stays_while.as_ref();
        let stays_while = stays.and_then(|text| compiler.compile(reading, &text.span(), text.get_ref()));
        let dwell = entry.dwell.as_ref().map(|length| dwell(reading, length));
        let track = track_of(reading, entry.track.as_ref(), tracks);
        let turned = track.as_ref().map_or(&mut *boundaries, |track| &mut tracks[track.place].boundaries);
        turned.append(&mut compiler.boundaries);
        routes.extend(condition.map(|condition| Route {
            name: entry.name.into_inner().0,
            condition,
            stays_while,
            dwell,
            track,
            urgency: entry.urgency,
            pool: entry.pool.0,
            accept_within: entry.accept_within.map(|length| length.0),
        }));
    }
    routes
}

fn dwell(reading: &mut Reading<'_>, length: &Spanned<Length>) -> Millis {
    let dwell = length.get_ref().0;
    if dwell > crate::LONGEST_DWELL {
        let (most, found) = (Length(crate::LONGEST_DWELL), length.get_ref());
        reading.fault(&length.span(), format!("a route dwells at most {most}; found {found}"));
    }
    dwell
}

fn axis_cap(reading: &mut Reading<'_>, cap: &Spanned<Points>) -> Millipoints {
    let value = cap.get_ref().0;
    if value <= Millipoints::ZERO || value > Millipoints::from_points(100) {
        reading.fault(&cap.span(), "the cap of an axis is above 0 and at most 100");
    }
    value
}

/// Where nothing is said of accounts: points from which a lead is an engaged person, and the most that an account has.
const ENGAGED_FROM: Millipoints = Millipoints::from_points(20);
const ACCOUNT_CAP: Millipoints = Millipoints::from_points(300);

fn account(reading: &mut Reading<'_>, section: &AccountSection, engagement_cap: Millipoints) -> AccountPolicy {
    let said = |points: &Option<Spanned<Points>>| points.as_ref().map(|points| points.get_ref().0);
    let engaged_from = said(&section.engaged_from).unwrap_or(ENGAGED_FROM.min(engagement_cap));
    let cap = said(&section.cap).unwrap_or(ACCOUNT_CAP.max(engaged_from));
    if let Some(points) = &section.engaged_from
        && (engaged_from <= Millipoints::ZERO || engaged_from > engagement_cap)
    {
        let allowed = format!("`engaged_from` is above 0 and at most {engagement_cap} (the cap of engagement)");
        reading.fault(&points.span(), format!("{allowed}; found {engaged_from}"));
    }
    if let Some(points) = &section.cap
        && cap < engaged_from
    {
        let allowed = format!("the cap of an account is at least {engaged_from} (`engaged_from`)");
        reading.fault(&points.span(), format!("{allowed}; found {cap}"));
    }
    AccountPolicy { engaged_from, cap }
}

fn grades(
    reading: &mut Reading<'_>,
    section: &GradesSection,
    engagement_cap: Millipoints,
    fit_cap: Millipoints,
) -> Grades {
    let (fit, engagement) = (section.fit.get_ref(), section.engagement.get_ref());
    let grades = Grades {
        fit: [fit.a.0, fit.b.0, fit.c.0],
        engagement: [engagement.one.0, engagement.two.0, engagement.three.0],
    };
    let mut descend = |span: Range<usize>, limits: [Millipoints; 3], cap: Millipoints| {
        let [best, middle, least] = limits;
        if !(cap >= best && best > middle && middle > least && least > Millipoints::ZERO) {
            reading.fault(&span, format!("grades go down from at most {cap} (the cap of the axis) to above 0"));
        }
    };
    descend(section.fit.span(), grades.fit, fit_cap);
    descend(section.engagement.span(), grades.engagement, engagement_cap);
    grades
}

fn fit_rules(reading: &mut Reading<'_>, entries: Vec<FitRuleEntry>, tracks: &[Track]) -> Vec<FitRule> {
    unique(reading, entries.iter().map(|rule| &rule.name));
    let mut rules = Vec::new();
    for entry in entries {
        let track = track_of(reading, entry.track.as_ref(), tracks);
        let number =
            (entry.from.is_some() || entry.to.is_some()).then_some(FitTest::Number { from: entry.from, to: entry.to });
        let mentions = entry.mentions.map(FitTest::Mentions);
        let one_of =
            entry.one_of.map(|values| FitTest::OneOf(values.iter().map(|v| v.trim().to_lowercase()).collect()));
        let like = entry.like.map(FitTest::Like);
        let missing = entry.missing.filter(|missing| *missing).map(|_| FitTest::Missing);
        let mut tests = [mentions, one_of, like, missing, number].into_iter().flatten();
        match (tests.next(), tests.next()) {
            (Some(test), None) => rules.push(FitRule {
                name: entry.name.into_inner().0,
                attribute: entry.attribute,
                points: entry.points.0,
                track,
                test,
            }),
            (Some(_), Some(_)) | (None, _) => reading.fault(
                &entry.name.span(),
                "a fit rule has exactly one condition: `mentions`, `one_of`, `like`, `missing = true`, or `from` and `to`",
            ),
        }
    }
    rules
}

fn tracks(reading: &mut Reading<'_>, entries: Vec<TrackEntry>) -> Vec<Track> {
    unique(reading, entries.iter().map(|track| &track.name));
    if let Some(one_more) = entries.get(MOST_TRACKS) {
        reading.fault(&one_more.name.span(), format!("a playbook has at most {MOST_TRACKS} tracks"));
    }
    entries.into_iter().map(|entry| Track { name: entry.name.into_inner().0, boundaries: Vec::new() }).collect()
}

/// The track that is named, if one is; `None` as well where there is no such track, which is a fault.
fn track_of(reading: &mut Reading<'_>, name: Option<&Spanned<Name>>, tracks: &[Track]) -> Option<TrackRef> {
    let name = name?;
    let wanted = &name.get_ref().0;
    let place = tracks.iter().position(|track| track.name == *wanted);
    if place.is_none() {
        let known: Vec<&str> = tracks.iter().map(|track| track.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let problem = format!("there is no track \"{wanted}\"; there are {known}. A track is [[tracks]] with its name");
        reading.fault(&name.span(), problem);
    }
    place.map(|place| TrackRef { place, name: wanted.clone() })
}

/// Names are unique within their list.
fn unique<'n>(reading: &mut Reading<'_>, names: impl Iterator<Item = &'n Spanned<Name>>) {
    let mut seen = BTreeMap::new();
    for name in names {
        let text = &name.get_ref().0;
        if seen.insert(text, ()).is_some() {
            reading.fault(&name.span(), format!("the name \"{text}\" is taken; each is used once"));
        }
    }
}

fn index(rules: &[Rule]) -> Vec<Vec<usize>> {
    let mut by_kind = vec![Vec::new(); EventKind::ALL.len() + 1];
    for (index, rule) in rules.iter().enumerate() {
        by_kind[usize::from(rule.event.code())].push(index);
    }
    by_kind
}

fn exclusion(entry: ExclusionEntry) -> Exclusion {
    Exclusion { name: entry.name.into_inner().0, email_domains: entry.email_domains }
}

fn consequence(entry: ConsequenceEntry) -> Consequence {
    match entry {
        ConsequenceEntry::Disqualify => Consequence::Disqualify,
        ConsequenceEntry::RecycleAfter(length) => Consequence::RecycleAfter(length.0),
    }
}
