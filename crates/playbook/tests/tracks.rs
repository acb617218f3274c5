//! Product lines: as they are read, refused, told and read aloud.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tasuki_domain::Millipoints;
use tasuki_playbook::{Difference, Language, Playbook};

const START: &str = r#"
name = "p"
version = 1
[grades]
fit = { A = 70, B = 45, C = 20 }
engagement = { 1 = 70, 2 = 40, 3 = 15 }
[account]
engaged_from = 25
[accept_within]
urgent = "4h"
high = "8h"
normal = "24h"
[after_rejection]
timing = "recycle after 90d"
no-budget = "disqualify"
no-authority = "disqualify"
no-need = "disqualify"
unreachable = "disqualify"
bad-data = "disqualify"
duplicate = "disqualify"
competitor = "disqualify"
not-a-fit = "disqualify"
"#;

const TRACKS: &str = r#"
[[tracks]]
name = "machines"
[[tracks]]
name = "parts"
"#;

const RULES: &str = r#"
[groups.reading]
cap = 60
[engagement]
cap = 100
[[engagement.rules]]
name = "machine-page"
event = "PageViewed"
path = ["/machines/*"]
points = 10
cap = 80
group = "reading"
track = "machines"
[[engagement.rules]]
name = "parts-page"
event = "PageViewed"
path = ["/parts/*"]
points = 10
cap = 30
track = "parts"
[[engagement.rules]]
name = "form"
event = "FormSubmitted"
points = 20
cap = 20
[fit]
cap = 100
[[fit.rules]]
name = "decides"
attribute = "title"
mentions = ["director"]
points = 40
[[fit.rules]]
name = "makes-things"
attribute = "industry"
one_of = ["manufacturing"]
points = 30
track = "machines"
"#;

const ROUTES: &str = r#"
[[routes]]
name = "machines"
track = "machines"
when = "engagement >= 55 && fit >= 70"
urgency = "high"
pool = "machines"
[[routes]]
name = "parts"
track = "parts"
when = "engagement > 30"
urgency = "normal"
pool = "parts"
[[routes]]
name = "score"
when = "engagement >= 65"
urgency = "normal"
pool = "inside"
"#;

fn text() -> String {
    [START, TRACKS, RULES, ROUTES].concat()
}

fn playbook(changes: &[(&str, &str)]) -> Playbook {
    let changed = changes.iter().fold(text(), |text, (before, after)| {
        assert!(text.contains(before), "{before}");
        text.replacen(before, after, 1)
    });
    Playbook::parse(&changed).unwrap_or_else(|faults| panic!("{faults} in {changed}"))
}

fn faults(changes: &[(&str, &str)]) -> String {
    let changed = changes.iter().fold(text(), |text, (before, after)| text.replacen(before, after, 1));
    Playbook::parse(&changed).expect_err("it is wrong").to_string()
}

fn lints(changes: &[(&str, &str)]) -> Vec<String> {
    playbook(changes).lints().iter().map(|lint| format!("{}: {}", lint.kind.name(), lint.problem)).collect()
}

#[test]
fn rules_count_for_their_track_or_for_all_and_thresholds_are_of_the_track_of_their_route() {
    let playbook = playbook(&[]);
    let names: Vec<_> = playbook.tracks().iter().map(|track| track.name.as_str()).collect();
    assert_eq!(names, ["machines", "parts"]);
    let counts: Vec<_> =
        playbook.rules().iter().map(|rule| [None, Some(0), Some(1)].map(|of| rule.counts_for(of))).collect();
    assert_eq!(counts, [[true, true, false], [true, false, true], [true, true, true]]);
    let fits: Vec<_> = playbook.fit_rules().iter().map(|rule| rule.counts_for(Some(1))).collect();
    assert_eq!(fits, [true, false]);
    assert!(playbook.groups()[0].counts_for(Some(0)) && !playbook.groups()[0].counts_for(Some(1)));
    let boundaries = |of| playbook.boundaries_of(of).iter().map(|at: &Millipoints| at.get()).collect::<Vec<_>>();
    // The grades begin everywhere at the same points; engaged people are those of the lead's own engagement.
    assert_eq!(boundaries(None), [15_000, 25_000, 40_000, 65_000, 65_001, 70_000]);
    assert_eq!(boundaries(Some(0)), [15_000, 40_000, 55_000, 55_001, 70_000]);
    assert_eq!(boundaries(Some(1)), [15_000, 30_000, 30_001, 40_000, 70_000]);
    assert_eq!(playbook.boundaries(), playbook.boundaries_of(None));
    let of: Vec<_> = playbook.routes().iter().map(|route| route.track.as_ref().map(|track| track.place)).collect();
    assert_eq!(of, [Some(0), Some(1), None]);
}

