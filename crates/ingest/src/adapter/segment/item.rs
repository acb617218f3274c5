//! One event of the Segment family. Its objects are gone through once each; what is kept of them is where it stands.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value as Tree, json};
use tasuki_wire::behavior::Circumstances;
use tasuki_wire::v1;
use tasuki_wire::v1::DeadLetterKind;
use tasuki_wire::v1::behavior_record::Event;

use crate::fingerprint::Fingerprint;
use crate::json;
use crate::json::document::{Kind, Value};
use crate::mapping::{Called, identified};
use crate::observed::{BadRecord, Observed};
use crate::request::RawRequest;
use crate::time::{Reported, Times};

/// What a re-send changes, and what ingest adds: not part of what the event is.
const VOLATILE: [&str; 6] = ["sentAt", "sent_at", "_metadata", "writeKey", "receivedAt", "request_ip"];

/// Objects of which some members mean something.
macro_rules! objects {
    ($($(#[$doc:meta])* $object:ident { $($field:ident = $name:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default)]
        struct $object<'d, 't> {
            $($field: Option<Value<'d, 't>>,)*
        }

        impl<'d, 't> $object<'d, 't> {
            /// The last of equal names counts.
            fn of<'n>(members: impl Iterator<Item = (Cow<'n, str>, Value<'d, 't>)>) -> Self {
                let mut found = Self::default();
                for (name, value) in members {
                    match name.as_ref() {
                        $($name => found.$field = Some(value),)*
                        _ => {}
                    }
                }
                found
            }
        }
    )*};
}

objects! {
    /// An event.
    Call {
        kind = "type",
        event = "event",
        name = "name",
        category = "category",
        properties = "properties",
        traits = "traits",
        context = "context",
        message_id = "messageId",
        timestamp = "timestamp",
        original_timestamp = "originalTimestamp",
        sent_at = "sentAt",
        anonymous_id = "anonymousId",
        user_id = "userId",
        previous_id = "previousId",
        group_id = "groupId",
        merge_properties = "mergeProperties",
    }
    /// Its context.
    Context {
        page = "page",
        campaign = "campaign",
        user_agent = "userAgent",
        locale = "locale",
        time_zone = "timezone",
        ip = "ip",
        traits = "traits",
        consent = "consent",
        consent_management = "consentManagement",
    }
    /// The page there, or the properties of a page call.
    Page {
        url = "url",
        path = "path",
        host = "host",
        referrer = "referrer",
        title = "title",
        name = "name",
        category = "category",
    }
    /// The campaign there.
    Campaign {
        name = "name",
        source = "source",
        medium = "medium",
        term = "term",
        content = "content",
    }
}

impl Context<'_, '_> {
    /// The event's own context; what it does not say, that of the batch does.
    fn overlaid<'d, 't>(own: Option<Value<'d, 't>>, common: Option<Value<'d, 't>>) -> Context<'d, 't> {
        let is_object = |value: &Value<'_, '_>| value.kind() == Kind::Object;
        let of = |value: Option<Value<'d, 't>>| Context::of(members(value));
        match (own, common) {
            (None, only) | (only, None) => of(only),
            (Some(own), Some(common)) if is_object(&own) && is_object(&common) => {
                let (own, common) = (of(Some(own)), of(Some(common)));
                Context {
                    page: own.page.or(common.page),
                    campaign: own.campaign.or(common.campaign),
                    user_agent: own.user_agent.or(common.user_agent),
                    locale: own.locale.or(common.locale),
                    time_zone: own.time_zone.or(common.time_zone),
                    ip: own.ip.or(common.ip),
                    traits: own.traits.or(common.traits),
                    consent: own.consent.or(common.consent),
                    consent_management: own.consent_management.or(common.consent_management),
                }
            }
            (own, Some(_)) => of(own),
        }
    }
}

/// One event of the Segment family.
pub(super) struct Item<'a, 'd, 't> {
    /// Sorted by name.
    members: Vec<(Cow<'t, str>, Value<'d, 't>)>,
    call: Call<'d, 't>,
    context: Context<'d, 't>,
    request: &'a RawRequest<'a>,
}

impl<'a, 'd, 't> Item<'a, 'd, 't> {
    /// An event, and the context that it shares with others of its batch.
    pub(super) fn of(item: Value<'d, 't>, common: Option<Value<'d, 't>>, request: &'a RawRequest<'a>) -> Self {
        let members = item.sorted();
        let call = Call::of(members.iter().map(|(name, value)| (Cow::Borrowed(name.as_ref()), *value)));
        Self { context: Context::overlaid(call.context, common), call, members, request }
    }

