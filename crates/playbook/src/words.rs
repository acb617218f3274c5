//! A playbook as sentences, to be read aloud in a meeting; in English and in Japanese.

use std::fmt::Display;

use tasuki_domain::{Millipoints, Millis};

use crate::account::AccountMeasure;
use crate::decay::{Decay, Limit};
use crate::kind::{EventKind, RejectReason, Urgency};
use crate::model::{AccountPolicy, Consequence, Exclusion, FitRule, FitTest, Group, Playbook, Route, Rule};
use crate::pattern::Pattern;
use crate::track::{Track, TrackRef};

/// In which the sentences are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Japanese.
    Ja,
}

/// A part of a playbook: a heading, and a sentence for each rule, route or limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it is about.
    pub heading: String,
    /// One for each thing.
    pub sentences: Vec<String>,
}

impl Playbook {
    /// The whole of it in words.
    pub fn in_words(&self, language: Language) -> Vec<Section> {
        let section = |en: &str, ja: &str, sentences| Section { heading: language.pick(en, ja).to_owned(), sentences };
        let exclusions: Vec<_> = self.exclusions.iter().map(|exclusion| exclusion.in_words(language)).collect();
        let mut sections = vec![
            section(
                "Engagement: how much interest the behaviour shows",
                "エンゲージメント：行動が示す関心の強さ",
                self.rules
                    .iter()
                    .map(|rule| rule.in_words(language))
                    .chain(self.groups.iter().map(|group| group.in_words(language)))
                    .chain([axis(self.engagement_cap, language)])
                    .collect(),
            ),
            section(
                "Fit: whether it is somebody we sell to",
                "フィット：狙う顧客にどれだけ合うか",
                self.fit_rules
                    .iter()
                    .map(|rule| rule.in_words(language))
                    .chain([axis(self.fit_cap, language)])
                    .collect(),
            ),
            section("Grades", "グレード", self.grades_in_words(language)),
        ];
        if !self.tracks.is_empty() {
            let mut sentences: Vec<_> = self.tracks.iter().map(|track| track.in_words(language)).collect();
            sentences.extend(of_all_tracks(language));
            sections.push(section(
                "Tracks: product lines, each with a score of its own",
                "製品ライン：それぞれのスコア",
                sentences,
            ));
        }
        sections.extend([
            section(
                "When a lead is handed to sales; the first that holds is taken",
                "営業に渡す条件（上から順に、最初に満たすもの）",
                self.routes.iter().map(|route| route.in_words(language, self.limit_of(route))).collect(),
            ),
            section("After a rejection", "営業が断ったあと", self.rejections_in_words(language)),
        ]);
        if !exclusions.is_empty() {
            sections.push(section("Who is never handed over", "渡さない相手", exclusions));
        }
        let mut accounts = self.account.in_words(language);
        accounts.extend(self.account_asked.measures().map(|measure| asked_of_account(measure, language).to_owned()));
        sections.push(section("Accounts: what leads of one company add up to", "企業（アカウント）の合計", accounts));
        sections
    }

    pub(crate) fn limit_of(&self, route: &Route) -> Millis {
        self.accept_within(&route.name, route.urgency)
    }

    fn grades_in_words(&self, language: Language) -> Vec<String> {
        let [a, b, c] = self.grades.fit;
        let [one, two, three] = self.grades.engagement;
        vec![
            match language {
                Language::En => format!("Fit: A from {a} points, B from {b}, C from {c}, else D."),
                Language::Ja => format!("フィット：{a}点以上でA、{b}点以上でB、{c}点以上でC、それ未満はD。"),
            },
            match language {
                Language::En => format!("Engagement: 1 from {one} points, 2 from {two}, 3 from {three}, else 4."),
                Language::Ja => {
                    format!("エンゲージメント：{one}点以上で1、{two}点以上で2、{three}点以上で3、それ未満は4。")
                }
            },
        ]
    }

    fn rejections_in_words(&self, language: Language) -> Vec<String> {
        let of = |reason: &RejectReason| consequence_in_words(*reason, self.after_rejection(*reason), language);
        RejectReason::ALL.iter().map(of).collect()
    }
}

