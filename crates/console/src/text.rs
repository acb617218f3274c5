//! Every text of the pages, in every language, in one table. A text that misses a language does not compile.
//!
//! Words of the agreement (stage, route, playbook, handoff) are used as DESIGN's glossary has them; what a tracker or a
//! playbook wrote (names of rules, forms, routes) is shown as written.

use tasuki_domain::Stage;
use tasuki_wire::v1::RejectReason;

use crate::language::Language;
use crate::store::HandoffState;

/// Fixed texts: `name: "English", "日本語";`.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident: $en:literal, $ja:literal;)*) => {
        impl Language {
            $($(#[$doc])* pub(crate) const fn $name(self) -> &'static str {
                match self { Self::En => $en, Self::Ja => $ja }
            })*
        }
    };
}

/// Texts with something in them: `name(what: type): english, japanese;`.
macro_rules! phrases {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*): $en:expr, $ja:expr;)*) => {
        impl Language {
            $($(#[$doc])* pub(crate) fn $name(self, $($arg: $type),*) -> String {
                match self { Self::En => $en, Self::Ja => $ja }
            })*
        }
    };
}

mod playbook;

texts! {
    // The frame of every page.
    skip_to_content: "Skip to content", "本文へ移動";
    main_menu: "Main menu", "メインメニュー";
    language: "Language", "言語";
    sign_out: "Sign out", "サインアウト";
    leads: "Leads", "リード";
    dead_letters: "Dead letters", "デッドレター";

    // Signing in.
    sign_in: "Sign in", "サインイン";
    sign_in_lead: "Leads, their scores and the reasons for them, and what sales says.",
        "リードとそのスコア、理由、そして営業の判断を一つの画面で。";
    api_token: "API token", "APIトークン";
    api_token_hint: "Printed when Tasuki starts. It is checked and not kept in the browser.",
        "Tasukiの起動時に表示されます。照合だけに使い、ブラウザーには保存しません。";
    your_name: "Your name", "お名前";
    your_name_hint: "Stands beside what you accept or reject.", "受諾や差し戻しの記録に残ります。";
    wrong_token: "This is not the API token. It was printed when Tasuki started.",
        "APIトークンが違います。Tasukiの起動時に表示されたものを入力してください。";
    name_too_long: "The name may have at most 80 characters.", "お名前は80文字以内で入力してください。";
    one_moment: "One moment …", "お待ちください…";
    continue_: "Continue", "続ける";

    // The list.
    who_is_next: "Who is next", "次に対応するリード";
    list_order: "Leads that wait for sales come first, by deadline; then the others, by score.",
        "営業の受諾待ちを期限の近い順に、続いてその他をスコアの高い順に表示します。";
    search: "Search", "検索";
    search_label: "E-mail, name, company or user id", "メール・氏名・会社名・ユーザーID";
    stage: "Stage", "ステージ";
    all_stages: "All stages", "すべてのステージ";
    show_all: "Show all leads", "すべてのリードを表示";
    lead: "Lead", "リード";
    company: "Company", "会社";
    fit: "Fit", "適合度";
    engagement: "Engagement", "関心度";
    grade: "Grade", "グレード";
    owner: "Owner", "担当";
    handoff_column: "Handoff", "引き渡し";
    last_activity: "Last activity", "最終活動";
    next_page: "Next page", "次のページ";
    first_page: "First page", "最初のページ";
    pages: "Pages", "ページ送り";
    no_leads: "No leads yet", "リードはまだありません";
    no_leads_hint: "A lead appears here as soon as a tracker reports who a visitor is.",
        "トラッカーが訪問者を識別すると、ここに表示されます。";
    nothing_found: "Nothing found", "見つかりませんでした";
    no_owner: "nobody yet", "未定";

    // One lead.
    anonymous_lead: "(no name)", "(氏名なし)";
    out_of_100: "of 100", "/ 100";
    why_this_score: "Why this score", "スコアの内訳";
    ledger_hint: "Every point is here: the rows of an axis add up to its score.",
        "内訳はこれがすべてです。各軸の行を足すとスコアになります。";
    rule: "Rule", "ルール";
    points: "Points", "点";
    evidence: "Evidence", "根拠";
    sum: "Sum", "合計";
    cap_rule: "cap of the axis", "軸の上限";
    no_contributions: "No rule applies yet.", "まだどのルールにも該当しません。";
    does_not_add_up: "The rows do not add up to the score. This is a defect of ours; please report it.",
        "内訳の合計がスコアと一致しません。当方の不具合です。ご連絡ください。";
    not_scored: "Not scored yet.", "まだスコアがありません。";
    decisions: "Decisions", "判定";
    no_decisions: "No decision yet.", "まだ判定はありません。";
    route: "Route", "ルート";
    track: "Track", "製品ライン";
    tracks: "Tracks", "製品ライン別のスコア";
    tracks_hint: "Each counts its own rules and those of no track; the score above counts all of them.",
        "それぞれ、その製品ラインのルールと共通のルールを数えます。上のスコアにはすべてのルールを数えます。";
    what_was_seen: "What was seen", "判定時の値";
    reason: "Reason", "理由";
    timeline: "Timeline", "行動履歴";
    no_timeline: "Nothing has happened yet.", "まだ行動はありません。";
    profile: "Profile", "プロフィール";
    account: "Account", "アカウント";
    email: "E-mail", "メール";
    said_by: "Said by", "情報元";
    handoff: "Handoff to sales", "営業への引き渡し";
    no_handoff: "Not handed to sales yet.", "まだ営業に引き渡していません。";
    accept_by: "Accept by", "受諾期限";
    accept: "Accept", "受諾する";
    reject: "Reject", "差し戻す";
    reject_this_lead: "Reject this lead …", "このリードを差し戻す…";
    choose_reason: "Choose a reason", "理由を選んでください";
    note: "Note", "メモ";
    optional: "optional", "任意";
    note_hint: "What marketing should know. At most 1,000 characters.", "マーケティングへの連絡事項(1,000文字以内)。";
    verdict_sent: "Sent. The page shows it as soon as it has gone through.", "送信しました。反映され次第、表示します。";
    verdict_slow: "Sent, but not through yet. It is not lost; look again in a moment.",
        "送信済みですが、まだ反映されていません。失われることはありません。少し後でご確認ください。";
    assigned_at: "Assigned", "割り当て";
    decided_at: "Decided", "判断";
    decided_by: "By", "判断者";
    back_to_list: "All leads", "リード一覧";

    inactive_lead: "None of the behavior reported for this lead is its own any more: it turned out to be somebody else's.",
        "このリードの行動はすべて別の人のものと判明しました。";
    merged_lead: "This lead is merged: it is the same person as another one, who has all it did.",
        "このリードは統合済みです。同一人物の別のリードに行動が集約されています。";
    to_that_lead: "To that lead", "統合先を見る";
    has_merged: "Has what leads did that are merged into this one:", "統合されたリード:";
    duplicates: "Possible duplicates", "重複の候補";
    duplicates_hint: "Nothing is merged unless somebody says so.", "自動で統合されることはありません。";
    if_same_person: "If it is the same person", "同一人物の場合";
    merge_command: "Merge the two with this command; everything then counts for this lead. A split takes it back.",
        "次のコマンドで統合すると、両方の行動がこのリードに集約されます。分割すると元に戻ります。";
    unscored: "not scored: no consent", "同意なし・スコア対象外";
    as_visitor: "while anonymous", "匿名時の行動";
    progress: "How far the lead has come", "現在の段階";

    // Accounts.
    accounts: "Accounts", "アカウント";
    accounts_hint: "Companies whose people show interest, those with most engagement first.",
        "関心を示す人がいる企業を、関心度の高い順に表示します。";
    account_search_label: "Company or account id", "会社名・アカウントID";
    engaged_people: "Engaged people", "関心のある人";
    departments: "Departments", "部署";
    no_accounts: "No engaged accounts yet", "関心を示す企業はまだありません";
    no_accounts_hint: "An account appears here as soon as one of its leads is engaged enough for the playbook.",
        "所属するリードの関心度がプレイブックの基準に達すると、ここに表示されます。";
    back_to_accounts: "All accounts", "アカウント一覧";
    together: "Together", "合計";
    account_explained: "The engagement of the engaged people together, up to the cap of the playbook.",
        "関心のある人の関心度の合計です(プレイブックの上限まで)。";
    leads_of_account: "Leads of this account", "このアカウントのリード";
    no_leads_of_account: "No lead is of this account any more.", "現在このアカウントのリードはありません。";

    // Dead letters.
    dead_letters_hint: "What could not be processed: kept with the reason, nothing is lost.",
        "処理できなかったもの。理由とともに保存され、失われません。";
    no_dead_letters: "None. Everything that came could be processed.", "ありません。すべて処理できています。";
    received_at: "Received", "受信";
    place: "Where", "場所";

    // When something does not work.
    not_found: "Not found", "見つかりません";
    not_found_hint: "There is no such page or lead. It may have been merged, or the address is incomplete.",
        "このページまたはリードはありません。統合されたか、アドレスが不完全な可能性があります。";
    unavailable: "Not available at the moment", "現在ご利用いただけません";
    database_down: "The database does not answer. Events are still taken in; nothing is lost. Try again in a moment.",
        "データベースが応答しません。イベントの受信は続いており、失われるものはありません。少し後でもう一度お試しください。";
    log_down: "The verdict was not taken: the log does not answer. Try again in a moment.",
        "ログが応答しないため、判断を受け付けられませんでした。少し後でもう一度お試しください。";
    too_late: "The answer took too long. Nothing counts twice if you try again.",
        "応答に時間がかかりすぎました。もう一度操作しても二重にはなりません。";
    internal: "Something went wrong", "エラーが発生しました";
    internal_hint: "This is a defect of ours; it has been logged.", "当方の不具合です。記録しました。";
    foreign_form: "Not taken", "受け付けられません";
    foreign_form_hint: "The form was not sent from a page of this console. Open the page again and repeat it.",
        "このコンソールのページから送信されていません。ページを開き直してもう一度お試しください。";
    bad_form: "The form is incomplete", "入力に不備があります";
    bad_form_hint: "Choose a reason from the list; the note may have at most 1,000 characters.",
        "一覧から理由を選んでください。メモは1,000文字以内です。";
    try_again: "Try again", "もう一度試す";
}

