//! A playbook read aloud, and two of them compared.

use tasuki_playbook::{Difference, Language, Playbook, Section};

fn section(playbook: &Playbook, language: Language, index: usize) -> Section {
    playbook.in_words(language)[index].clone()
}

fn pick(section: &Section, name: &str) -> String {
    let mut found = section.sentences.iter().filter(|sentence| sentence.starts_with(name));
    found.next().cloned().unwrap_or_default()
}

#[test]
fn rules_are_sentences_in_both_languages() {
    let playbook = Playbook::built_in();
    let (en, ja) = (section(&playbook, Language::En, 0), section(&playbook, Language::Ja, 0));
    assert_eq!(en.heading, "Engagement: how much interest the behaviour shows");
    assert_eq!(
        ["page-view", "pricing-page", "careers-page"].map(|name| pick(&en, name)),
        [
            "page-view: 1 point each time a page is viewed, half of it left after 7 days; at most 10 in all.",
            "pricing-page: 8 points each time a page is viewed (path /pricing*, /price* or /plans*), half of it left after 14 \
             days; at most 24 in all.",
            "careers-page: -10 points each time a page is viewed (path /career*, /jobs* or /recruit*), half of it left after 30 \
             days; at most 20 are taken in all.",
        ]
    );
    assert_eq!(
        ["pricing-page", "careers-page"].map(|name| pick(&ja, name)),
        [
            "pricing-page：ページ閲覧（ページが/pricing*・/price*・/plans*）1回につき8点、14日で半分になる。合計24点まで。",
            "careers-page：ページ閲覧（ページが/career*・/jobs*・/recruit*）1回につき-10点、30日で半分になる。減点は合計20点まで。",
        ]
    );
    let (en, ja) = (section(&playbook, Language::En, 1), section(&playbook, Language::Ja, 1));
    assert_eq!(
        ["mid-size", "large", "manager"].map(|name| pick(&en, name)),
        [
            "mid-size-company: 25 points while the number of employees is from 50 to 1999.",
            "large-company: 20 points while the number of employees is 2000 or more.",
            "manager: 15 points while the title mentions manager, lead, マネージャー, 部長, 課長 or 室長.",
        ]
    );
    assert_eq!(
        ["mid-size", "target-country"].map(|name| pick(&ja, name)),
        [
            "mid-size-company：従業員数が50以上1999以下のあいだ25点。",
            "target-country：国がjp・japan・日本・us・usa・united states・de・germany・gb・united kingdomのいずれかであるあいだ20点。",
        ]
    );
}

#[test]
fn routes_rejections_and_exclusions_are_sentences() {
    let playbook = Playbook::built_in();
    let routes = section(&playbook, Language::En, 3);
    assert_eq!(
        routes.sentences[1],
        "score: when engagement >= 60 && fit >= 40; to inside-sales, in turn, to be accepted within 1 day."
    );
    let rejections = section(&playbook, Language::Ja, 4);
    assert_eq!(rejections.sentences[0], "timing：マーケティングに戻す。90日後から再び対象になる。");
    assert_eq!(rejections.sentences.len(), 9);
    let excluded = section(&playbook, Language::En, 5);
    assert_eq!(
        excluded.sentences,
        ["own-company: whoever has an e-mail address at our-company.example or *.our-company.example."]
    );
}

#[test]
fn what_makes_up_an_account_is_said_in_both_languages_and_a_change_is_told() {
    let playbook = Playbook::built_in();
    assert_eq!(
        section(&playbook, Language::En, 6).sentences,
        [
            "Whoever has an engagement of at least 20 is an engaged person of the account.",
            "The engagement of an account is that of its engaged people together, at most 300.",
        ]
    );
    assert_eq!(
        section(&playbook, Language::Ja, 6).sentences,
        [
            "エンゲージメントが20点以上の人を、関心のある人と数える。",
            "アカウントのエンゲージメントは、関心のある人の合計で、300点まで。"
        ]
    );
    let later = changed(&[("engaged_from = 20", "engaged_from = 30")]);
    let differences = playbook.differences(&later);
    assert_eq!(
        told(&differences),
        ["account  changed: accounts of engaged people, at once, when their scores are computed anew"]
    );
    assert!(differences[0].after.starts_with("Whoever has an engagement of at least 30 "), "{}", differences[0].after);
    let differences = playbook.differences_in(&later, Language::Ja);
    assert_eq!(differences[0].part_in(Language::Ja), "アカウント");
    assert!(differences[0].after.starts_with("エンゲージメントが30点以上の人"), "{}", differences[0].after);
}

