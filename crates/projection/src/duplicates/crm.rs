//! Records in CRM systems.

use std::collections::BTreeSet;

use tasuki_domain::CrmId;
use tasuki_wire::v1;

/// The one that was said last, with its system.
const ANY: &str = "crm_id";

/// Under which names ids of one system stand besides, without case and signs: a lead with ids in two systems shows only one
/// of them as the one that was said last.
const SYSTEMS: [(&str, &[&str]); 3] = [
    (
        "salesforce",
        &["salesforceid", "salesforcecontactid", "salesforceleadid", "sfdcid", "sfcontactid", "sfleadid", "sfid"],
    ),
    ("hubspot", &["hubspotid", "hubspotcontactid", "hsobjectid", "hubspotvid"]),
    ("mautic", &["mauticid", "mauticcontactid"]),
];

/// The records that are this lead, each with its system: `hubspot:123`.
pub(super) fn keys(profile: &v1::Profile) -> BTreeSet<String> {
    let id = |name: &str, value: &str| {
        if name == ANY { value.parse::<CrmId>().ok() } else { CrmId::new(system(name)?, value).ok() }
    };
    let ids = profile.attributes.iter().filter_map(|(name, said)| id(name, &said.value));
    ids.map(|id| id.as_str().to_owned()).collect()
}

/// The system whose ids an attribute of this name holds.
fn system(attribute: &str) -> Option<&'static str> {
    let plain = attribute.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SYSTEMS.iter().find(|(_, names)| names.contains(&plain.as_str())).map(|(system, _)| *system)
}
