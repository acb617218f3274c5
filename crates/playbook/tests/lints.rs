//! What is said about a playbook that is allowed and yet hardly meant.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use tasuki_playbook::Playbook;

/// A playbook about which nothing is to be said: rules on behaviour, rules on fit, grades, routes, time to accept.
struct Parts {
    behaviour: &'static str,
    fit: &'static str,
    grades: &'static str,
    routes: &'static str,
    accept: &'static str,
}

const SOUND: Parts = Parts {
    behaviour: r#"
        [[engagement.rules]]
        name = "demo"
        event = "FormSubmitted"
        about = ["demo"]
        points = 30
        half_life = "30d"
        cap = 60
        [[engagement.rules]]
        name = "visit"
        event = "PageViewed"
        points = 1
        cap = 20
    "#,
    fit: r#"
        [[fit.rules]]
        name = "director"
        attribute = "title"
        mentions = ["director"]
        points = 40
        [[fit.rules]]
        name = "small"
        attribute = "employees"
        to = 99
        points = 10
        [[fit.rules]]
        name = "large"
        attribute = "employees"
        from = 100
        points = 30
    "#,
    grades: "fit = { A = 70, B = 45, C = 20 }\nengagement = { 1 = 70, 2 = 40, 3 = 15 }",
    routes: r#"
        [[routes]]
        name = "hand-raise"
        when = 'signals.within("demo", "30d") > 0'
        urgency = "urgent"
        pool = "inside"
        [[routes]]
        name = "score"
        when = "engagement >= 60 && fit >= 40"
        urgency = "normal"
        pool = "inside"
    "#,
    accept: "urgent = \"4h\"\nhigh = \"8h\"\nnormal = \"24h\"",
};

const REJECTIONS: &str = r#"
timing = "recycle after 90d"
no-budget = "recycle after 180d"
no-authority = "recycle after 60d"
no-need = "recycle after 180d"
unreachable = "recycle after 30d"
bad-data = "recycle after 14d"
duplicate = "disqualify"
competitor = "disqualify"
not-a-fit = "disqualify"
"#;

fn lints(parts: &Parts) -> Vec<String> {
    let Parts { behaviour, fit, grades, routes, accept } = parts;
    let text = format!(
        "name = \"p\"\nversion = 1\n[engagement]\ncap = 100\n{behaviour}\n[fit]\ncap = 100\n{fit}\n[grades]\n{grades}\n{routes}\n\
         [accept_within]\n{accept}\n[after_rejection]\n{REJECTIONS}"
    );
    let playbook = Playbook::parse(&text).unwrap_or_else(|faults| panic!("{faults}"));
    playbook.lints().iter().map(|lint| format!("{}: {}", lint.kind.name(), lint.problem)).collect()
}

fn behaviour(behaviour: &'static str) -> Vec<String> {
    let whole = [SOUND.behaviour, behaviour].concat();
    lints(&Parts { behaviour: whole.leak(), ..SOUND })
}

fn routes(routes: &'static str) -> Vec<String> {
    lints(&Parts { routes, ..SOUND })
}

#[test]
fn there_is_nothing_to_say_about_a_sound_playbook_and_only_notes_about_the_built_in_one() {
    assert_eq!(lints(&SOUND), Vec::<String>::new());
    let built_in: Vec<String> = Playbook::built_in().lints().iter().map(ToString::to_string).collect();
    assert_eq!(
        built_in,
        [
            r#"line 23, column 8: note: what counts under "product-page" counts under "page-view" as well [counts-twice]"#,
            r#"line 31, column 8: note: what counts under "pricing-page" counts under "page-view" as well [counts-twice]"#,
            r#"line 39, column 8: note: what counts under "careers-page" counts under "page-view" as well [counts-twice]"#,
            r#"line 89, column 8: note: what counts under "demo-request" counts under "form" as well [counts-twice]"#,
            r#"line 97, column 8: note: what counts under "trial-request" counts under "form" as well [counts-twice]"#,
        ]
    );
}