#[test]
fn what_is_wrong_with_tracks_is_told_with_its_place_and_what_is_allowed() {
    let cases = [
        (
            ("group = \"reading\"\ntrack = \"machines\"", "group = \"reading\"\ntrack = \"machine\""),
            "line 40, column 9: there is no track \"machine\"; there are machines, parts. A track is [[tracks]] with its name",
        ),
        (
            ("points = 30\ntrack = \"machines\"", "points = 30\ntrack = \"tools\""),
            "line 65, column 9: there is no track \"tools\"; there are machines, parts. A track is [[tracks]] with its name",
        ),
        (
            ("name = \"parts\"\ntrack = \"parts\"", "name = \"parts\"\ntrack = \"Parts\""),
            "line 75, column 9: a name is lower-case letters, digits",
        ),
        (
            ("[[tracks]]\nname = \"parts\"", "[[tracks]]\nname = \"machines\""),
            "line 27, column 8: the name \"machines\" is taken",
        ),
        (
            ("cap = 30\ntrack = \"parts\"", "cap = 30\ngroup = \"reading\"\ntrack = \"parts\""),
            "line 47, column 9: the rules of group \"reading\" are all of the same track, or all of none",
        ),
        (
            ("cap = 20\n[fit]", "cap = 20\ngroup = \"reading\"\n[fit]"),
            "line 53, column 9: the rules of group \"reading\" are all of the same track, or all of none",
        ),
    ];
    for (change, told) in cases {
        let faults = faults(&[change]);
        assert!(faults.contains(told), "{faults}\nlacks: {told}");
    }
    let many: String = (0..9).map(|number| format!("[[tracks]]\nname = \"t-{number}\"\n")).collect();
    let nine = Playbook::parse(&Playbook::DEFAULT.replacen("[[routes]]", &format!("{many}[[routes]]"), 1));
    let told = nine.expect_err("there are too many").to_string();
    assert!(told.contains("a playbook has at most 8 tracks"), "{told}");
    let none = Playbook::parse(&Playbook::DEFAULT.replacen("urgency =", "track = \"parts\"\nurgency =", 1));
    let told = none.expect_err("there is none").to_string();
    assert!(
        told.contains("there is no track \"parts\"; there are none. A track is [[tracks]] with its name"),
        "{told}"
    );
}

#[test]
fn what_is_hardly_meant_of_tracks_is_told() {
    assert_eq!(lints(&[]), Vec::<String>::new());
    // 60 of the group and 20 of the form; what parts give is not there for machines, and the other way round.
    assert_eq!(lints(&[("engagement >= 55", "engagement >= 80")]), Vec::<String>::new());
    assert_eq!(
        lints(&[("engagement >= 55", "engagement >= 81")]),
        [
            "unreachable-threshold: route \"machines\" never opens: all rules of track \"machines\" and of none together give 80 of \
          engagement and 70 of fit"
        ]
    );
    assert_eq!(
        lints(&[("engagement > 30", "fit > 40")]),
        [
            "unreachable-threshold: route \"parts\" never opens: all rules of track \"parts\" and of none together give 50 of \
          engagement and 40 of fit"
        ]
    );
    assert_eq!(
        lints(&[("name = \"parts\"\ntrack = \"parts\"", "name = \"parts\"")]),
        [
            "track-without-route: no route is of track \"parts\": its score is shown, and hands nobody over",
            "never-taken: route \"score\" is never taken: wherever it holds, \"parts\" does before it",
        ]
    );
    assert_eq!(
        lints(&[("cap = 30\ntrack = \"parts\"", "cap = 30")]),
        ["track-without-rules: no rule is of track \"parts\": it shows what the rules of no track give"]
    );
    // Of another track nothing is known: a lower threshold there does not close this route.
    assert_eq!(lints(&[("engagement >= 65", "engagement >= 31")]), Vec::<String>::new());
    // The same conditions are two rules where they count for two tracks, and both count for the lead.
    assert_eq!(
        lints(&[("/parts/*", "/machines/*")]),
        ["counts-twice: what counts under \"parts-page\" counts under \"machine-page\" as well"]
    );
    assert_eq!(
        lints(&[("/parts/*", "/machines/*"), ("cap = 30\ntrack = \"parts\"", "cap = 30\ntrack = \"machines\"")])[0],
        "track-without-rules: no rule is of track \"parts\": it shows what the rules of no track give"
    );
}

