//! Pieces that several pages are made of.

use maud::{Markup, html};
use tasuki_domain::{Millipoints, Stage, Timestamp};

use super::Visit;
use crate::language::Language;
use crate::moment;

/// A stage as a badge; abbreviations say what they stand for.
pub(super) fn stage(stage: Stage, language: Language) -> Markup {
    let (name, meaning) = language.stage_name(stage);
    let class = format!("badge stage-{}", stage.name().to_lowercase());
    html! {
        span class=(class) {
            @match meaning {
                Some(meaning) => abbr title=(meaning) { (name) },
                None => (name),
            }
        }
    }
}

/// An instant on the calendar.
pub(super) fn instant(at: Timestamp, visit: &Visit) -> Markup {
    html! { time datetime=(at) { (moment::full(at, &visit.zone, visit.language)) } }
}

/// How long ago; the calendar's instant as title.
pub(super) fn ago(at: Timestamp, visit: &Visit) -> Markup {
    let full = moment::full(at, &visit.zone, visit.language);
    html! { time datetime=(at) title=(full) { (moment::ago(at, visit.now, &visit.zone, visit.language)) } }
}

/// What is left of a deadline, or how long it is past, marked when it presses.
pub(super) fn deadline(due: Timestamp, visit: &Visit) -> Markup {
    let left = due.since(visit.now).get();
    let class = match left {
        ..0 => "due past",
        0..3_600_000 => "due soon",
        _ => "due",
    };
    let full = moment::full(due, &visit.zone, visit.language);
    html! { time class=(class) datetime=(due) title=(full) { (moment::deadline(due, visit.now, visit.language)) } }
}

/// A score of 0 to 100 as number and bar. Rounded; the exact number as title.
pub(super) fn score(points: Millipoints, axis: &'static str, language: Language) -> Markup {
    html! {
        span.score title=(language.points_of(&points.to_string())) {
            span.number { (rounded(points)) }
            (bar(points, axis))
        }
    }
}

/// A bar as long as the points are of 100.
pub(super) fn bar(points: Millipoints, axis: &'static str) -> Markup {
    let tenths = points.get().clamp(0, 100_000) / 100;
    let width = format!("{}.{}%", tenths / 10, tenths % 10);
    html! {
        svg class=(format!("bar {axis}")) aria-hidden="true" focusable="false" {
            rect.track width="100%" height="100%" rx="3" {}
            rect.fill width=(width) height="100%" rx="3" {}
        }
    }
}

/// To the nearest whole point.
pub(super) fn rounded(points: Millipoints) -> i64 {
    (points.get().saturating_add(500)).div_euclid(1_000)
}

/// An e-mail address that breaks behind its @ where it must break.
pub(super) fn address(address: &str) -> Markup {
    html! {
        @match address.split_once('@') {
            Some((local, domain)) => { (local) "@" wbr; (domain) },
            None => (address),
        }
    }
}

/// A grade, for example B2.
pub(super) fn grade(grade: &str) -> Markup {
    html! { @if grade.is_empty() { span.muted.none aria-hidden="true" { "–" } } @else { span.grade { (grade) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_longer_than_its_track_nor_shorter_than_nothing() {
        for (thousandths, width) in [(-5_000, "0.0%"), (62_540, "62.5%"), (250_000, "100.0%")] {
            let bar = bar(Millipoints::new(thousandths), "fit").into_string();
            assert!(bar.contains(&format!("class=\"fill\" width=\"{width}\"")), "{bar}");
        }
    }

    #[test]
    fn points_round_to_the_nearest() {
        for (thousandths, whole) in [(62_499, 62), (62_500, 63), (-400, 0), (-1_600, -2)] {
            assert_eq!(rounded(Millipoints::new(thousandths)), whole);
        }
    }
}