    /// When it says that it was sent.
    pub(super) fn sent_at(&self) -> Option<Cow<'t, str>> {
        text(self.call.sent_at)
    }

    /// What it says.
    pub(super) fn observe(&self) -> Result<Observed<'t>, BadRecord> {
        // On a route for one kind of event the route names the kind.
        let kind = match self.request.operation {
            "batch" => text(self.call.kind).ok_or_else(|| {
                let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-type", "the event has no type");
                "/type".clone_into(&mut bad.pointer);
                bad
            })?,
            kind => Cow::Borrowed(kind),
        };
        let properties = self.call.properties;
        // Only a page call says in its properties where it was.
        let viewed =
            if matches!(kind.as_ref(), "page" | "screen") { Page::of(members(properties)) } else { Page::default() };
        let traits = self.traits(&kind);
        let mut observed = self.observe_kind(&kind, &viewed, &traits)?;
        if properties.is_some_and(|value| !matches!(value.kind(), Kind::Object | Kind::Null)) {
            observed.flags.push("properties-not-an-object");
        }
        observed.message_id = text(self.call.message_id).unwrap_or_default();
        // Where both are there, `timestamp` is what the caller said and `originalTimestamp` when the SDK was called.
        let happened = text(self.call.timestamp).or_else(|| text(self.call.original_timestamp));
        observed.times = Times { happened: Reported::read(happened.as_deref()), ..Times::default() };
        observed.anonymous_id = text(self.call.anonymous_id);
        observed.user_id = text(self.call.user_id);
        if kind == "identify" {
            observed.phone = first_of(&self.request.mapping.attributes(&traits), "phone");
            observed.crm_id = self.request.mapping.crm_id(&traits);
        }
        observed.email = self.email(&kind, &traits);
        if kind == "alias" {
            self.observe_alias(&mut observed);
        }
        observed.circumstances = self.circumstances(if kind == "page" { viewed } else { Page::default() });
        observed.consents = self.consents();
        observed.fingerprint = self.fingerprint(&kind);
        Ok(observed)
    }

    fn observe_kind(
        &self,
        kind: &str,
        viewed: &Page<'d, 't>,
        traits: &[(String, String)],
    ) -> Result<Observed<'t>, BadRecord> {
        let named = |own, property| text(own).or_else(|| plain_text(property)).unwrap_or_default().into_owned();
        let (mapping, properties) = (self.request.mapping, self.call.properties);
        let mut attributes = BTreeMap::new();
        let event = match kind {
            "page" | "screen" => Event::PageViewed(v1::PageViewed {
                name: named(self.call.name, viewed.name),
                category: named(self.call.category, viewed.category),
            }),
            "track" => {
                let name = text(self.call.event).ok_or_else(|| {
                    let mut bad = BadRecord::new(DeadLetterKind::Schema, "no-event", "a track call names its event");
                    "/event".clone_into(&mut bad.pointer);
                    bad
                })?;
                let called = Called::Name(&name);
                let flat = if mapping.knows_name(&name) { properties.map(json::flat) } else { None };
                let meaning = mapping.meaning(called, &flat.unwrap_or_default());
                attributes = meaning.attributes;
                meaning.event
            }
            "identify" => identified(mapping.attributes(traits)),
            "group" => {
                let mut attributes = mapping.company_attributes(traits);
                attributes.extend(text(self.call.group_id).map(|id| ("group_id".to_owned(), id.into_owned())));
                identified(attributes)
            }
            "alias" => identified(Vec::new()),
            "merge" => Event::CustomBehavior(v1::CustomBehavior { name: "merge".to_owned() }),
            _ => {
                let allowed = "identify, page, screen, track, group, alias, merge";
                let message = format!("no such type of event; allowed are {allowed}");
                let mut bad = BadRecord::new(DeadLetterKind::Schema, "unknown-type", message);
                "/type".clone_into(&mut bad.pointer);
                return Err(bad);
            }
        };
        let mut observed = Observed::new(event);
        observed.attributes = attributes;
        if let (Some(properties), "page" | "screen" | "track") = (properties, kind)
            && properties.members().next().is_some()
        {
            observed.properties_json = properties.raw().into();
        }
        if let (Some(value), "merge") = (self.call.merge_properties, kind) {
            observed.properties_json = format!("{{\"mergeProperties\":{}}}", value.raw()).into();
        }
        Ok(observed)
    }

    /// An alias says that `previousId` is `userId` too; most often it is the anonymous id.
    fn observe_alias(&self, observed: &mut Observed<'t>) {
        let Some(previous) = text(self.call.previous_id) else { return };
        observed.flags.push("alias");
        observed.properties_json = json!({ "previousId": previous }).to_string().into();
        if observed.anonymous_id.is_none() && observed.user_id.as_ref() != Some(&previous) {
            observed.anonymous_id = Some(previous);
        }
    }

    /// Traits of the person (or of the company, in a group call), flat. `context.traits` are always the person's;
    /// RudderStack's Python SDK sends an identify's traits only there.
    fn traits(&self, kind: &str) -> Vec<(String, String)> {
        let own = || self.call.traits.map_or(Tree::Null, Value::tree);
        let traits = match kind {
            "identify" => match (self.context.traits.map(Value::tree), own()) {
                (Some(Tree::Object(mut common)), Tree::Object(own)) => {
                    common.extend(own);
                    Tree::Object(common)
                }
                (Some(common @ Tree::Object(_)), _) => common,
                (_, own) => own,
            },
            "group" => own(),
            _ => return Vec::new(),
        };
        json::flatten(&traits)
    }

    fn email(&self, kind: &str, traits: &[(String, String)]) -> Option<String> {
        let mapping = self.request.mapping;
        let own = match kind {
            "identify" => first_of(&mapping.attributes(traits), "email"),
            "group" => None,
            _ => self.call.properties.and_then(|properties| mapping.attribute(properties, "email")),
        };
        own.or_else(|| mapping.attribute(self.context.traits?, "email"))
    }

    /// A page call carries the page in its properties; `context.page` may already be the next one.
    fn circumstances(&self, viewed: Page<'d, 't>) -> Circumstances<'t> {
        let page = Page::of(members(self.context.page));
        let campaign = Campaign::of(members(self.context.campaign));
        let alone = |value| plain_text(value).unwrap_or_default();
        let either = |own, page| plain_text(own).or_else(|| plain_text(page)).unwrap_or_default();
        // The path must be of the same page as the URL: only together.
        let (url, path) = match plain_text(viewed.url) {
            Some(url) => (url, alone(viewed.path)),
            None => (alone(page.url), either(viewed.path, page.path)),
        };
        Circumstances {
            url,
            path,
            host: alone(page.host),
            referrer: either(viewed.referrer, page.referrer),
            title: either(viewed.title, page.title),
            campaign_name: alone(campaign.name),
            campaign_source: alone(campaign.source),
            campaign_medium: alone(campaign.medium),
            campaign_term: alone(campaign.term),
            campaign_content: alone(campaign.content),
            user_agent: alone(self.context.user_agent),
            locale: alone(self.context.locale),
            time_zone: alone(self.context.time_zone),
            ip: alone(self.context.ip),
        }
    }

    /// What the person allows by the consent manager: an object of categories, or lists of those allowed and denied.
    fn consents(&self) -> BTreeMap<String, bool> {
        if self.context.consent.is_none() && self.context.consent_management.is_none() {
            return BTreeMap::new();
        }
        let preferences = self.context.consent.and_then(|consent| consent.get("categoryPreferences"));
        let said = preferences.into_iter().flat_map(Value::members).filter_map(|(category, value)| {
            let granted = value.scalar()?.parse().ok()?;
            Some((category.string(), granted))
        });
        let management = self.context.consent_management;
        let listed =
            [("allowedConsentIds", true), ("deniedConsentIds", false)].into_iter().flat_map(|(name, granted)| {
                let list = management.and_then(|management| management.get(name));
                list.into_iter().flat_map(Value::elements).filter_map(move |id| Some((id.scalar()?, granted)))
            });
        self.request.mapping.consents(said.chain(listed))
    }

    fn fingerprint(&self, kind: &str) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add("type", kind);
        for (name, value) in &self.members {
            if name != "type" && !VOLATILE.contains(&name.as_ref()) {
                fingerprint.add(name, value.raw());
            }
        }
        fingerprint
    }
}

