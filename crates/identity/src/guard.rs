//! What keeps identifiers that stand for nobody, or for too many, from joining people: which are refused, and what of
//! them may be shown.

use std::str::FromStr;

use tasuki_domain::{CrmId, EmailAddress, Identifier, PhoneNumber, is_placeholder_id};
use tasuki_wire::v1::{self, BehaviorRecord, IdentifierRefused, Identifiers, RefusedBecause};

/// Characters of an id that are shown.
const SHOWN: usize = 12;

/// A kind of identifier that a behavior event may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Visitor,
    User,
    Crm,
    Email,
    Phone,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::User => "user",
            Self::Crm => "crm",
            Self::Email => "email",
            Self::Phone => "phone",
        }
    }

    /// Of the key of a home.
    pub(crate) fn of_key(key: &str) -> Option<Self> {
        match Identifier::from_key(key) {
            Ok(Identifier::Anonymous(_)) => Some(Self::Visitor),
            Ok(Identifier::User(_)) => Some(Self::User),
            Ok(Identifier::Crm(_)) => Some(Self::Crm),
            Ok(Identifier::Email(_)) => Some(Self::Email),
            Ok(Identifier::Phone(_)) => Some(Self::Phone),
            Err(_) => None,
        }
    }
}

/// Identifiers that are never believed, beside the placeholders that are built in: one, or all that begin or end alike.
///
/// Written as kind, `:` and the identifier, for example `user:shop-terminal`, `email:*@mailinator.com`, `visitor:kiosk-*`,
/// `phone:+8131234*`, `crm:salesforce:0035g00000ABCdeAAH`. A
/// `*` at the beginning or the end stands for anything. Letters count alike, capital or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    kind: Kind,
    text: String,
    any_before: bool,
    any_after: bool,
}

/// Why a text blocks nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlocked {
    /// No kind, or another.
    #[error("expected \"visitor:\", \"user:\", \"crm:\", \"email:\" or \"phone:\" and what is to be refused behind it")]
    Kind,
    /// It would refuse all of a kind.
    #[error("it would refuse every identifier of its kind: expected at least one character beside \"*\"")]
    Everything,
    /// A star in the middle.
    #[error("a \"*\" may only stand at the beginning or at the end")]
    Star,
}

impl FromStr for Blocked {
    type Err = InvalidBlocked;

    fn from_str(text: &str) -> Result<Self, InvalidBlocked> {
        let (kind, pattern) = text.trim().split_once(':').ok_or(InvalidBlocked::Kind)?;
        let kind = match kind.trim() {
            "visitor" => Kind::Visitor,
            "user" => Kind::User,
            "crm" => Kind::Crm,
            "email" => Kind::Email,
            "phone" => Kind::Phone,
            _ => return Err(InvalidBlocked::Kind),
        };
        let pattern = pattern.trim().to_lowercase();
        let rest = pattern.strip_prefix('*').unwrap_or(&pattern);
        let inner = rest.strip_suffix('*').unwrap_or(rest);
        if inner.is_empty() {
            return Err(InvalidBlocked::Everything);
        }
        if inner.contains('*') {
            return Err(InvalidBlocked::Star);
        }
        let (any_before, any_after) = (pattern.starts_with('*'), rest.ends_with('*'));
        Ok(Self { kind, text: inner.to_owned(), any_before, any_after })
    }
}

impl Blocked {
    /// Whether it refuses this identifier, given in small letters.
    fn refuses(&self, kind: Kind, id: &str) -> bool {
        self.kind == kind
            && match (self.any_before, self.any_after) {
                (false, false) => id == self.text,
                (true, false) => id.ends_with(&self.text),
                (false, true) => id.starts_with(&self.text),
                (true, true) => id.contains(&self.text),
            }
    }
}

/// Which identifiers are believed.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    blocked: Vec<Blocked>,
    refuse_role_addresses: bool,
}

impl Guard {
    pub(crate) fn new(blocked: &[Blocked], refuse_role_addresses: bool) -> Self {
        Self { blocked: blocked.to_vec(), refuse_role_addresses }
    }

