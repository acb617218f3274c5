//! Playbooks, histories and profiles of all kinds.

use proptest::prelude::*;
use tasuki_wire::v1;
use tasuki_wire::v1::behavior_record::Event as Behavior;

use super::{DAY, Did, profile};

/// When all of it is looked at.
pub(crate) const NOW: i64 = 1_800_000_000_000;

fn event() -> impl Strategy<Value = (Behavior, String)> {
    prop_oneof![
        proptest::sample::select(vec!["/", "/pricing", "/pricing/x", "/Docs", "/p/12"])
            .prop_map(|path| (Behavior::PageViewed(v1::PageViewed::default()), path.to_owned())),
        proptest::sample::select(vec!["demo", "Demo-Request", "newsletter", ""])
            .prop_map(|form| (Behavior::FormSubmitted(v1::FormSubmitted { form: form.into() }), "/form".to_owned())),
        Just((Behavior::CustomBehavior(v1::CustomBehavior { name: "used".into() }), String::new())),
    ]
}

/// Mostly shortly before now, sometimes long ago, sometimes said to be in the future; often at the same instants.
fn age() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..40 * DAY,
        2 => 0..430 * DAY,
        1 => -20 * DAY..0,
        2 => proptest::sample::select(vec![0, 1, DAY, 3 * DAY, 15 * DAY, 30 * DAY, 30 * DAY + 1])
    ]
}

/// The event and its path, its age, how late it comes, its campaign.
type Drawn = ((Behavior, String), i64, i64, &'static str);

pub(crate) fn history(most: usize) -> impl Strategy<Value = Vec<Did>> {
    let campaign = proptest::sample::select(vec!["", "", "spring", "autumn 2026"]);
    let did = (event(), age(), 0..3 * DAY, campaign);
    proptest::collection::vec(did, 0..most).prop_map(|all| {
        let number = |(id, ((event, path), age, delay, campaign)): (usize, Drawn)| Did {
            // Not in the order of time.
            id: (id as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            occurred_at: NOW - age,
            received_at: (NOW - age + delay).min(NOW),
            event,
            path,
            campaign: campaign.to_owned(),
        };
        all.into_iter().enumerate().map(number).collect()
    })
}

fn decay() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec![
        "",
        "half_life = \"90m\"\n",
        "half_life = \"3d\"\n",
        "half_life = \"14d\"\n",
        "half_life = \"30d\"\n",
        "half_life = \"200d\"\n",
        "linear = \"7h\"\n",
        "linear = \"15d\"\n",
        "linear = \"45d\"\n",
        "linear = \"400d\"\n",
        "step = [{ after = \"15d\", left = 50 }]\n",
        "step = [{ after = \"90m\", left = 99 }, { after = \"3d\", left = 33 }, { after = \"30d\", left = 0 }]\n",
        "window = \"1d\"\n",
        "window = \"30d\"\n",
    ])
}

/// One of two has none.
fn limit() -> impl Strategy<Value = String> {
    let per = proptest::sample::select(vec!["1h", "1d", "7d", "30d"]);
    proptest::option::of((1..4_u8, per)).prop_map(|limit| {
        limit.map(|(times, per)| format!("limit = {{ times = {times}, per = \"{per}\" }}\n")).unwrap_or_default()
    })
}

/// How a rule says of which track it is, of so many; the first number stands for none.
fn track(number: usize) -> String {
    TRACKS.get(number.wrapping_sub(1)).map(|track| format!("track = \"{track}\"\n")).unwrap_or_default()
}

const TRACKS: [&str; 2] = ["alpha", "beta"];

/// In a playbook with so many tracks. Each group has one twin for each track.
fn rule(tracks: usize) -> impl Strategy<Value = String> {
    let matcher = proptest::sample::select(vec![
        "event = \"PageViewed\"",
        "event = \"PageViewed\"\npath = [\"/pricing*\", \"/docs\"]",
        "event = \"PageViewed\"\npath = [{ regex = \"/p(ricing)?/[a-z0-9]+\" }, \"*c*\"]",
        "event = \"FormSubmitted\"",
        "event = \"FormSubmitted\"\nabout = [\"demo*\"]",
        "event = \"FormSubmitted\"\nsource = [\"web*\"]\ncampaign = [\"spring\", \"*2026\"]",
        "event = \"CustomBehavior\"",
    ]);
    let points = prop_oneof![3 => 1_i32..40_000, 1 => -20_000..0];
    let group = proptest::option::of(any::<bool>());
    (matcher, points, decay(), limit(), proptest::option::of(1_u32..60_000), group, 0..=tracks).prop_map(
        |(matcher, points, decay, limit, cap, group, of)| {
            let cap = cap.map(|cap| format!("cap = {}\n", f64::from(cap) / 1000.0)).unwrap_or_default();
            let group = match group {
                None => String::new(),
                Some(_) if points < 0 => format!("group = \"takes-{of}\"\n"),
                Some(first) => format!("group = \"{}-{of}\"\n", if first { "first" } else { "second" }),
            };
            let track = track(of);
            format!("{matcher}\npoints = {}\n{decay}{limit}{cap}{group}{track}", f64::from(points) / 1000.0)
        },
    )
}