/// Names and values of an object; none if it is none.
fn members<'d, 't: 'd>(object: Option<Value<'d, 't>>) -> impl Iterator<Item = (Cow<'t, str>, Value<'d, 't>)> {
    object.into_iter().flat_map(|object| object.members()).map(|(name, value)| (name.string(), value))
}

fn text<'t>(value: Option<Value<'_, 't>>) -> Option<Cow<'t, str>> {
    value.and_then(Value::scalar)
}

/// The same, numbers in one way of writing.
fn plain_text<'t>(value: Option<Value<'_, 't>>) -> Option<Cow<'t, str>> {
    value.and_then(Value::plain_scalar)
}

/// The first attribute of this name.
fn first_of(attributes: &[(String, String)], name: &str) -> Option<String> {
    attributes.iter().find(|(standard, _)| standard == name).map(|(_, value)| value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::document::Document;

    #[test]
    fn what_an_event_does_not_say_of_its_context_its_batch_says() {
        let text_of = r#"[{"locale":"ja","locale":"fr","ip":"1"},{"locale":"en","timezone":"Asia/Tokyo"},"none"]"#;
        let document = Document::read(text_of, 100).unwrap();
        let [own, common, other] = document.root().elements().map(Some).collect::<Vec<_>>().try_into().unwrap();
        let of = |own, common| {
            let Context { locale, time_zone, ip, .. } = Context::overlaid(own, common);
            [locale, time_zone, ip].map(|value| text(value).unwrap_or_default().into_owned())
        };
        assert_eq!(of(own, common), ["fr", "Asia/Tokyo", "1"], "the last of equal names");
        assert_eq!(of(None, common), ["en", "Asia/Tokyo", ""]);
        assert_eq!([of(own, None), of(own, other)], [["fr", "", "1"]; 2]);
        assert_eq!(of(other, common), ["", "", ""], "what is no object says nothing, and is there");
    }
}