    /// Takes the identifiers out of the event that are not believed, and notes them on it. How many.
    pub(crate) fn screen(&self, record: &mut BehaviorRecord) -> usize {
        let Some(named) = &mut record.identifiers else { return 0 };
        let fields = [
            (Kind::Visitor, &mut named.anonymous_id),
            (Kind::User, &mut named.user_id),
            (Kind::Crm, &mut named.crm_id),
            (Kind::Email, &mut named.email),
            (Kind::Phone, &mut named.phone),
        ];
        let before = record.refused.len();
        for (kind, id) in fields {
            let because = if id.is_empty() { None } else { self.against(kind, id) };
            if let Some(because) = because {
                let id = std::mem::take(id);
                record.refused.push(refused(kind, because, shown(kind, &id), &[]));
            }
        }
        record.refused.len() - before
    }

    fn against(&self, kind: Kind, id: &str) -> Option<RefusedBecause> {
        if !self.blocked.is_empty() {
            let small = id.to_lowercase();
            if self.blocked.iter().any(|blocked| blocked.refuses(kind, &small)) {
                return Some(RefusedBecause::Blocked);
            }
        }
        match kind {
            Kind::Visitor | Kind::User => is_placeholder_id(id).then_some(RefusedBecause::Placeholder),
            Kind::Email => match id.parse::<EmailAddress>() {
                Ok(address) if address.is_placeholder() => Some(RefusedBecause::Placeholder),
                Ok(address) if self.refuse_role_addresses && address.is_role() => Some(RefusedBecause::RoleAddress),
                // What is no address at all is poison, and ingest lets none through.
                Ok(_) | Err(_) => None,
            },
            // In another form they are no identifiers.
            Kind::Crm => None,
            Kind::Phone => {
                let number = id.parse::<PhoneNumber>();
                number.is_ok_and(|number| number.is_shared_line()).then_some(RefusedBecause::SharedLine)
            }
        }
    }
}

/// A refusal, as it stands in events.
pub(crate) fn refused(kind: Kind, because: RefusedBecause, value: String, behavior_id: &[u8]) -> IdentifierRefused {
    let (kind, behavior_id) = (kind.name().to_owned(), behavior_id.to_vec());
    IdentifierRefused { kind, because: because.into(), value, behavior_id }
}

/// What was refused of an event: by identity, and by ingest, which leaves no value.
pub(crate) fn refusals(behavior: &BehaviorRecord) -> Vec<IdentifierRefused> {
    let behavior_id = behavior.meta.as_ref().map_or(&[][..], |meta| &meta.event_id);
    let here = behavior.refused.iter().map(|it| IdentifierRefused { behavior_id: behavior_id.to_vec(), ..it.clone() });
    let at_ingest = behavior.flags.iter().filter_map(|flag| match flag.as_str() {
        "illegal-anonymous-id" => Some((Kind::Visitor, RefusedBecause::Placeholder)),
        "illegal-user-id" => Some((Kind::User, RefusedBecause::Placeholder)),
        "malformed-anonymous-id" => Some((Kind::Visitor, RefusedBecause::Invalid)),
        "malformed-user-id" => Some((Kind::User, RefusedBecause::Invalid)),
        "invalid-crm-id" => Some((Kind::Crm, RefusedBecause::Invalid)),
        "placeholder-phone" => Some((Kind::Phone, RefusedBecause::Placeholder)),
        "invalid-phone" => Some((Kind::Phone, RefusedBecause::Invalid)),
        "invalid-email" => Some((Kind::Email, RefusedBecause::Invalid)),
        _ => None,
    });
    let at_ingest = at_ingest.map(|(kind, because)| refused(kind, because, String::new(), behavior_id));
    here.chain(at_ingest).collect()
}

/// The CRM id of an event, if it is in its one form: with the system before it.
pub(crate) fn crm_id(named: &Identifiers) -> &str {
    let is_normal = named.crm_id.parse::<CrmId>().is_ok_and(|id| id.as_str() == named.crm_id);
    if is_normal { &named.crm_id } else { "" }
}

/// The phone number of an event, if it is in its one form.
pub(crate) fn phone(named: &Identifiers) -> &str {
    if named.phone.parse::<PhoneNumber>().is_ok() { &named.phone } else { "" }
}