/// The built-in playbook with some of its text replaced.
fn changed(changes: &[(&str, &str)]) -> Playbook {
    let mut text = Playbook::DEFAULT.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "invalid: no {from}");
        text = text.replacen(from, to, 1);
    }
    Playbook::parse(&text).expect("a test changes it to another playbook")
}

fn told(differences: &[Difference]) -> Vec<String> {
    let line = |d: &Difference| format!("{} {} {}: {}", d.part, d.name, d.change.name(), d.concerns);
    differences.iter().map(line).collect()
}

#[test]
fn equal_playbooks_do_not_differ_whatever_their_layout() {
    let spaced =
        Playbook::DEFAULT.replace("\n\n", "\n\n\n").replace("engagement >= 60 && fit", "engagement >=  60\\n&& fit");
    let spaced = spaced.replace(r#"when = "engagement >=  60\n"#, "when = \"engagement >=  60 ");
    let other = Playbook::parse(&spaced).expect("a test changes only its layout");
    assert_eq!(Playbook::built_in().differences(&other), []);
}

#[test]
fn what_differs_is_told_with_whom_it_concerns() {
    let later = changed(&[
        (
            "name = \"pricing-page\"\nevent = \"PageViewed\"\npath = [\"/pricing*\", \"/price*\", \"/plans*\"]\npoints = 8",
            "name = \"pricing-page\"\nevent = \"PageViewed\"\npath = [\"/pricing*\", \"/price*\", \"/plans*\"]\npoints = 12",
        ),
        ("cap = 24", "cap = 36"),
        ("name = \"webinar\"", "name = \"seminar\""),
        ("mentions = [\"manager\", \"lead\",", "mentions = [\"manager\","),
        ("points = -20", "points = -30"),
        ("A = 70", "A = 75"),
        ("engagement >= 60 && fit >= 40", "engagement >= 50 && fit >= 40"),
        ("no-need = \"recycle after 180d\"", "no-need = \"disqualify\""),
        ("\"our-company.example\", ", ""),
    ]);
    let differences = Playbook::built_in().differences(&later);
    assert_eq!(
        told(&differences),
        [
            "engagement rule pricing-page changed: leads with such signals, at once, when their scores are computed anew; at \
             most +12 points",
            "engagement rule webinar removed: leads with such signals, at once, when their scores are computed anew; at most \
             -45 points",
            "engagement rule seminar added: leads with such signals, at once, when their scores are computed anew; at most \
             +45 points",
            "fit rule manager changed: leads with such attributes; 0 points",
            "fit rule free-mail changed: leads with such attributes; -10 points",
            "grades  changed: leads between the old limits and the new",
            "route score changed: leads that qualify from then on; what was handed over stays",
            "after rejection no-need changed: leads rejected from then on",
            "exclusion own-company changed: leads with such an e-mail address; what was handed over stays",
        ]
    );
    assert_eq!(
        differences[4].before,
        "free-mail: -20 points while the e-mail domain is gmail.com, googlemail.com, yahoo.com, \
        yahoo.co.jp, outlook.com, hotmail.com, icloud.com, aol.com, gmx.de, web.de, docomo.ne.jp, ezweb.ne.jp or i.softbank.jp."
    );
    assert!(differences[4].after.starts_with("free-mail: -30 points"), "{}", differences[4].after);
}

#[test]
fn routes_in_another_order_have_moved() {
    let text = Playbook::DEFAULT;
    let routes = text.find("[[routes]]").expect("there are routes");
    let second = routes + 2 + text[routes + 2..].find("[[routes]]").expect("there are two");
    let end = text.find("# ---- Handoff").expect("it follows");
    let turned = [&text[..routes], &text[second..end], &text[routes..second], &text[end..]].concat();
    let later = Playbook::parse(&turned).expect("a test turns only the routes");
    let built_in = Playbook::built_in();
    let differences = built_in.differences(&later);
    assert_eq!(told(&differences), ["route score moved: leads that qualify from then on; what was handed over stays"]);
}

#[test]
fn what_differs_is_told_in_japanese_as_well() {
    let later = changed(&[
        ("cap = 24", "cap = 36"),
        ("points = -20", "points = -30"),
        ("A = 70", "A = 75"),
        ("engagement >= 60 && fit >= 40", "engagement >= 50 && fit >= 40"),
        ("no-need = \"recycle after 180d\"", "no-need = \"disqualify\""),
    ]);
    let differences = Playbook::built_in().differences_in(&later, Language::Ja);
    let line = |d: &Difference| {
        let (part, change) = (d.part_in(Language::Ja), d.change.in_words(Language::Ja));
        format!("{part} {} {change}：{}", d.name, d.concerns)
    };
    assert_eq!(
        differences.iter().map(line).collect::<Vec<_>>(),
        [
            "エンゲージメントのルール pricing-page 変更：該当する行動があるリード（再計算時にただちに）。最大+12点",
            "フィットのルール free-mail 変更：該当する属性のリード。-10点",
            "グレード  変更：新旧の境界のあいだにいるリード",
            "ルート score 変更：これから条件を満たすリード。引き渡し済みのものは変わらない",
            "営業が断ったあと no-need 変更：これから断られるリード",
        ]
    );
    let pricing = &differences[0];
    assert_eq!(
        (pricing.before.ends_with("合計24点まで。"), pricing.after.ends_with("合計36点まで。")),
        (true, true),
        "{pricing:?}"
    );
    let part = |later: &Playbook, earlier: &Playbook| -> Vec<_> {
        earlier.differences_in(later, Language::Ja).iter().map(|d| d.part_in(Language::Ja)).collect()
    };
    let ready = |name: &str| Playbook::parse(Playbook::ready_made(name).expect("there is")).expect("it is right");
    for part in part(&ready("insurance"), &ready("industrial")) {
        assert!(!part.is_ascii(), "{part} is not said in Japanese");
    }
}

#[test]
fn a_route_that_waits_is_read_aloud_and_a_change_of_its_edges_is_told() {
    let with = |edges: &str| {
        let text = Playbook::DEFAULT.replacen(
            "when = \"engagement >= 60 && fit >= 40\"",
            &format!("when = \"engagement >= 60 && fit >= 40\"\n{edges}"),
            1,
        );
        Playbook::parse(&text).unwrap()
    };
    let waits = with("stays_while = \"engagement  >= 50\"\ndwell = \"1h\"");
    let said = |playbook: &Playbook, language| {
        let sentences = playbook.in_words(language).remove(3).sentences;
        sentences.into_iter().find(|sentence| sentence.starts_with("score")).unwrap()
    };
    let english = said(&waits, Language::En);
    let start = "score: when engagement >= 60 && fit >= 40, and from then on while engagement >= 50, for 1 hour without a break; to ";
    assert!(english.starts_with(start), "{english}");
    let japanese = said(&waits, Language::Ja);
    let start =
        "score：engagement >= 60 && fit >= 40 のとき（以後は engagement >= 50 のあいだ）、途切れずに1時間続いたら、";
    assert!(japanese.starts_with(start), "{japanese}");
    for (edges, differs) in [
        ("stays_while = \"engagement >= 50\"\ndwell = \"60m\"", false),
        ("stays_while = \"engagement >= 51\"\ndwell = \"1h\"", true),
        ("stays_while = \"engagement >= 50\"\ndwell = \"2h\"", true),
        ("dwell = \"1h\"", true),
    ] {
        let found: Vec<_> = waits.differences(&with(edges)).into_iter().map(|it| (it.part, it.name)).collect();
        let expected = if differs { vec![("route", "score".to_owned())] } else { vec![] };
        assert_eq!(found, expected, "{edges}");
    }
}