phrases! {
    results(count: usize, more: bool): {
        match (count, more) {
            (1, false) => "1 lead".to_owned(),
            (count, false) => format!("{count} leads"),
            (count, true) => format!("{count} leads on this page"),
        }
    }, {
        if more { format!("このページに{count}件") } else { format!("{count}件") }
    };
    accounts_shown(count: usize, more: bool): {
        match (count, more) {
            (1, false) => "1 account".to_owned(),
            (count, false) => format!("{count} accounts"),
            (count, true) => format!("{count} accounts on this page"),
        }
    }, {
        if more { format!("このページに{count}社") } else { format!("{count}社") }
    };
    of_leads(people: i64, leads: i64): format!("{people} of {leads}"), format!("{leads}人中{people}人");
    people_of(department: &str, people: i64): format!("{department} ({people})"), format!("{department}（{people}人）");
    and_more(count: usize): format!("and {count} more"), format!("ほか{count}部署");
    without_the_cap(points: &str): format!("{points} without the cap"), format!("上限なしでは{points}点");
    nothing_found_for(search: &str): format!("No lead matches “{search}”."), format!("「{search}」に一致するリードはありません。");
    playbook_version(version: i64): format!("Playbook {version}"), format!("プレイブック {version}");
    score_as_of(instant: &str): format!("As of {instant}"), format!("{instant} 時点");
    cycle(number: i64): format!("Cycle {number}"), format!("{number}巡目");
    points_of(points: &str): format!("{points} points"), format!("{points}点");
    before_decay(points: &str): format!("{points} before decay and caps"), format!("減衰・上限前 {points}点");
    matches(count: i64): if count == 1 { "1 match".to_owned() } else { format!("{count} matches") }, format!("該当{count}件");
    cap_group(name: &str): format!("cap of the group {name}"), format!("グループ{name}の上限");
    latest_of(shown: usize, all: i64): format!("the latest {shown} of {all}"), format!("全{all}件中、最新{shown}件");
    times_in(zone: &str): format!("Times in {zone}"), format!("時刻表示: {zone}");
    signed_in_as(name: &str): format!("Signed in as {name}"), format!("{name}さん");
    due_in(length: &str): format!("{length} left"), format!("あと{length}");
    overdue_by(length: &str): format!("{length} overdue"), format!("{length}超過");
    ago(length: &str): format!("{length} ago"), format!("{length}前");
    accept_for(name: &str): format!("Accept {name}"), format!("{name}を受諾する");
    not_before(instant: &str): format!("not before {instant}"), format!("{instant}以降");

    // Lengths of time, in words; short, because they stand in tables.
    minutes(n: i64): format!("{n} min"), format!("{n}分");
    hours(n: i64): format!("{n} h"), format!("{n}時間");
    days(n: i64): if n == 1 { "1 day".to_owned() } else { format!("{n} days") }, format!("{n}日");
    under_a_minute(): "under a minute".to_owned(), "1分未満".to_owned();
}