fn fit_rule(tracks: usize) -> impl Strategy<Value = String> {
    let condition = proptest::sample::select(vec![
        "attribute = \"title\"\none_of = [\"Boss\", \"部長\"]",
        "attribute = \"title\"\nmentions = [\"cto\", \"head of\", \"部長\"]",
        "attribute = \"title\"\nlike = [\"*sales*\", { regex = \"(vp|cto) .*\" }]",
        "attribute = \"title\"\nmissing = true",
        "attribute = \"employees\"\nfrom = 51\nto = 300",
        "attribute = \"employees\"\nfrom = 1000",
        "attribute = \"region\"\none_of = [\"関東\", \"Kansai\"]",
        "attribute = \"region\"\nmissing = true",
        "attribute = \"plan\"\nlike = [\"pro*\"]",
        "attribute = \"email_domain\"\nlike = [\"*.example\"]",
    ]);
    (condition, -60_000_i32..90_000, 0..=tracks).prop_map(|(condition, points, of)| {
        format!("{condition}\npoints = {}\n{}", f64::from(points) / 1000.0, track(of))
    })
}

pub(crate) fn any_profile() -> impl Strategy<Value = v1::Profile> {
    let pick = |values: &[&'static str]| proptest::sample::select(values.to_vec());
    (
        pick(&["", "ana@acme.example", "taro@gmail.com"]),
        pick(&["", "boss", "VP Sales", "Head of Sales, EMEA", "director", "営業部長", "CTO / CIO"]),
        pick(&["", "51-200", "250", "約300名", "1,000+", "many"]),
        pick(&["", " ", "関東", "kansai"]),
        pick(&["", "Professional", "free"]),
    )
        .prop_map(|(email, title, employees, region, plan)| {
            let all = [("title", title), ("employees", employees), ("region", region), ("plan", plan)];
            let known: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
            profile(email, &known)
        })
}

const REST: &str = r#"
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
[grades]
fit = { A = 70, B = 45, C = 20 }
"#;

/// The text of a playbook, without tracks or with one or two.
pub(crate) fn playbook() -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(0_usize), 1 => Just(1), 2 => Just(2)].prop_flat_map(playbook_with)
}

fn playbook_with(tracks: usize) -> impl Strategy<Value = String> {
    let window = proptest::sample::select(vec!["1d", "30d", "400d"]);
    let caps = proptest::collection::vec(1_u32..60_000, 9);
    let rules = (proptest::collection::vec(rule(tracks), 1..8), proptest::collection::vec(fit_rule(tracks), 0..6));
    let of_tracks = proptest::collection::vec(1_u32..30, tracks);
    (rules, 30_u32..=100, 1_u32..20, window, caps, of_tracks).prop_map(|(rules, cap, low, window, caps, of_tracks)| {
        let (rules, fit_rules) = rules;
        let mut text = format!("name = \"random\"\nversion = 1\n{REST}");
        text += &format!("engagement = {{ 1 = {}, 2 = {}, 3 = {low} }}\n", low + 7, f64::from(low) + 0.001);
        let groups = ["first", "second", "takes"].iter().flat_map(|name| (0..3).map(move |of| format!("{name}-{of}")));
        for (group, cap) in groups.zip(caps) {
            text += &format!("[groups.{group}]\ncap = {}\n", f64::from(cap) / 1000.0);
        }
        for (track, least) in TRACKS.iter().zip(of_tracks) {
            text += &format!("[[tracks]]\nname = \"{track}\"\n[[routes]]\nname = \"to-{track}\"\n");
            text += &format!("track = \"{track}\"\nwhen = 'engagement > {least} && fit < 50'\n");
            text += "urgency = \"normal\"\npool = \"inside-sales\"\n";
        }
        text += &format!("[engagement]\ncap = {cap}\n");
        for (number, rule) in rules.iter().enumerate() {
            text += &format!("[[engagement.rules]]\nname = \"rule-{number}\"\n{rule}");
        }
        text += &format!("[fit]\ncap = 90\n{}", if fit_rules.is_empty() { "rules = []\n" } else { "" });
        for (number, rule) in fit_rules.iter().enumerate() {
            text += &format!("[[fit.rules]]\nname = \"fit-{number}\"\n{rule}");
        }
        text += &format!(
            "[[routes]]\nname = \"score\"\nwhen = 'engagement >= {} || signals.within(\"rule-0\", \"{window}\") > 2'\n",
            cap / 2
        );
        text + "urgency = \"normal\"\npool = \"inside-sales\"\n"
    })
}