/// What of an identifier may be shown: of an address one letter and the domain, of an id its beginning, of a phone number the
/// country and the last two digits, unless it is a house's.
pub(crate) fn shown(kind: Kind, id: &str) -> String {
    if kind == Kind::Phone {
        let house = id.parse::<PhoneNumber>().is_ok_and(|number| number.is_shared_line());
        let cut = |id: &str| Some(format!("{}…{}", id.get(..3)?, id.get(id.len().checked_sub(2)?..)?));
        return if house { id.to_owned() } else { cut(id).unwrap_or_default() };
    }
    if kind == Kind::Crm
        && let Some((system, id)) = id.split_once(':')
        && id.chars().count() > SHOWN
    {
        let beginning: String = id.chars().take(SHOWN - 1).collect();
        return format!("{system}:{beginning}…");
    }
    if let Some((local, domain)) = id.rsplit_once('@') {
        let placeholder = format!("{local}@{domain}").parse::<EmailAddress>().is_ok_and(|it| it.is_placeholder());
        let first = local.chars().next().map_or_else(String::new, String::from);
        return if placeholder { id.to_owned() } else { format!("{first}…@{domain}") };
    }
    match kind {
        Kind::Email | Kind::Phone => String::new(),
        Kind::Crm => id.to_owned(),
        Kind::Visitor | Kind::User if id.chars().count() > SHOWN => {
            let beginning: String = id.chars().take(SHOWN - 1).collect();
            format!("{beginning}…")
        }
        Kind::Visitor | Kind::User => id.to_owned(),
    }
}

/// What two refusals have in common that need not be told twice.
pub(crate) fn told_as(refused: &v1::IdentifierRefused) -> String {
    format!("{}/{}/{}", refused.because, refused.kind, refused.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked(texts: &[&str]) -> Vec<Blocked> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_blocked_is_one_identifier_or_all_that_begin_or_end_alike() {
        let list = blocked(&["user:Shop-1", "email:*@mailinator.com", "visitor:kiosk-*", "user:*temp*"]);
        let guard = Guard::new(&list, false);
        for (kind, id, refused) in [
            (Kind::User, "shop-1", true),
            (Kind::User, "shop-12", false),
            (Kind::Visitor, "shop-1", false),
            (Kind::Email, "ana@mailinator.com", true),
            (Kind::Email, "ana@mailinator.com.example", false),
            (Kind::Visitor, "KIOSK-7", true),
            (Kind::User, "a-temp-b", true),
        ] {
            assert_eq!(guard.against(kind, id), refused.then_some(RefusedBecause::Blocked), "{id}");
        }
    }

    #[test]
    fn what_blocks_nothing_or_everything_is_told_apart() {
        for (text, why) in [
            ("shop-1", InvalidBlocked::Kind),
            ("telephone:1", InvalidBlocked::Kind),
            ("user:", InvalidBlocked::Everything),
            ("user:*", InvalidBlocked::Everything),
            ("email:**", InvalidBlocked::Everything),
            ("email:a*@b.example", InvalidBlocked::Star),
        ] {
            assert_eq!(text.parse::<Blocked>(), Err(why), "{text}");
        }
    }

    #[test]
    fn addresses_of_roles_are_refused_if_that_is_set() {
        let address = "info@acme.example";
        assert_eq!(Guard::new(&[], false).against(Kind::Email, address), None);
        assert_eq!(Guard::new(&[], true).against(Kind::Email, address), Some(RefusedBecause::RoleAddress));
    }

    #[test]
    fn no_address_and_no_long_id_is_shown_whole() {
        for (kind, id, text) in [
            (Kind::Email, "hanako.yamada@acme.example", "h…@acme.example"),
            (Kind::Email, "test@acme.example", "test@acme.example"),
            (Kind::User, "hanako@acme.example", "h…@acme.example"),
            (Kind::User, "guest", "guest"),
            (Kind::Phone, "+81312345678", "+81…78"),
            (Kind::Phone, "+81120123456", "+81120123456"),
            (Kind::Crm, "hubspot:123", "hubspot:123"),
            (Kind::Crm, "salesforce:0035g00000ABCdeAAH", "salesforce:0035g00000A…"),
            (Kind::Visitor, "8f1c4b1e-visitor", "8f1c4b1e-vi…"),
        ] {
            assert_eq!(shown(kind, id), text);
        }
    }
}
