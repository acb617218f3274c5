//! What differs between two playbooks, in words, and whom it concerns.

use std::fmt::Debug;

use crate::condition::Condition;
use crate::kind::RejectReason;
use crate::model::{FitRule, Group, Playbook, Route, Rule};
use crate::track::Track;
use crate::words::{Language, consequence_in_words};
use tasuki_domain::{Millipoints, Millis};

/// What becomes of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Only the later playbook has it.
    Added,
    /// Only the earlier one has it.
    Removed,
    /// Both have it, and it says something else.
    Changed,
    /// It stands elsewhere, and the order matters.
    Moved,
}

impl Change {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Moved => "moved",
        }
    }

    /// As people read it.
    pub const fn in_words(self, language: Language) -> &'static str {
        match (self, language) {
            (_, Language::En) => self.name(),
            (Self::Added, Language::Ja) => "追加",
            (Self::Removed, Language::Ja) => "削除",
            (Self::Changed, Language::Ja) => "変更",
            (Self::Moved, Language::Ja) => "順序変更",
        }
    }
}

/// One part that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind of part: `engagement rule`, `route` ...
    pub part: &'static str,
    /// Its name; empty where there is only one.
    pub name: String,
    /// What becomes of it.
    pub change: Change,
    /// As it was, as a sentence; empty if it was not there.
    pub before: String,
    /// As it is now, likewise.
    pub after: String,
    /// Whom it concerns, and by how much at most.
    pub concerns: String,
}

impl Difference {
    /// What kind of part, as people read it.
    pub fn part_in(&self, language: Language) -> &'static str {
        match (language, self.part) {
            (Language::En, part) => part,
            (Language::Ja, "engagement rule") => "エンゲージメントのルール",
            (Language::Ja, "group") => "グループ",
            (Language::Ja, "fit rule") => "フィットのルール",
            (Language::Ja, "track") => "製品ライン",
            (Language::Ja, "most engagement") => "エンゲージメントの上限",
            (Language::Ja, "most fit") => "フィットの上限",
            (Language::Ja, "account") => "アカウント",
            (Language::Ja, "grades") => "グレード",
            (Language::Ja, "route") => "ルート",
            (Language::Ja, "after rejection") => "営業が断ったあと",
            (Language::Ja, "exclusion") => "渡さない相手",
            (Language::Ja, part) => part,
        }
    }
}

impl Playbook {
    /// What is different in a later playbook, in the order in which a playbook is read; in English.
    pub fn differences(&self, later: &Self) -> Vec<Difference> {
        self.differences_in(later, Language::En)
    }

    /// The same, with its sentences in a language; the kinds of parts keep their names.
    pub fn differences_in(&self, later: &Self, language: Language) -> Vec<Difference> {
        let mut found = Vec::new();
        of_list("engagement rule", &self.rules, &later.rules, language, &mut found);
        of_list("group", &self.groups, &later.groups, language, &mut found);
        of_list("fit rule", &self.fit_rules, &later.fit_rules, language, &mut found);
        of_list("track", &self.tracks, &later.tracks, language, &mut found);
        for (part, before, after) in
            [("most engagement", self.engagement_cap, later.engagement_cap), ("most fit", self.fit_cap, later.fit_cap)]
        {
            if before != after {
                found.push(Difference {
                    part,
                    name: String::new(),
                    change: Change::Changed,
                    before: before.to_string(),
                    after: after.to_string(),
                    concerns: match language {
                        Language::En => format!("leads with more than {} points", before.min(after)),
                        Language::Ja => format!("{}点を超えるリード", before.min(after)),
                    },
                });
            }
        }
        if self.account != later.account {
            found.push(Difference {
                part: "account",
                name: String::new(),
                change: Change::Changed,
                before: self.account.in_words(language).join(" "),
                after: later.account.in_words(language).join(" "),
                concerns: language
                    .pick(
                        "accounts of engaged people, at once, when their scores are computed anew",
                        "関心のある人がいるアカウント（再計算のときすぐに）",
                    )
                    .to_owned(),
            });
        }
        if self.grades != later.grades {
            let sentence = |playbook: &Self| playbook.in_words(language)[2].sentences.join(" ");
            found.push(Difference {
                part: "grades",
                name: String::new(),
                change: Change::Changed,
                before: sentence(self),
                after: sentence(later),
                concerns: language
                    .pick("leads between the old limits and the new", "新旧の境界のあいだにいるリード")
                    .to_owned(),
            });
        }
        self.diff_routes(later, language, &mut found);
        self.diff_rejections(later, language, &mut found);
        of_list("exclusion", &self.exclusions, &later.exclusions, language, &mut found);
        found
    }

