//! Texts of the pages that explain scores and playbooks.

use crate::language::Language;

texts! {
    // The playbook.
    playbook: "Playbook", "プレイブック";
    playbook_hint: "What marketing and sales have agreed on, in words: which behaviour gives how many points, and when a lead goes to sales.",
        "マーケティングと営業の取り決めを文章で表示します。どの行動が何点になり、いつ営業に渡すか。";
    playbook_history: "History", "履歴";
    playbook_unreadable: "This release cannot read that playbook.", "このバージョンのTasukiでは読めないプレイブックです。";
    in_force: "in force", "適用中";
    not_in_force: "not in force", "適用されていません";
    nothing_published: "From the start; nothing has been published yet.", "起動時から適用。まだ公開されたものはありません。";
    because_started: "from the start", "起動時から";
    because_published: "published", "公開";
    because_rolled_back: "taken up again", "以前の版に復帰";
    read_aloud: "Read it", "読む";
    what_it_changed: "What it changed", "変更点";
    compare_two: "Compare two versions", "二つの版を比べる";
    earlier: "Earlier", "前の版";
    later: "Later", "後の版";
    compare: "Compare", "比べる";
    nothing_differs: "Nothing differs.", "違いはありません。";

    // A score explained.
    explain: "Explain", "表示";
    explain_as_of: "Explain as of another time …", "別の時点のスコアを見る…";
    explain_title: "Score explained", "スコアの説明";
    explain_hint: "What had happened by then counts, as it is known now, also if it came late. The profile is as known now.",
        "その時点までに起きたことを、現在わかっている内容で計算します（後から届いたものを含みます）。プロフィールは現在のものです。";
    as_of: "As of", "時点";
    as_of_hint: "Empty: as of the score that is shown. May lie ahead.", "空欄は表示中のスコアの時点。未来も指定できます。";
    the_one_in_force: "the one in force", "適用中のもの";
    back_to_lead: "To the lead", "リードに戻る";
    compared_with_shown: "Compared with what is shown", "表示中のスコアとの比較";
    expected: "What is expected", "今後の見込み";
    nothing_expected: "Time alone changes nothing that a route or the grade looks at.",
        "時間の経過だけで変わるもの（ルートやグレード）はありません。";
    no_route_holds: "The condition of no route holds.", "条件を満たすルートはありません。";
    nothing_lifts: "No rule would give more.", "これ以上加点するルールはありません。";
    once_it_ends: "once it does not hold any more", "該当しなくなれば";
}

phrases! {
    by(name: &str): format!("by {name}"), name.to_owned();
    between_versions(earlier: u32, later: u32): format!("From version {earlier} to {later}"), format!("版{earlier}から版{later}への変更");
    concerns(whom: &str): format!("Concerns {whom}."), format!("対象：{whom}。");
    never_published_version(version: u32): format!("No playbook of version {version} was ever published."),
        format!("版{version}のプレイブックは公開されていません。");
    another_is_in_force(version: u32): format!("This is not what is in force: version {version} is. Nothing is changed by looking."),
        format!("適用中のプレイブックは版{version}です。ここで見ても何も変わりません。");
    out_of_bounds(first: &str, last: &str): format!("A time from {first} to {last} can be explained."),
        format!("指定できるのは{first}から{last}までです。");
    no_instant(said: &str): format!("“{said}” is not a time."), format!("「{said}」は日時として読めません。");
    no_version(said: &str): format!("“{said}” is not a version."), format!("「{said}」は版の番号ではありません。");
    signals(count: u32): if count == 1 { "1 signal".to_owned() } else { format!("{count} signals") }, format!("行動{count}件");
    said_later(names: &str): format!("Said only later, so that fit may have been another: {names}."),
        format!("この時点より後に判明した項目のため、適合度は異なっていた可能性があります：{names}");
    routes_hold(names: &str): format!("Routes whose condition holds: {names}."), format!("条件を満たすルート：{names}");
    falls_below(points: &str): format!("Falls below {points}."), format!("{points}点を下回ります。");
    reaches(points: &str): format!("Reaches {points}."), format!("{points}点に達します。");
    to_reach(axis: &str, points: &str): format!("To reach {axis} {points}"), format!("{axis}が{points}点になるには");
    short_of(points: &str): format!("{points} points are missing. What one more would give:"), format!("あと{points}点。一回あたりの加点：");
    would_do(times: u32): if times == 1 { "enough".to_owned() } else { format!("{times} times are enough") },
        if times == 1 { "これで到達".to_owned() } else { format!("{times}回で到達") };
}
