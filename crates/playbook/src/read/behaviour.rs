//! The rules on behaviour: how points fade, how often they count, and which of them have a common cap.

use std::collections::BTreeMap;
use std::ops::Range;

use tasuki_domain::{Millipoints, Millis};
use toml::Spanned;

use super::{track_of, unique};
use crate::decay::{Decay, Limit, Step};
use crate::fault::Reading;
use crate::file::{EngagementRule, EngagementSection, GroupEntry, LimitEntry, StepEntry};
use crate::lint::MOST_SIGNALS;
use crate::model::{Group, Rule};
use crate::track::Track;
use crate::value::{Length, Name};
use crate::{KEPT_FOR, MOST_GROUPS};

const MOST_STEPS: usize = 10;

pub(super) fn groups(reading: &mut Reading<'_>, entries: BTreeMap<Name, GroupEntry>) -> Vec<Group> {
    let mut groups = Vec::new();
    for (name, GroupEntry { cap }) in entries {
        if cap.get_ref().0 <= Millipoints::ZERO {
            reading.fault(&cap.span(), "the cap of a group is above 0; for rules that take, it is the most they take");
        }
        if groups.len() == MOST_GROUPS {
            reading.fault(&cap.span(), format!("a playbook has at most {MOST_GROUPS} groups"));
        }
        groups.push(Group { name: name.0, cap: cap.get_ref().0, track: None });
    }
    groups
}

pub(super) fn rules(
    reading: &mut Reading<'_>,
    section: EngagementSection,
    groups: &mut [Group],
    tracks: &[Track],
) -> Vec<Rule> {
    unique(reading, section.rules.iter().map(|rule| &rule.name));
    let mut rules = Vec::new();
    let mut takes = vec![None; groups.len()];
    let mut has_rule = vec![false; groups.len()];
    for entry in section.rules {
        if let Some(cap) = entry.cap.as_ref().filter(|cap| cap.get_ref().0 <= Millipoints::ZERO) {
            reading.fault(
                &cap.span(),
                "the cap of a rule is above 0; with negative points it is the most that is taken away",
            );
        }
        let group = entry.group.as_ref().and_then(|name| group(reading, name, groups));
        if let (Some(group), Some(name)) = (group, &entry.group)
            && entry.points.0 != Millipoints::ZERO
        {
            let own = entry.points.0 < Millipoints::ZERO;
            if *takes[group].get_or_insert(own) != own {
                let group = &groups[group].name;
                reading
                    .fault(&name.span(), format!("the rules of group \"{group}\" either all give or all take points"));
            }
        }
        let track = track_of(reading, entry.track.as_ref(), tracks);
        if let (Some(group), Some(name)) = (group, &entry.group) {
            if !std::mem::replace(&mut has_rule[group], true) {
                groups[group].track.clone_from(&track);
            } else if groups[group].track != track {
                let group = &groups[group].name;
                let problem = format!("the rules of group \"{group}\" are all of the same track, or all of none");
                reading.fault(&name.span(), problem);
            }
        }
        let decay = decay(reading, &entry);
        let limit = entry.limit.as_ref().map(|written| limit(reading, written));
        rules.push(Rule {
            name: entry.name.into_inner().0,
            points: entry.points.0,
            decay,
            limit,
            cap: entry.cap.map(|cap| cap.into_inner().0),
            group,
            track,
            group_name: group.map(|at| groups[at].name.clone()),
            event: entry.event,
            about: entry.about,
            path: entry.path,
            source: entry.source,
            campaign: entry.campaign,
        });
    }
    rules
}

fn group(reading: &mut Reading<'_>, name: &Spanned<Name>, groups: &[Group]) -> Option<usize> {
    let wanted = &name.get_ref().0;
    let found = groups.iter().position(|group| group.name == *wanted);
    if found.is_none() {
        let known: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let problem =
            format!("there is no group \"{wanted}\"; there are {known}. A group is [groups.{wanted}] with its cap");
        reading.fault(&name.span(), problem);
    }
    found
}

fn decay(reading: &mut Reading<'_>, entry: &EngagementRule) -> Decay {
    let mut given = Vec::new();
    if let Some(length) = &entry.half_life {
        given.push((length.span(), Decay::HalfLife(length.get_ref().0)));
    }
    if let Some(length) = &entry.linear {
        given.push((length.span(), Decay::Linear(kept(reading, &length.span(), *length.get_ref()))));
    }
    if let Some(written) = &entry.step {
        given.push((written.span(), Decay::Steps(steps(reading, written))));
    }
    if let Some(length) = &entry.window {
        given.push((length.span(), Decay::Window(kept(reading, &length.span(), *length.get_ref()))));
    }
    if let Some((span, _)) = given.get(1) {
        reading.fault(span, "a rule fades in one way: `half_life`, `linear`, `step` or `window`");
    }
    given.into_iter().next().map_or(Decay::Stays, |(_, decay)| decay)
}

fn steps(reading: &mut Reading<'_>, written: &Spanned<Vec<StepEntry>>) -> Vec<Step> {
    let steps: Vec<Step> = written
        .get_ref()
        .iter()
        .map(|entry| Step { after: kept(reading, &written.span(), entry.after), left: entry.left.0 })
        .collect();
    let descend = steps.windows(2).all(|two| two[0].after < two[1].after && two[0].left > two[1].left);
    if steps.is_empty() || steps.len() > MOST_STEPS || !descend {
        let problem =
            format!("1 to {MOST_STEPS} steps, each after a longer time than the one before, each leaving less");
        reading.fault(&written.span(), problem);
    }
    steps
}

fn limit(reading: &mut Reading<'_>, written: &Spanned<LimitEntry>) -> Limit {
    let LimitEntry { times, per } = *written.get_ref();
    if times == 0 || i64::from(times) > MOST_SIGNALS {
        reading.fault(&written.span(), format!("a rule counts 1 to {MOST_SIGNALS} times in a stretch of time"));
    }
    Limit { times, per: kept(reading, &written.span(), per) }
}

/// No longer than signals are kept.
fn kept(reading: &mut Reading<'_>, span: &Range<usize>, length: Length) -> Millis {
    if length.0 > KEPT_FOR {
        reading.fault(span, format!("signals are kept for {}; no time is longer here", Length(KEPT_FOR)));
    }
    length.0
}