impl Language {
    /// A stage's name and, for abbreviations, what it stands for.
    pub(crate) const fn stage_name(self, stage: Stage) -> (&'static str, Option<&'static str>) {
        match (self, stage) {
            (Self::En, Stage::Subscriber) => ("Subscriber", None),
            (Self::Ja, Stage::Subscriber) => ("購読者", None),
            (Self::En, Stage::Lead) => ("Lead", None),
            (Self::Ja, Stage::Lead) => ("リード", None),
            (Self::En, Stage::Mql) => ("MQL", Some("Marketing Qualified Lead")),
            (Self::Ja, Stage::Mql) => ("MQL", Some("マーケティングが見込みありと判断したリード")),
            (Self::En, Stage::Sal) => ("SAL", Some("Sales Accepted Lead")),
            (Self::Ja, Stage::Sal) => ("SAL", Some("営業が受諾したリード")),
            (Self::En, Stage::Sql) => ("SQL", Some("Sales Qualified Lead")),
            (Self::Ja, Stage::Sql) => ("SQL", Some("営業が案件化を認めたリード")),
            (Self::En, Stage::Opportunity) => ("Opportunity", None),
            (Self::Ja, Stage::Opportunity) => ("商談", None),
            (Self::En, Stage::Customer) => ("Customer", None),
            (Self::Ja, Stage::Customer) => ("顧客", None),
            (Self::En, Stage::Recycled) => ("Recycled", None),
            (Self::Ja, Stage::Recycled) => ("再育成", None),
            (Self::En, Stage::Disqualified) => ("Disqualified", None),
            (Self::Ja, Stage::Disqualified) => ("対象外", None),
            (Self::En, Stage::Lost) => ("Lost", None),
            (Self::Ja, Stage::Lost) => ("失注", None),
        }
    }