impl Rule {
    /// The rule as a sentence.
    pub(crate) fn in_words(&self, language: Language) -> String {
        let (name, conditions) = (&self.name, self.conditions(language));
        let (points, what) = (self.points, event(self.event, language));
        let fades = fades(&self.decay, language);
        let counts = self.limit.map(|limit| counts(limit, language)).unwrap_or_default();
        let most = match (self.cap, language) {
            (Some(cap), Language::En) if self.points < Millipoints::ZERO => format!("; at most {cap} are taken in all"),
            (Some(cap), Language::En) => format!("; at most {cap} in all"),
            (Some(cap), Language::Ja) if self.points < Millipoints::ZERO => format!("。減点は合計{cap}点まで"),
            (Some(cap), Language::Ja) => format!("。合計{cap}点まで"),
            (None, _) => String::new(),
        };
        let with = match (&self.group_name, language) {
            (Some(group), Language::En) => format!("; in the group {group}"),
            (Some(group), Language::Ja) => format!("。グループは{group}"),
            (None, _) => String::new(),
        };
        let of = of_track(self.track.as_ref(), language);
        match language {
            Language::En => {
                format!(
                    "{name}: {points} {} each time {what}{conditions}{fades}{counts}{most}{with}{of}.",
                    unit(points)
                )
            }
            Language::Ja => format!("{name}：{what}{conditions}1回につき{points}点{fades}{counts}{most}{with}{of}。"),
        }
    }

    fn conditions(&self, language: Language) -> String {
        let fields = [
            ("about", "内容", &self.about),
            ("path", "ページ", &self.path),
            ("source", "経路", &self.source),
            ("campaign", "キャンペーン", &self.campaign),
        ];
        let said = fields.iter().filter_map(|(en, ja, patterns)| {
            let patterns = patterns.as_deref()?;
            Some(match language {
                Language::En => format!("{en} {}", alike(patterns, language)),
                Language::Ja => format!("{ja}が{}", alike(patterns, language)),
            })
        });
        let said: Vec<String> = said.collect();
        match (said.is_empty(), language) {
            (true, _) => String::new(),
            (false, Language::En) => format!(" ({})", said.join(", ")),
            (false, Language::Ja) => format!("（{}）", said.join("、")),
        }
    }
}

impl Group {
    /// The group as a sentence.
    pub(crate) fn in_words(&self, language: Language) -> String {
        let (name, cap) = (&self.name, self.cap);
        match language {
            Language::En => format!("All rules in the group {name}: at most {cap} together."),
            Language::Ja => format!("グループ{name}のルール：合わせて{cap}点まで。"),
        }
    }
}

impl Track {
    /// The track as a sentence.
    pub(crate) fn in_words(&self, language: Language) -> String {
        let name = &self.name;
        match language {
            Language::En => {
                format!(
                    "{name}: the rules of this track and those of none; from 0 to the same limits, with the same grades."
                )
            }
            Language::Ja => {
                format!(
                    "{name}：この製品ラインのルールと、製品ラインのないルールを数える。上限とグレードの境界は同じ。"
                )
            }
        }
    }
}

/// What holds for a lead with several tracks.
fn of_all_tracks(language: Language) -> [String; 2] {
    [
        language.pick(
            "The lead's own engagement and fit count all rules, whatever their track.",
            "リード自身のエンゲージメントとフィットには、すべてのルールを数える。",
        ),
        language.pick(
            "A lead is with sales once at a time, whatever the track.",
            "どの製品ラインでも、同じリードを同時に二度は渡さない。",
        ),
    ]
    .map(str::to_owned)
}

/// Behind a rule, of which track it is.
fn of_track(track: Option<&TrackRef>, language: Language) -> String {
    match (track, language) {
        (Some(track), Language::En) => format!("; of the track {}", track.name),
        (Some(track), Language::Ja) => format!("。製品ラインは{}", track.name),
        (None, _) => String::new(),
    }
}

