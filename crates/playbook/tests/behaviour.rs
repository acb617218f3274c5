//! How points fade, how often rules count, groups, patterns and conditions on fit: as they are read, refused, told and
//! read aloud.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tasuki_domain::{Millipoints, Millis};
use tasuki_playbook::{Decay, EventKind, Language, Limit, Playbook, SignalFields, Step};

const REST: &str = r#"
[grades]
fit = { A = 70, B = 45, C = 20 }
engagement = { 1 = 70, 2 = 40, 3 = 15 }
[[routes]]
name = "asked"
when = 'signals.within("a", "30d") > 0'
urgency = "urgent"
pool = "inside"
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

/// Rules on behaviour "a", "b" ... with these keys, and groups; rules on fit "v", "w" ... likewise.
fn text(groups: &str, rules: &[&str], fit_rules: &[&str]) -> String {
    let mut text = format!("name = \"p\"\nversion = 1\n{groups}\n[engagement]\ncap = 100\n");
    for (name, keys) in ('a'..).zip(rules) {
        text += &format!("[[engagement.rules]]\nname = \"{name}\"\nevent = \"PageViewed\"\n{keys}\n");
    }
    text += if fit_rules.is_empty() { "[fit]\ncap = 100\nrules = []\n" } else { "[fit]\ncap = 100\n" };
    for (name, keys) in ('v'..).zip(fit_rules) {
        text += &format!("[[fit.rules]]\nname = \"{name}\"\npoints = 10\n{keys}\n");
    }
    text + REST
}