    fn diff_routes(&self, later: &Self, language: Language, found: &mut Vec<Difference>) {
        let with_limits = |playbook: &Self| -> Vec<_> {
            playbook.routes.iter().map(|route| (route_text(route), playbook.limit_of(route))).collect()
        };
        let (before, after) = (with_limits(self), with_limits(later));
        let sentence = |playbook: &Self, route: &Route| route.in_words(language, playbook.limit_of(route));
        for (index, route) in self.routes.iter().enumerate() {
            let place = later.routes.iter().position(|other| other.name == route.name);
            let after_this = place.map(|at| sentence(later, &later.routes[at])).unwrap_or_default();
            let change = match place {
                None => Change::Removed,
                Some(at) if before[index] != after[at] => Change::Changed,
                Some(at) if order_changed(&self.routes, &later.routes, index, at) => Change::Moved,
                Some(_) => continue,
            };
            found.push(Difference {
                part: "route",
                name: route.name.clone(),
                change,
                before: sentence(self, route),
                after: after_this,
                concerns: language
                    .pick(
                        "leads that qualify from then on; what was handed over stays",
                        "これから条件を満たすリード。引き渡し済みのものは変わらない",
                    )
                    .to_owned(),
            });
        }
        for route in later.routes.iter().filter(|route| !self.routes.iter().any(|other| other.name == route.name)) {
            found.push(Difference {
                part: "route",
                name: route.name.clone(),
                change: Change::Added,
                before: String::new(),
                after: sentence(later, route),
                concerns: language
                    .pick("every lead for which it holds, at once", "条件を満たすすべてのリード（ただちに）")
                    .to_owned(),
            });
        }
    }

    fn diff_rejections(&self, later: &Self, language: Language, found: &mut Vec<Difference>) {
        for &reason in RejectReason::ALL {
            let (before, after) = (self.after_rejection(reason), later.after_rejection(reason));
            if before != after {
                found.push(Difference {
                    part: "after rejection",
                    name: reason.name().to_owned(),
                    change: Change::Changed,
                    before: consequence_in_words(reason, before, language),
                    after: consequence_in_words(reason, after, language),
                    concerns: language.pick("leads rejected from then on", "これから断られるリード").to_owned(),
                });
            }
        }
    }
}

/// Whether some route that stood before it now stands behind it, or the other way round.
fn order_changed(before: &[Route], after: &[Route], index: usize, at: usize) -> bool {
    let names = |routes: &[Route]| -> Vec<String> { routes.iter().map(|route| route.name.clone()).collect() };
    let (first, then) = (names(&before[..index]), names(&after[..at]));
    let kept = |name: &&String| after.iter().any(|route| route.name == **name);
    first.iter().filter(kept).any(|name| !then.contains(name))
}

fn route_text(route: &Route) -> (Vec<String>, Option<Millis>, String, crate::Urgency, String) {
    let conditions = route.conditions().map(Condition::in_one_line).collect();
    let track = crate::TrackRef::name_of(route.track.as_ref()).to_owned();
    (conditions, route.dwell, route.pool.clone(), route.urgency, track)
}

/// Something that is known by its name within a list.
trait Named: Debug {
    fn name(&self) -> &str;
    fn sentence(&self, language: Language) -> String;
    fn concerns(before: Option<&Self>, after: Option<&Self>, language: Language) -> String;
}