#[test]
fn tracks_are_read_aloud_in_both_languages() {
    let playbook = playbook(&[]);
    let sentences = |language, heading: &str| {
        let sections = playbook.in_words(language);
        sections.into_iter().find(|section| section.heading.starts_with(heading)).unwrap().sentences
    };
    assert_eq!(
        sentences(Language::En, "Tracks"),
        [
            "machines: the rules of this track and those of none; from 0 to the same limits, with the same grades.",
            "parts: the rules of this track and those of none; from 0 to the same limits, with the same grades.",
            "The lead's own engagement and fit count all rules, whatever their track.",
            "A lead is with sales once at a time, whatever the track.",
        ]
    );
    assert_eq!(
        sentences(Language::Ja, "製品ライン")[1..],
        [
            "parts：この製品ラインのルールと、製品ラインのないルールを数える。上限とグレードの境界は同じ。",
            "リード自身のエンゲージメントとフィットには、すべてのルールを数える。",
            "どの製品ラインでも、同じリードを同時に二度は渡さない。",
        ]
    );
    assert_eq!(
        sentences(Language::En, "Engagement")[0],
        "machine-page: 10 points each time a page is viewed (path /machines/*); at most 80 in all; in the group reading; of the \
         track machines."
    );
    assert_eq!(
        sentences(Language::Ja, "エンゲージメント")[1],
        "parts-page：ページ閲覧（ページが/parts/*）1回につき10点。合計30点まで。製品ラインはparts。"
    );
    assert_eq!(
        sentences(Language::En, "Fit")[1],
        "makes-things: 30 points while the industry is manufacturing; of the track machines."
    );
    assert_eq!(
        sentences(Language::En, "When")[0],
        "machines, of the track machines: when engagement >= 55 && fit >= 70; to machines, before others, to be accepted within \
         8 hours."
    );
    assert_eq!(
        sentences(Language::Ja, "営業に渡す")[1],
        "parts（製品ライン：parts）：engagement > 30 のとき、parts へ（通常、1日以内に受け取る）。"
    );
    assert!(!playbook.in_words(Language::En).iter().any(|section| section.sentences.is_empty()));
    let without = Playbook::built_in().in_words(Language::En);
    assert!(without.iter().all(|section| !section.heading.starts_with("Tracks")));
}

#[test]
fn what_differs_in_tracks_is_told_with_whom_it_concerns() {
    let later = playbook(&[
        ("[[tracks]]\nname = \"parts\"", "[[tracks]]\nname = \"spares\""),
        ("cap = 30\ntrack = \"parts\"", "cap = 30\ntrack = \"spares\""),
        ("points = 30\ntrack = \"machines\"", "points = 30"),
        ("name = \"parts\"\ntrack = \"parts\"", "name = \"parts\"\ntrack = \"spares\""),
    ]);
    let told = |language| -> Vec<String> {
        let line = |it: &Difference| {
            format!("{} {} {}: {}", it.part_in(language), it.name, it.change.in_words(language), it.concerns)
        };
        playbook(&[]).differences_in(&later, language).iter().map(line).collect()
    };
    assert_eq!(
        told(Language::En),
        [
            "engagement rule parts-page changed: leads with such signals, at once, when their scores are computed anew; at most 0 \
             points",
            "fit rule makes-things changed: leads with such attributes; 0 points",
            "track parts removed: every lead: it has the score of the track or has it no longer, when its scores are computed \
             anew",
            "track spares added: every lead: it has the score of the track or has it no longer, when its scores are computed anew",
            "route parts changed: leads that qualify from then on; what was handed over stays",
        ]
    );
    assert_eq!(
        told(Language::Ja)[2],
        "製品ライン parts 削除: すべてのリード（再計算のときに、この製品ラインのスコアが付く、またはなくなる）"
    );
}

#[test]
fn the_schema_knows_tracks() {
    let schema = tasuki_playbook::schema().to_value();
    assert_eq!(schema["properties"]["tracks"]["items"]["$ref"], "#/$defs/TrackEntry");
    assert_eq!(schema["$defs"]["TrackEntry"]["required"], serde_json::json!(["name"]));
    for part in ["EngagementRule", "FitRuleEntry", "RouteEntry"] {
        assert!(schema["$defs"][part]["properties"]["track"].is_object(), "{part}");
    }
}

#[test]
fn the_example_of_the_documentation_is_a_playbook_without_warnings() {
    let page = include_str!("../../../docs/playbooks/README.md");
    let section = &page[page.find("## Tracks").unwrap()..];
    let start = section.find("```toml\n").unwrap() + "```toml\n".len();
    let example = &section[start..start + section[start..].find("```").unwrap()];
    let caps = "[engagement]\ncap = 100\n[fit]\ncap = 100\n";
    let playbook = Playbook::parse(&[START, caps, example].concat()).unwrap_or_else(|faults| panic!("{faults}"));
    let warnings: Vec<_> = playbook.lints().into_iter().filter(|lint| !lint.problem.contains("grade ")).collect();
    assert_eq!(warnings, []);
    let by_track: Vec<_> =
        playbook.rules().iter().map(|rule| (rule.counts_for(Some(0)), rule.counts_for(Some(1)))).collect();
    assert_eq!(by_track, [(true, false), (false, true), (true, true)]);
}