#[test]
fn thresholds_that_nobody_reaches_are_told_with_what_can_be_reached() {
    // 60 + 20 of engagement; a title and the better of two sizes make 70 of fit.
    let over = |when: &str| {
        let route = format!("[[routes]]\nname = \"score\"\nwhen = '{when}'\nurgency = \"normal\"\npool = \"inside\"");
        routes(route.leak())
    };
    assert_eq!(over("engagement >= 80 && fit >= 70"), Vec::<String>::new());
    let told =
        r#"unreachable-threshold: route "score" never opens: all rules together give 80 of engagement and 70 of fit"#;
    assert_eq!(over("engagement >= 81"), [told]);
    assert_eq!(over("engagement > 80"), [told]);
    assert_eq!(over("fit >= 70.001"), [told]);
    assert_eq!(over("engagement >= 90 || fit >= 70"), Vec::<String>::new());
    let grades =
        lints(&Parts { grades: "fit = { A = 71, B = 45, C = 20 }\nengagement = { 1 = 90, 2 = 81, 3 = 15 }", ..SOUND });
    assert_eq!(
        grades,
        [
            "unreachable-threshold: nobody gets a grade A: it begins at 71 of fit, and all rules together give 70",
            "unreachable-threshold: nobody gets a grade 1: it begins at 90 of engagement, and all rules together give 80",
            "unreachable-threshold: nobody gets a grade 2: it begins at 81 of engagement, and all rules together give 80",
        ]
    );
}