fn of_list<T: Named>(part: &'static str, before: &[T], after: &[T], language: Language, found: &mut Vec<Difference>) {
    let mut add = |change, before: Option<&T>, after: Option<&T>| {
        let name = before.or(after).map(|item| item.name().to_owned()).unwrap_or_default();
        let [was, is] = [before, after].map(|item| item.map(|item| item.sentence(language)).unwrap_or_default());
        let concerns = T::concerns(before, after, language);
        found.push(Difference { part, name, change, before: was, after: is, concerns });
    };
    for item in before {
        match after.iter().find(|other| other.name() == item.name()) {
            None => add(Change::Removed, Some(item), None),
            Some(other) if other.sentence(Language::En) != item.sentence(Language::En) => {
                add(Change::Changed, Some(item), Some(other))
            }
            Some(_) => {}
        }
    }
    for item in after.iter().filter(|item| !before.iter().any(|other| other.name() == item.name())) {
        add(Change::Added, None, Some(item));
    }
}

impl Named for Rule {
    fn name(&self) -> &str {
        &self.name
    }

    fn sentence(&self, language: Language) -> String {
        self.in_words(language)
    }

    fn concerns(before: Option<&Self>, after: Option<&Self>, language: Language) -> String {
        let most = |rule: Option<&Self>| rule.map_or(Millipoints::ZERO, Self::most);
        let by = most(after) - most(before);
        let (en, ja) = match (before, after) {
            (Some(before), Some(after)) if !before.looks_for_the_same(after) => {
                ("leads with signals of either", "どちらかの行動があるリード")
            }
            (Some(_) | None, Some(_) | None) => ("leads with such signals", "該当する行動があるリード"),
        };
        match language {
            Language::En => {
                format!("{en}, at once, when their scores are computed anew; at most {}", signed(by, language))
            }
            Language::Ja => format!("{ja}（再計算時にただちに）。最大{}", signed(by, language)),
        }
    }
}

impl Named for Group {
    fn name(&self) -> &str {
        &self.name
    }

    fn sentence(&self, language: Language) -> String {
        self.in_words(language)
    }

    fn concerns(before: Option<&Self>, after: Option<&Self>, language: Language) -> String {
        let caps = [before, after].into_iter().flatten().map(|group| group.cap);
        let least = caps.min().unwrap_or(Millipoints::ZERO);
        match language {
            Language::En => {
                format!(
                    "leads that have more than {least} points by its rules, at once, when their scores are computed anew"
                )
            }
            Language::Ja => format!("このグループで{least}点を超えるリード（再計算時にただちに）"),
        }
    }
}

impl Named for FitRule {
    fn name(&self) -> &str {
        &self.name
    }

    fn sentence(&self, language: Language) -> String {
        self.in_words(language)
    }

    fn concerns(before: Option<&Self>, after: Option<&Self>, language: Language) -> String {
        let points = |rule: Option<&Self>| rule.map_or(Millipoints::ZERO, |rule| rule.points);
        let by = signed(points(after) - points(before), language);
        match language {
            Language::En => format!("leads with such attributes; {by}"),
            Language::Ja => format!("該当する属性のリード。{by}"),
        }
    }
}

impl Named for Track {
    fn name(&self) -> &str {
        &self.name
    }

    fn sentence(&self, language: Language) -> String {
        self.in_words(language)
    }

    fn concerns(_: Option<&Self>, _: Option<&Self>, language: Language) -> String {
        let (en, ja) = (
            "every lead: it has the score of the track or has it no longer, when its scores are computed anew",
            "すべてのリード（再計算のときに、この製品ラインのスコアが付く、またはなくなる）",
        );
        language.pick(en, ja).to_owned()
    }
}

impl Named for crate::Exclusion {
    fn name(&self) -> &str {
        &self.name
    }

    fn sentence(&self, language: Language) -> String {
        self.in_words(language)
    }

    fn concerns(_: Option<&Self>, _: Option<&Self>, language: Language) -> String {
        let (en, ja) = (
            "leads with such an e-mail address; what was handed over stays",
            "該当するメールアドレスのリード。引き渡し済みのものは変わらない",
        );
        language.pick(en, ja).to_owned()
    }
}

fn signed(points: Millipoints, language: Language) -> String {
    let plus = if points > Millipoints::ZERO { "+" } else { "" };
    match language {
        Language::En => format!("{plus}{points} points"),
        Language::Ja => format!("{plus}{points}点"),
    }
}