impl AccountPolicy {
    /// What it says, in sentences.
    pub(crate) fn in_words(self, language: Language) -> Vec<String> {
        let Self { engaged_from, cap } = self;
        match language {
            Language::En => vec![
                format!("Whoever has an engagement of at least {engaged_from} is an engaged person of the account."),
                format!("The engagement of an account is that of its engaged people together, at most {cap}."),
            ],
            Language::Ja => vec![
                format!("エンゲージメントが{engaged_from}点以上の人を、関心のある人と数える。"),
                format!("アカウントのエンゲージメントは、関心のある人の合計で、{cap}点まで。"),
            ],
        }
    }
}

impl FitRule {
    /// The rule as a sentence.
    pub(crate) fn in_words(&self, language: Language) -> String {
        let (name, points) = (&self.name, self.points);
        let attribute = attribute(&self.attribute, language);
        let of = of_track(self.track.as_ref(), language);
        let said = match (&self.test, language) {
            (FitTest::Mentions(phrases), Language::En) => format!("mentions {}", listed(phrases, language)),
            (FitTest::Mentions(phrases), Language::Ja) => format!("に{}を含む", listed(phrases, language)),
            (FitTest::OneOf(values), Language::En) => format!("is {}", listed(values, language)),
            (FitTest::OneOf(values), Language::Ja) => format!("が{}のいずれかである", listed(values, language)),
            (FitTest::Number { from, to }, _) => range(*from, *to, language),
            (FitTest::Like(patterns), Language::En) => format!("is like {}", alike(patterns, language)),
            (FitTest::Like(patterns), Language::Ja) => format!("が{}に一致する", alike(patterns, language)),
            (FitTest::Missing, Language::En) => "is not known".to_owned(),
            (FitTest::Missing, Language::Ja) => "が不明の".to_owned(),
        };
        match language {
            Language::En => format!("{name}: {points} {} while the {attribute} {said}{of}.", unit(points)),
            Language::Ja => format!("{name}：{attribute}{said}あいだ{points}点{of}。"),
        }
    }
}

impl Route {
    /// The route as a sentence; the condition stands there as it is written.
    pub(crate) fn in_words(&self, language: Language, accept_within: Millis) -> String {
        let (name, pool, limit) = (&self.name, &self.pool, length(accept_within, language));
        let (condition, urgency) = (self.condition.in_one_line(), urgency(self.urgency, language));
        let stays = self.stays_while.as_ref().map(|stays| match language {
            Language::En => format!(", and from then on while {}", stays.in_one_line()),
            Language::Ja => format!("（以後は {} のあいだ）", stays.in_one_line()),
        });
        let dwell = self.dwell.map(|dwell| match language {
            Language::En => format!(", for {} without a break", length(dwell, language)),
            Language::Ja => format!("、途切れずに{}続いたら", length(dwell, language)),
        });
        let (stays, dwell) = (stays.unwrap_or_default(), dwell.unwrap_or_default());
        let of = match (&self.track, language) {
            (Some(track), Language::En) => format!(", of the track {}", track.name),
            (Some(track), Language::Ja) => format!("（製品ライン：{}）", track.name),
            (None, _) => String::new(),
        };
        match language {
            Language::En => {
                format!(
                    "{name}{of}: when {condition}{stays}{dwell}; to {pool}, {urgency}, to be accepted within {limit}."
                )
            }
            Language::Ja => {
                format!("{name}{of}：{condition} のとき{stays}{dwell}、{pool} へ（{urgency}、{limit}以内に受け取る）。")
            }
        }
    }
}

impl Exclusion {
    /// The exclusion as a sentence.
    pub(crate) fn in_words(&self, language: Language) -> String {
        let (name, domains) = (&self.name, alike(&self.email_domains, language));
        match language {
            Language::En => format!("{name}: whoever has an e-mail address at {domains}."),
            Language::Ja => format!("{name}：メールアドレスが {domains} の人。"),
        }
    }
}

impl Language {
    pub(crate) const fn pick<'t>(self, en: &'t str, ja: &'t str) -> &'t str {
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }
}