#[test]
fn routes_that_open_for_nobody_or_for_everybody_or_behind_others_are_told() {
    let alone = |when: &str| {
        let route = format!("[[routes]]\nname = \"r\"\nwhen = '{when}'\nurgency = \"normal\"\npool = \"inside\"");
        routes(route.leak())
    };
    let never = r#"never-opens: route "r" never opens: its condition contradicts itself"#;
    for when in [
        "engagement >= 60 && engagement < 60",
        r#"signals.within("demo", "30d") > 3 && signals.within("demo", "30d") < 4"#,
        "false",
    ] {
        assert_eq!(alone(when), [never], "{when}");
    }
    let always = r#"always-open: route "r" is open for every lead, whatever it did"#;
    for when in ["engagement < 50", "fit >= 0", r#"signals.within("demo", "30d") == 0"#, "true"] {
        assert_eq!(alone(when), [always], "{when}");
    }
    for when in [
        r#"signals.within("demo", "30d") + signals.within("visit", "7d") >= 12"#,
        r#"signals.within("demo", "30d") > signals.within("visit", "30d")"#,
        "engagement == 33.5",
    ] {
        assert_eq!(alone(when), Vec::<String>::new(), "{when}");
    }
    let behind = routes(
        r#"
        [[routes]]
        name = "warm"
        when = "engagement >= 40"
        urgency = "normal"
        pool = "inside"
        [[routes]]
        name = "hot"
        when = "engagement >= 60 && fit >= 40"
        urgency = "urgent"
        pool = "inside"
        [[routes]]
        name = "fitting"
        when = "fit >= 40"
        urgency = "normal"
        pool = "inside"
        "#,
    );
    assert_eq!(behind, [r#"never-taken: route "hot" is never taken: wherever it holds, "warm" does before it"#]);
}

#[test]
fn rules_that_match_nothing_or_give_nothing_are_told() {
    assert_eq!(
        behaviour(
            r#"
            [[engagement.rules]]
            name = "pricing"
            event = "PageViewed"
            path = ["https://acme.example/pricing"]
            points = 5
            [[engagement.rules]]
            name = "nowhere"
            event = "EmailClicked"
            campaign = []
            points = 5
            [[engagement.rules]]
            name = "seminar"
            event = "EventAttended"
            points = 10
            cap = 5
            [[engagement.rules]]
            name = "survey"
            event = "SurveyAnswered"
            points = 0
            [[engagement.rules]]
            name = "opened"
            event = "EmailOpened"
            points = 1
            half_life = "500d"
            "#
        ),
        [
            r#"never-matches: rule "pricing" matches no event: a path begins with "/"; found "https://acme.example/pricing""#,
            r#"never-matches: rule "nowhere" matches no event: `campaign` lists nothing"#,
            r#"cap-below-points: rule "seminar" never has its 10 points: its cap is 5"#,
            r#"without-effect: rule "survey" gives no points, and no route asks for it"#,
            r#"forgotten-first: rule "opened" halves in 500d, but signals are forgotten after 400d"#,
            r#"opened-by-scanners: rule "opened" rewards opened mails, and mail scanners open them all; clicks say more"#,
        ]
    );
    let fit = r#"
        [[fit.rules]]
        name = "size"
        attribute = "employees"
        from = 200
        to = 100
        points = 10
        [[fit.rules]]
        name = "job"
        attribute = "jobTitle"
        one_of = ["CTO"]
        points = 45
        [[fit.rules]]
        name = "nobody"
        attribute = "title"
        mentions = []
        points = 10
        [[fit.rules]]
        name = "same"
        attribute = "jobTitle"
        one_of = ["cto "]
        points = 45
    "#;
    let unknown = "which only a tracker that sends it by this very name fills; standard are email, name, first_name, last_name, \
                   title, department, phone, company, industry, employees, country, region, website and email_domain";
    assert_eq!(
        lints(&Parts { fit, ..SOUND }),
        [
            r#"never-matches: rule "size" matches no lead: 200 is above 100"#.to_owned(),
            format!(r#"unknown-attribute: rule "job" looks at "jobTitle", {unknown}"#),
            r#"never-matches: rule "nobody" matches no lead: `mentions` lists nothing"#.to_owned(),
            r#"same-conditions: rules "job" and "same" look for the same; one is enough"#.to_owned(),
            format!(r#"unknown-attribute: rule "same" looks at "jobTitle", {unknown}"#),
        ]
    );
}

#[test]
fn rules_that_overlap_are_told_once_for_each_that_is_inside_another() {
    assert_eq!(
        behaviour(
            r#"
            [[engagement.rules]]
            name = "demo-again"
            event = "FormSubmitted"
            about = ["DEMO"]
            points = 5
            [[engagement.rules]]
            name = "any-demo"
            event = "FormSubmitted"
            about = ["*demo*", "trial"]
            points = 5
            [[engagement.rules]]
            name = "other-site"
            event = "FormSubmitted"
            about = ["*de*mo*"]
            source = ["blog"]
            points = 5
            "#
        ),
        [
            r#"counts-twice: what counts under "demo" counts under "any-demo" as well"#,
            r#"same-conditions: rules "demo" and "demo-again" look for the same; one is enough"#,
            r#"counts-twice: what counts under "demo-again" counts under "any-demo" as well"#,
        ]
    );
}

#[test]
fn more_time_for_what_is_more_urgent_is_told() {
    assert_eq!(
        lints(&Parts { accept: "urgent = \"2d\"\nhigh = \"8h\"\nnormal = \"4h\"", ..SOUND }),
        [
            "urgent-is-slower: sales has 2d for what is urgent, and 8h for what is high",
            "urgent-is-slower: sales has 8h for what is high, and 4h for what is normal",
        ]
    );
}

#[test]
fn what_no_account_has_and_what_whole_accounts_open_is_told() {
    let with = |when: &str, account: &str| {
        let route =
            format!("[[routes]]\nname = \"committee\"\nwhen = '{when}'\nurgency = \"normal\"\npool = \"inside\"");
        let grades = format!("{}\n{account}", SOUND.grades);
        lints(&Parts { routes: route.leak(), grades: grades.leak(), ..SOUND })
    };
    let set = "[account]\nengaged_from = 20";
    assert_eq!(with("account.departments >= 3 && engagement >= 20", set), Vec::<String>::new());
    let whole = r#"opens-for-whole-accounts: route "committee" is open for everybody of such an account, whatever they did themselves"#;
    assert_eq!(with("account.departments >= 3", set), [whole]);
    assert_eq!(with("account.people >= 1000 || fit >= 60", set), [whole]);
    let contradicts = r#"never-opens: route "committee" never opens: its condition contradicts itself"#;
    assert_eq!(with("account.departments >= 3 && account.people < 3", set), [contradicts]);
    assert_eq!(with("account.people == 0 && account.engagement > 0", set), [contradicts]);
    // One person has at most the 80 points that all rules together give.
    assert_eq!(
        with("engagement >= 20 && account.people == 1 && account.engagement > 80", set),
        [
            r#"unreachable-threshold: route "committee" never opens: all rules together give 80 of engagement and 70 of fit"#
        ]
    );
    // Nobody is ever engaged.
    assert_eq!(
        with("account.people >= 1", "[account]\nengaged_from = 81"),
        [
            r#"unreachable-threshold: route "committee" never opens: all rules together give 80 of engagement and 70 of fit"#
        ]
    );
    assert_eq!(
        with("account.people >= 2 && engagement >= 20", ""),
        ["account-not-set: route \"committee\" asks for accounts, and [account] says nothing: who has 20 points of \
             engagement counts, and an account has at most 300"]
    );
}

#[test]
fn a_route_whose_edges_do_nothing_or_lie_the_wrong_way_round_is_told() {
    let with = |edges: &str| {
        let route = format!(
            "[[routes]]\nname = \"score\"\nwhen = 'engagement >= 60 && fit >= 40'\n{edges}\nurgency = \"normal\"\npool = \"inside\""
        );
        routes(route.leak())
    };
    assert_eq!(with("dwell = \"1h\""), Vec::<String>::new());
    assert_eq!(with("stays_while = 'engagement >= 50 && fit >= 40'\ndwell = \"1h\""), Vec::<String>::new());
    assert_eq!(
        with("stays_while = 'engagement >= 50 && fit >= 40'"),
        ["without-effect: `stays_while` of route \"score\" changes nothing: without `dwell` it hands over as it opens"]
    );
    let stricter =
        ["stays-stricter: `stays_while` of route \"score\" is stricter than `when`, where it is to hold longer"];
    assert_eq!(with("stays_while = 'engagement >= 60.001 && fit >= 40'\ndwell = \"1h\""), stricter);
    assert_eq!(with("stays_while = 'engagement >= 50 && fit >= 41'\ndwell = \"1h\""), stricter);
    assert_eq!(
        with("stays_while = 'fit >= 40 && engagement >= 60'\ndwell = \"1h\""),
        ["without-effect: `stays_while` of route \"score\" changes nothing: it holds only where `when` does"]
    );
    // Who need not wait is not held up by who must.
    let two = |first: &str, second: &str| {
        let route = |name: &str, when: &str, more: &str| {
            format!("[[routes]]\nname = \"{name}\"\nwhen = '{when}'\n{more}\nurgency = \"normal\"\npool = \"inside\"\n")
        };
        let both = [route("first", "engagement >= 40", first), route("second", "engagement >= 60", second)].concat();
        routes(both.leak())
    };
    let never = [r#"never-taken: route "second" is never taken: wherever it holds, "first" does before it"#];
    assert_eq!(two("", ""), never);
    assert_eq!(two("dwell = \"1h\"", ""), Vec::<String>::new());
    assert_eq!(two("dwell = \"1h\"", "dwell = \"59m\""), Vec::<String>::new());
    assert_eq!(two("dwell = \"1h\"", "dwell = \"1h\""), never);
    assert_eq!(two("", "stays_while = 'engagement >= 20'\ndwell = \"1h\""), Vec::<String>::new());
}