fn playbook(groups: &str, rules: &[&str], fit_rules: &[&str]) -> Playbook {
    Playbook::parse(&text(groups, rules, fit_rules)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn faults(groups: &str, rules: &[&str]) -> String {
    Playbook::parse(&text(groups, rules, &[])).expect_err("it is wrong").to_string()
}

fn days(number: i64) -> Millis {
    Millis::from_days(number)
}

#[test]
fn rules_fade_in_one_of_five_ways() {
    let steps = "step = [{ after = \"30d\", left = 50 }, { after = \"90d\", left = 0 }]";
    let keys = ["", "half_life = \"3d\"", "linear = \"60d\"", steps, "window = \"7d\""];
    let rules = keys.map(|keys| format!("points = 5\n{keys}"));
    let playbook = playbook("", &rules.each_ref().map(String::as_str), &[]);
    let steps = [(30, 50), (90, 0)].map(|(after, left)| Step { after: days(after), left });
    assert_eq!(
        playbook.rules().iter().map(|rule| rule.decay.clone()).collect::<Vec<_>>(),
        [
            Decay::Stays,
            Decay::HalfLife(days(3)),
            Decay::Linear(days(60)),
            Decay::Steps(steps.to_vec()),
            Decay::Window(days(7))
        ]
    );
}

#[test]
fn what_cannot_fade_or_count_so_is_told_with_its_place() {
    let wrong = |keys: &str| faults("", &[&format!("points = 5\n{keys}")]);
    for (keys, expected) in [
        ("half_life = \"3d\"\nwindow = \"7d\"", "line 11, column 10: a rule fades in one way"),
        ("linear = \"401d\"", "line 10, column 10: signals are kept for 400d; no time is longer here"),
        ("window = \"500d\"", "line 10, column 10: signals are kept for 400d"),
        ("step = []", "line 10, column 8: 1 to 10 steps"),
        ("step = [{ after = \"2d\", left = 5 }, { after = \"1d\", left = 4 }]", "each after a longer time"),
        ("step = [{ after = \"1d\", left = 5 }, { after = \"2d\", left = 5 }]", "each leaving less"),
        ("step = [{ after = \"1d\", left = 100 }]", "what is left is a whole number of percent from 0 to 99"),
        ("limit = { times = 0, per = \"1d\" }", "line 10, column 9: a rule counts 1 to 500 times"),
        ("limit = { times = 1 }", "missing field `per`"),
        ("limit = { times = 1, per = \"1w\" }", "a length of time is a whole number"),
        ("limit = { times = 1, per = \"800d\" }", "signals are kept for 400d"),
        (
            "group = \"g\"",
            "line 10, column 9: there is no group \"g\"; there are none. A group is [groups.g] with its cap",
        ),
        ("path = [{ regex = \"(\" }]", "not a regular expression: unclosed group"),
        ("path = [{ glob = \"a\" }]", "unknown field `glob`, expected `regex`"),
        ("path = [1]", "expected a text, in which"),
        ("path = [\"\"]", "a pattern is not empty"),
    ] {
        let told = wrong(keys);
        // Behind it comes that the route asks for a rule that is not there, where the rule could not be read.
        let first = told.lines().next().unwrap();
        assert!(first.contains(expected) && told.lines().count() <= 2, "{keys}: {told}");
    }
}

#[test]
fn groups_have_a_cap_and_rules_that_all_give_or_all_take() {
    let groups = "[groups.reading]\ncap = 20\n[groups.leaving]\ncap = 5";
    let playbook = playbook(
        groups,
        &[
            "points = 15\ngroup = \"reading\"",
            "points = 9\ngroup = \"reading\"",
            "points = -9\ngroup = \"leaving\"\ncap = 9",
        ],
        &[],
    );
    let named: Vec<_> = playbook.groups().iter().map(|group| (group.name.as_str(), group.cap)).collect();
    assert_eq!(named, [("leaving", Millipoints::from_points(5)), ("reading", Millipoints::from_points(20))]);
    assert_eq!(playbook.rules().iter().map(|rule| rule.group).collect::<Vec<_>>(), [Some(1), Some(1), Some(0)]);

    let mixed = faults(groups, &["points = 5\ngroup = \"reading\"", "points = -5\ngroup = \"reading\""]);
    assert_eq!(mixed, "line 18, column 9: the rules of group \"reading\" either all give or all take points");
    assert_eq!(
        faults("[groups.g]\ncap = 0", &["points = 5\ngroup = \"g\""]),
        "line 4, column 7: the cap of a group is above 0; for rules that take, it is the most they take"
    );
    let sixteen: String = (0..16).map(|number| format!("[groups.g{number}]\ncap = 5\n")).collect();
    assert!(faults(&sixteen, &["points = 5"]).contains("a playbook has at most 15 groups"));
}

#[test]
fn limits_say_how_often_and_in_which_time() {
    let playbook = playbook("", &["points = 5\nlimit = { times = 3, per = \"7d\" }"], &[]);
    assert_eq!(playbook.rules()[0].limit, Some(Limit { times: 3, per: days(7) }));
}

#[test]
fn lists_may_hold_stars_and_regular_expressions() {
    let rule = "points = 5\npath = [\"/a*\", { regex = \"/p/[0-9]+\" }]";
    let playbook = playbook("", &[rule], &[]);
    let at = |path| SignalFields { kind: EventKind::PageViewed, about: "", path, source: "", campaign: "" };
    let found =
        ["/about", "/p/17", "/P/1", "/p/", "/p/1/", "/x/p/1"].map(|path| playbook.rules()[0].matches(&at(path)));
    assert_eq!(found, [true, true, true, false, false, false]);
}

#[test]
fn conditions_on_fit_are_sets_patterns_numbers_and_what_is_missing() {
    let playbook = playbook(
        "",
        &["points = 5"],
        &[
            "attribute = \"plan\"\nlike = [\"pro*\", { regex = \"team-[0-9]+\" }]",
            "attribute = \"plan\"\nmissing = true",
            "attribute = \"employees\"\nfrom = 50\nto = 200",
            "attribute = \"plan\"\none_of = [\"Pro \"]",
            "attribute = \"plan\"\nmentions = [\"pro\"]",
        ],
    );
    let matched = |value: Option<&str>| playbook.fit_rules().iter().map(|rule| rule.matches(value)).collect::<Vec<_>>();
    assert_eq!(matched(Some("Pro ")), [true, false, false, true, true]);
    assert_eq!(matched(Some("TEAM-12")), [true, false, false, false, false]);
    assert_eq!(matched(Some("51-200")), [false, false, true, false, false]);
    assert_eq!(matched(Some("  ")), [false, true, false, false, false]);
    assert_eq!(matched(None), [false, true, false, false, false]);
}

#[test]
fn a_fit_rule_has_one_condition() {
    for keys in
        ["attribute = \"a\"", "attribute = \"a\"\nmissing = false", "attribute = \"a\"\nlike = [\"b\"]\nmissing = true"]
    {
        let faults = Playbook::parse(&text("", &["points = 5"], &[keys])).unwrap_err().to_string();
        assert!(faults.contains("a fit rule has exactly one condition: `mentions`, `one_of`, `like`"), "{faults}");
    }
}

#[test]
fn all_of_it_is_read_aloud_in_both_languages() {
    let playbook = playbook(
        "[groups.reading]\ncap = 20",
        &[
            "points = 15\nlinear = \"60d\"\nlimit = { times = 1, per = \"1d\" }\ngroup = \"reading\"",
            "points = 9\nstep = [{ after = \"30d\", left = 50 }, { after = \"90d\", left = 0 }]\ncap = 18\ngroup = \"reading\"",
            "points = 1\npath = [\"/a\", { regex = \"/p/[0-9]+\" }]\nwindow = \"1d\"\nlimit = { times = 3, per = \"7d\" }",
        ],
        &["attribute = \"plan\"\nlike = [\"pro*\", { regex = \"t[0-9]\" }]", "attribute = \"region\"\nmissing = true"],
    );
    let sentences = |language: Language, section: usize| playbook.in_words(language)[section].sentences.clone();
    assert_eq!(
        sentences(Language::En, 0),
        [
            "a: 15 points each time a page is viewed, less day by day and nothing after 60 days; counted once a day; in the \
             group reading.",
            "b: 9 points each time a page is viewed, of which are left 50 % after 30 days and nothing after 90 days; at most \
             18 in all; in the group reading.",
            "c: 1 point each time a page is viewed (path /a or the expression /p/[0-9]+), for 1 day; counted at most 3 times \
             in 7 days.",
            "All rules in the group reading: at most 20 together.",
            "All of it together: from 0 to 100.",
        ]
    );
    assert_eq!(
        sentences(Language::Ja, 0),
        [
            "a：ページ閲覧1回につき15点、少しずつ減り60日でなくなる。1日に1回まで数える。グループはreading。",
            "b：ページ閲覧1回につき9点、30日後に50%、90日後に0になる。合計18点まで。グループはreading。",
            "c：ページ閲覧（ページが/a・正規表現「/p/[0-9]+」）1回につき1点、1日間だけ有効。7日に3回まで数える。",
            "グループreadingのルール：合わせて20点まで。",
            "合計は0点から100点まで。",
        ]
    );
    assert_eq!(
        sentences(Language::En, 1)[..2],
        [
            "v: 10 points while the plan is like pro* or the expression t[0-9].",
            "w: 10 points while the region is not known."
        ]
    );
    assert_eq!(
        sentences(Language::Ja, 1)[..2],
        ["v：planがpro*・正規表現「t[0-9]」に一致するあいだ10点。", "w：地域が不明のあいだ10点。"]
    );
}

#[test]
fn what_is_hardly_meant_is_told() {
    let groups = "[groups.small]\ncap = 5\n[groups.large]\ncap = 50\n[groups.none]\ncap = 5";
    let playbook = playbook(
        groups,
        &[
            "points = 6\ngroup = \"small\"\npath = [\"/a\"]",
            "points = 10\ncap = 50\ngroup = \"large\"\npath = [{ regex = \"/b\" }]",
            "points = 10\npath = [\"/c\"]",
        ],
        &["attribute = \"region\"\nlike = []"],
    );
    let told: Vec<_> = playbook.lints().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "line 6, column 7: warning: the cap of group \"large\" changes nothing: it is 50, and its rules together never make \
             more than 50 [cap-out-of-reach]",
            "line 8, column 7: warning: no rule belongs to group \"none\" [cap-out-of-reach]",
            "line 12, column 8: warning: rule \"a\" never has its 6 points: the cap of its group \"small\" is 5 \
             [cap-below-points]",
            "line 32, column 8: warning: rule \"v\" matches no lead: `like` lists nothing [never-matches]",
            "line 38, column 7: warning: nobody gets a grade A: it begins at 70 of fit, and all rules together give 0 \
             [unreachable-threshold]",
            "line 38, column 7: warning: nobody gets a grade B: it begins at 45 of fit, and all rules together give 0 \
             [unreachable-threshold]",
            "line 38, column 7: warning: nobody gets a grade C: it begins at 20 of fit, and all rules together give 0 \
             [unreachable-threshold]",
        ]
    );
}

#[test]
fn the_ready_made_playbooks_read_have_no_warnings_and_can_be_read_aloud() {
    for (name, text) in Playbook::READY_MADE {
        let playbook = Playbook::parse(text).unwrap_or_else(|faults| panic!("{name}: {faults}"));
        assert!(playbook.name() == name || (name, playbook.name()) == ("built-in", "default"));
        let lints: Vec<_> = playbook.lints().iter().map(ToString::to_string).collect();
        assert!(name == "built-in" || lints.is_empty(), "{name}: {lints:#?}");
        for language in [Language::En, Language::Ja] {
            let sections = playbook.in_words(language);
            assert!(
                sections.iter().flat_map(|section| &section.sentences).all(|sentence| sentence.ends_with(['.', '。']))
            );
        }
    }
    assert_eq!(Playbook::ready_made("insurance"), Some(Playbook::READY_MADE[3].1));
    assert_eq!(Playbook::ready_made("default.toml"), None);
}