/// What a route looks at that asks for it.
fn asked_of_account(measure: AccountMeasure, language: Language) -> &'static str {
    match measure {
        AccountMeasure::Departments => language.pick(
            "In routes, account.departments is how many departments the engaged people of the lead's account come from.",
            "ルートの account.departments は、そのリードのアカウントで関心のある人がいる部署の数。",
        ),
        AccountMeasure::People => language.pick(
            "In routes, account.people is how many engaged people the lead's account has.",
            "ルートの account.people は、そのリードのアカウントで関心のある人の数。",
        ),
        AccountMeasure::Engagement => language.pick(
            "In routes, account.engagement is the engagement of the lead's account.",
            "ルートの account.engagement は、そのリードのアカウントのエンゲージメント。",
        ),
    }
}

fn axis(cap: Millipoints, language: Language) -> String {
    match language {
        Language::En => format!("All of it together: from 0 to {cap}."),
        Language::Ja => format!("合計は0点から{cap}点まで。"),
    }
}

/// The consequence of a rejection as a sentence.
pub(crate) fn consequence_in_words(reason: RejectReason, consequence: Consequence, language: Language) -> String {
    let name = reason.name();
    match (consequence, language) {
        (Consequence::Disqualify, Language::En) => format!("{name}: is not handed over again."),
        (Consequence::Disqualify, Language::Ja) => format!("{name}：二度と渡さない。"),
        (Consequence::RecycleAfter(time), Language::En) => {
            format!("{name}: back to marketing; after {} it may qualify again.", length(time, language))
        }
        (Consequence::RecycleAfter(time), Language::Ja) => {
            format!("{name}：マーケティングに戻す。{}後から再び対象になる。", length(time, language))
        }
    }
}

fn range(from: Option<u32>, to: Option<u32>, language: Language) -> String {
    match (from, to, language) {
        (Some(from), Some(to), Language::En) => format!("is from {from} to {to}"),
        (Some(from), Some(to), Language::Ja) => format!("が{from}以上{to}以下の"),
        (Some(from), None, Language::En) => format!("is {from} or more"),
        (Some(from), None, Language::Ja) => format!("が{from}以上の"),
        (None, Some(to), Language::En) => format!("is {to} or less"),
        (None, Some(to), Language::Ja) => format!("が{to}以下の"),
        (None, None, Language::En) => "is anything".to_owned(),
        (None, None, Language::Ja) => "が何でもよい".to_owned(),
    }
}

/// How points fade, behind the points.
fn fades(decay: &Decay, language: Language) -> String {
    let long = |time| length(time, language);
    match (decay, language) {
        (Decay::Stays, _) => String::new(),
        (Decay::HalfLife(time), Language::En) => format!(", half of it left after {}", long(*time)),
        (Decay::HalfLife(time), Language::Ja) => format!("、{}で半分になる", long(*time)),
        (Decay::Linear(time), Language::En) => format!(", less day by day and nothing after {}", long(*time)),
        (Decay::Linear(time), Language::Ja) => format!("、少しずつ減り{}でなくなる", long(*time)),
        (Decay::Window(time), Language::En) => format!(", for {}", long(*time)),
        (Decay::Window(time), Language::Ja) => format!("、{}間だけ有効", long(*time)),
        (Decay::Steps(steps), Language::En) => {
            let said = steps.iter().map(|step| match step.left {
                0 => format!("nothing after {}", long(step.after)),
                left => format!("{left} % after {}", long(step.after)),
            });
            format!(", of which are left {}", listed_with(&said.collect::<Vec<_>>(), "and", language))
        }
        (Decay::Steps(steps), Language::Ja) => {
            let said = steps.iter().map(|step| match step.left {
                0 => format!("{}後に0", long(step.after)),
                left => format!("{}後に{left}%", long(step.after)),
            });
            format!("、{}になる", said.collect::<Vec<_>>().join("、"))
        }
    }
}

