//! What surrounds every page: head, menu, language, foot.

use maud::{DOCTYPE, Markup, html};

use super::Visit;
use crate::language::Language;
use crate::link;

/// A whole page.
pub(super) fn page(visit: &Visit, title: &str, content: &Markup) -> Markup {
    refreshing_page(visit, title, content, None)
}

/// A whole page that the browser loads again after so many seconds, from this address.
pub(super) fn refreshing_page(visit: &Visit, title: &str, content: &Markup, refresh: Option<(u8, &str)>) -> Markup {
    let text = visit.language;
    html! {
        (DOCTYPE)
        html lang=(text.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                @if let Some((seconds, address)) = refresh {
                    meta http-equiv="refresh" content=(format!("{seconds};url={address}"));
                }
                title { (title) " · Tasuki" }
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
                link rel="stylesheet" href=(visit.style);
            }
            body {
                a.skip href="#content" { (text.skip_to_content()) }
                header.top {
                    div.wrap {
                        a.brand href="/leads" { img src="/assets/icon.svg" alt="" width="26" height="26"; "Tasuki" }
                        @if visit.person.is_some() { (menu(visit)) }
                        div.top-end {
                            (languages(visit))
                            @if let Some(person) = &visit.person {
                                form method="post" action="/sign-out" {
                                    button.quiet type="submit" title=(text.signed_in_as(person)) { (text.sign_out()) }
                                }
                            }
                        }
                    }
                }
                main #content .wrap { (content) }
                footer.wrap { p { "Tasuki " span lang="ja" { "襷" } " · " (text.times_in(visit.zone.name())) } }
            }
        }
    }
}

fn menu(visit: &Visit) -> Markup {
    let text = visit.language;
    let entries = [
        ("/leads", text.leads()),
        ("/accounts", text.accounts()),
        ("/playbook", text.playbook()),
        ("/dead-letters", text.dead_letters()),
    ];
    html! {
        nav.menu aria-label=(text.main_menu()) {
            ul {
                @for (address, name) in entries {
                    li { a href=(address) aria-current=[visit.target.starts_with(address).then_some("page")] { (name) } }
                }
            }
        }
    }
}

fn languages(visit: &Visit) -> Markup {
    html! {
        nav.languages aria-label=(visit.language.language()) {
            @for language in Language::ALL {
                @if language == visit.language {
                    span aria-current="true" lang=(language.code()) { (language.own_name()) }
                } @else {
                    a href=(link::in_language(&visit.target, language.code())) lang=(language.code())
                        hreflang=(language.code()) rel="nofollow" { (language.own_name()) }
                }
            }
        }
    }
}