    /// A reason for which sales rejects, in words; `None` for the unspecified one.
    pub(crate) const fn reject_reason(self, reason: RejectReason) -> Option<&'static str> {
        let (en, ja) = match reason {
            RejectReason::Unspecified => return None,
            RejectReason::Timing => ("Not now, may come back later", "時期尚早(後日再検討)"),
            RejectReason::NoBudget => ("No budget", "予算なし"),
            RejectReason::NoAuthority => ("No authority to decide", "決裁権なし"),
            RejectReason::NoNeed => ("No need", "ニーズなし"),
            RejectReason::Unreachable => ("Cannot be reached", "連絡がつかない"),
            RejectReason::BadData => ("The data is wrong", "データの誤り"),
            RejectReason::Duplicate => ("Duplicate", "重複"),
            RejectReason::Competitor => ("Competitor", "競合他社"),
            RejectReason::NotAFit => ("Not somebody we sell to", "対象外の顧客"),
        };
        Some(match self {
            Self::En => en,
            Self::Ja => ja,
        })
    }

    /// What somebody did, in words, from the name of the behavior event; other names are shown as they are.
    pub(crate) fn behavior(self, kind: &str) -> &str {
        let (en, ja) = match kind {
            "PageViewed" => ("Viewed a page", "ページ閲覧"),
            "FormSubmitted" => ("Submitted a form", "フォーム送信"),
            "EmailOpened" => ("Opened an e-mail", "メール開封"),
            "EmailClicked" => ("Clicked in an e-mail", "メールのリンクをクリック"),
            "ContentDownloaded" => ("Downloaded", "資料ダウンロード"),
            "EventAttended" => ("Attended", "イベント参加"),
            "SurveyAnswered" => ("Answered a survey", "アンケート回答"),
            "AssessmentCompleted" => ("Completed an assessment", "診断完了"),
            "ReferralReceived" => ("Was referred", "紹介"),
            "InquiryReceived" => ("Inquired", "問い合わせ"),
            "LeadIdentified" => ("Told who they are", "本人情報の入力"),
            "ConsentChanged" => ("Changed consent", "同意の変更"),
            "CustomBehavior" => ("Did", "その他の行動"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// Where a handoff stands, in words.
    pub(crate) const fn handoff_state(self, state: HandoffState) -> &'static str {
        match (self, state) {
            (Self::En, HandoffState::Qualified) => "waits for a rep",
            (Self::Ja, HandoffState::Qualified) => "担当の割り当て待ち",
            (Self::En, HandoffState::Unassigned) => "nobody was free",
            (Self::Ja, HandoffState::Unassigned) => "担当者の空きなし",
            (Self::En, HandoffState::Assigned) => "waits for sales",
            (Self::Ja, HandoffState::Assigned) => "受諾待ち",
            (Self::En, HandoffState::Overdue) => "overdue",
            (Self::Ja, HandoffState::Overdue) => "期限超過",
            (Self::En, HandoffState::Accepted) => "accepted",
            (Self::Ja, HandoffState::Accepted) => "受諾済み",
            (Self::En, HandoffState::Rejected) => "rejected",
            (Self::Ja, HandoffState::Rejected) => "差し戻し",
        }
    }

    /// What was decided, in words, from the name of the event; other names are shown as they are.
    pub(crate) fn decision(self, kind: &str) -> &str {
        let (en, ja) = match kind {
            "LeadQualified" => ("Qualified for sales", "MQLと判定"),
            "LeadRecycled" => ("Back to marketing", "再育成に戻す"),
            "LeadDisqualified" => ("Disqualified", "対象外と判定"),
            "StageChanged" => ("Stage changed", "ステージ変更"),
            "LeadAssigned" => ("Assigned", "担当を割り当て"),
            "HandoffOverdue" => ("Deadline passed", "受諾期限を超過"),
            "SalesAccepted" => ("Accepted by sales", "営業が受諾"),
            "SalesRejected" => ("Rejected by sales", "営業が差し戻し"),
            "MergesChanged" => ("Merges changed", "統合を変更"),
            "LeadCommandRefused" => ("Merge without effect", "無効な統合"),
            "IdentifierRefused" => ("Identifier not believed", "識別子を採用せず"),
            "ConsentsChanged" => ("Consent", "同意の状態"),
            "BehaviorWithheld" => ("Kept out: no consent to tracking", "同意なしのため記録せず"),
            "LeadHeldBack" => ("Held back", "引き渡しを保留"),
            "FeedbackRefused" => ("Verdict without effect", "無効な判断"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// Why two leads may be one person; other reasons are shown as they are.
    pub(crate) fn duplicate_reason(self, kind: &str) -> &str {
        let (en, ja) = match kind {
            "crm" => ("Same record in the CRM system", "CRM上の同じレコード"),
            "email" => ("Same mailbox", "同じメールボックス"),
            "phone" => ("Same phone number", "同じ電話番号"),
            "name" => ("Same name and company", "氏名と会社が同じ"),
            "reading" => ("Name sounds the same, same company", "氏名の読みと会社が同じ"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// That a person does not allow something; other purposes are shown as they are.
    pub(crate) fn no_consent(self, purpose: &str) -> &str {
        let (en, ja) = match purpose {
            "contact" => {
                ("No consent to be contacted: not handed to sales.", "連絡の同意がありません。営業には引き渡しません。")
            }
            "scoring" => (
                "No consent to be scored: what the lead does gives no points.",
                "スコアリングの同意がありません。行動は加点されません。",
            ),
            "tracking" => (
                "No consent to be tracked: what is observed is kept out.",
                "行動記録の同意がありません。閲覧などは記録しません。",
            ),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// What was said about consent, in words.
    pub(crate) fn consent(self, purpose: &str, granted: bool) -> String {
        let (en, ja) = match purpose {
            "contact" => ("contact", "連絡"),
            "scoring" => ("scoring", "スコアリング"),
            "tracking" => ("tracking", "行動記録"),
            other => (other, other),
        };
        match (self, granted) {
            (Self::En, true) => format!("{en}: allowed"),
            (Self::En, false) => format!("{en}: not allowed"),
            (Self::Ja, true) => format!("{ja}: 同意あり"),
            (Self::Ja, false) => format!("{ja}: 同意なし"),
        }
    }

    /// Why an identifier is not believed, in words; other names are shown as they are.
    pub(crate) fn refused_because(self, name: &str) -> &str {
        let (en, ja) = match name {
            "placeholder" => ("stands for nobody", "実在の人を表さない値"),
            "invalid" => ("not what it should be", "形式が不正"),
            "role-address" => ("read by several people", "共用メールアドレス"),
            "shared-line" => ("a phone number of several people", "共用の電話番号"),
            "blocked" => ("blocked by the settings", "設定により除外"),
            "identifiers-per-lead" => ("the lead has too many identifiers", "リードの識別子が上限に到達"),
            "visitors-per-user" => ("the user id has too many devices", "ユーザーIDの端末数が上限に到達"),
            "people-per-visitor" => ("too many people used the device", "端末の利用者数が上限に到達"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// The name of a kind of identifier; other names are shown as they are.
    pub(crate) fn identifier(self, kind: &str) -> &str {
        let (en, ja) = match kind {
            "visitor" => ("Visitor id", "訪問者ID"),
            "user" => ("User id", "ユーザーID"),
            "crm" => ("CRM id", "CRMのID"),
            "email" => ("E-mail", "メール"),
            "phone" => ("Phone number", "電話番号"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }

    /// The name of a standard attribute; other names are shown as they are.
    pub(crate) fn attribute_name(self, name: &str) -> &str {
        let (en, ja) = match name {
            "email" => ("E-mail", "メール"),
            "name" => ("Name", "氏名"),
            "first_name" => ("First name", "名"),
            "last_name" => ("Last name", "姓"),
            "title" => ("Title", "役職"),
            "department" => ("Department", "部署"),
            "phone" => ("Phone", "電話"),
            "company" => ("Company", "会社"),
            "industry" => ("Industry", "業種"),
            "employees" => ("Employees", "従業員数"),
            "country" => ("Country", "国"),
            "region" => ("Region", "地域"),
            "website" => ("Website", "ウェブサイト"),
            "user_id" => ("User id", "ユーザーID"),
            "group_id" => ("Group", "グループID"),
            "crm_account_id" => ("Account in the CRM", "CRMの取引先ID"),
            "role_address" => ("Shared mailbox", "共用アドレス"),
            "name_kana" => ("Reading of the name", "氏名カナ"),
            "last_name_kana" => ("Reading of the last name", "姓カナ"),
            "first_name_kana" => ("Reading of the first name", "名カナ"),
            other => return other,
        };
        match self {
            Self::En => en,
            Self::Ja => ja,
        }
    }
}