/// How often a rule counts.
fn counts(Limit { times, per }: Limit, language: Language) -> String {
    let within = match (per.get() / 60_000, language) {
        (1_440, Language::En) => "a day".to_owned(),
        (60, Language::En) => "an hour".to_owned(),
        (_, Language::En) => format!("in {}", length(per, language)),
        (_, Language::Ja) => length(per, language),
    };
    match (times, language) {
        (1, Language::En) => format!("; counted once {within}"),
        (times, Language::En) => format!("; counted at most {times} times {within}"),
        (times, Language::Ja) => format!("。{within}に{times}回まで数える"),
    }
}

/// Patterns, any of which may be as the text is.
fn alike(patterns: &[Pattern], language: Language) -> String {
    let one = |pattern: &Pattern| match (pattern.expression(), language) {
        (None, _) => pattern.to_string(),
        (Some(text), Language::En) => format!("the expression {text}"),
        (Some(text), Language::Ja) => format!("正規表現「{text}」"),
    };
    listed(&patterns.iter().map(one).collect::<Vec<_>>(), language)
}

fn listed(items: &[impl Display], language: Language) -> String {
    listed_with(items, "or", language)
}

fn listed_with(items: &[impl Display], joined_by: &str, language: Language) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match (items.split_last(), language) {
        (None, _) => language.pick("nothing", "なし").to_owned(),
        (Some((last, [])), _) => last.clone(),
        (Some((last, before)), Language::En) => format!("{} {joined_by} {last}", before.join(", ")),
        (Some(_), Language::Ja) => items.join("・"),
    }
}

fn unit(points: Millipoints) -> &'static str {
    if points.get().abs() == 1_000 { "point" } else { "points" }
}

pub(crate) fn length(time: Millis, language: Language) -> String {
    let minutes = time.get() / 60_000;
    let (number, en, ja) = match minutes {
        m if m % 1_440 == 0 => (m / 1_440, "day", "日"),
        m if m % 60 == 0 => (m / 60, "hour", "時間"),
        m => (m, "minute", "分"),
    };
    match language {
        Language::En if number == 1 => format!("1 {en}"),
        Language::En => format!("{number} {en}s"),
        Language::Ja => format!("{number}{ja}"),
    }
}

fn urgency(urgency: Urgency, language: Language) -> &'static str {
    match urgency {
        Urgency::Urgent => language.pick("urgent", "至急"),
        Urgency::High => language.pick("before others", "優先"),
        Urgency::Normal => language.pick("in turn", "通常"),
    }
}

fn event(kind: EventKind, language: Language) -> &'static str {
    match kind {
        EventKind::PageViewed => language.pick("a page is viewed", "ページ閲覧"),
        EventKind::FormSubmitted => language.pick("a form is sent", "フォーム送信"),
        EventKind::EmailOpened => language.pick("a mail is opened", "メール開封"),
        EventKind::EmailClicked => language.pick("a link in a mail is followed", "メール内リンクのクリック"),
        EventKind::ContentDownloaded => language.pick("something is downloaded", "資料ダウンロード"),
        EventKind::EventAttended => language.pick("an event is attended", "セミナー・展示会への参加"),
        EventKind::SurveyAnswered => language.pick("a survey is answered", "アンケート回答"),
        EventKind::AssessmentCompleted => language.pick("an assessment is completed", "診断の完了"),
        EventKind::ReferralReceived => language.pick("somebody refers the lead", "紹介"),
        EventKind::InquiryReceived => language.pick("an inquiry comes in", "問い合わせ"),
        EventKind::LeadIdentified => language.pick("the lead says who it is", "本人情報の登録"),
        EventKind::ConsentChanged => language.pick("consent is given or withdrawn", "同意の変更"),
        EventKind::CustomBehavior => language.pick("the named thing happens", "その他の行動"),
    }
}

fn attribute(name: &str, language: Language) -> &str {
    match name {
        "title" => language.pick("title", "役職"),
        "department" => language.pick("department", "部署"),
        "company" => language.pick("company", "会社名"),
        "industry" => language.pick("industry", "業種"),
        "employees" => language.pick("number of employees", "従業員数"),
        "country" => language.pick("country", "国"),
        "region" => language.pick("region", "地域"),
        crate::EMAIL_DOMAIN => language.pick("e-mail domain", "メールのドメイン"),
        other => other,
    }
}
