//! What a file's rows become: behavior events, in the words of the API.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tasuki_domain::{CrmId, EmailAddress, InvalidCrmId, Timestamp};

use crate::cell;
use crate::charset::Charset;
use crate::column::Field;
use crate::fault::{Code, Fault};
use crate::instant::{NoInstant, Reading};
use crate::mapping::{BadPhones, Kind};
use crate::rows::Row;

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its header; of several with the same, the later ones have a number behind: "Memo (2)".
    pub header: String,
    /// What it becomes.
    pub field: Field,
}

/// All that decides what a row becomes. The same row becomes the same events whenever and however often it is read.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the rows are about.
    pub kind: Kind,
    /// What the trade show, seminar or survey is called, for rows that do not say.
    pub name: Option<String>,
    /// The columns, in their order.
    pub columns: Vec<Column>,
    /// How dates are read.
    pub reading: Reading,
    /// When it was, for rows that do not say.
    pub date: Option<Timestamp>,
    /// Nothing that was collected was later than this.
    pub not_after: Timestamp,
    /// What the cells are in.
    pub charset: Charset,
    /// What becomes of rows with a spoilt phone number.
    pub bad_phones: BadPhones,
}

/// Why a plan cannot work for any row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanFault {
    /// No column says who it is.
    #[error(
        "no column is an e-mail address (email), an id of the person (user-id, crm-id, salesforce-id, hubspot-id) or a phone number (phone), so nobody would be found"
    )]
    NoPerson,
    /// Nothing says when.
    #[error("no column is a date; say with --date when it was")]
    NoDate,
    /// Nothing says what.
    #[error("nothing says which {0} it was; say it with --name, or name a column event-name")]
    NoName(&'static str),
    /// Two columns are the same.
    #[error("the columns {0:?} and {1:?} are both {2}")]
    Twice(String, String, &'static str),
}

/// What a row became.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// In the words of `POST /v1/events`, each with an id that follows from the row.
    pub events: Vec<Value>,
    /// The person did not come: only who it is was kept.
    pub absent: bool,
    /// The phone number was left out.
    pub without_phone: bool,
}

/// Columns that say who it is.
const PERSON: [Field; 6] =
    [Field::Email, Field::UserId, Field::CrmId, Field::SalesforceId, Field::HubspotId, Field::Phone];

/// What the cells of a row say.
#[derive(Default)]
struct Said {
    email: Option<String>,
    user_id: Option<String>,
    crm_id: Option<String>,
    phone: Option<String>,
    without_phone: bool,
    attributes: Map<String, Value>,
    date: Option<(String, String)>,
    time: Option<String>,
    id: Option<String>,
    absent: bool,
    name: Option<String>,
    properties: Map<String, Value>,
}

/// The headers of a row, each once: of several with the same text the later ones get a number.
pub fn headers(row: &Row, charset: Charset) -> Option<Vec<String>> {
    let mut headers: Vec<String> = Vec::new();
    for cell in row.cells.as_ref()? {
        let text = charset.decode(cell)?;
        let text: Vec<&str> = cell::clean(&text).split_whitespace().collect();
        let text = text.join(" ");
        let mut header = text.clone();
        let mut number = 1;
        while !header.is_empty() && headers.contains(&header) {
            number += 1;
            header = format!("{text} ({number})");
        }
        headers.push(header);
    }
    let named = headers.iter().rposition(|header| !header.is_empty()).map_or(0, |last| last + 1);
    headers.truncate(named);
    Some(headers)
}

impl Plan {
    /// What would make every row useless.
    pub fn faults(&self) -> Vec<PlanFault> {
        let of = |field: Field| self.columns.iter().filter(move |column| column.field == field);
        let has = |field| of(field).next().is_some();
        let mut faults = Vec::new();
        for field in Field::ALL.iter().filter(|field| !field.may_repeat()) {
            let mut columns = of(*field);
            if let (Some(a), Some(b)) = (columns.next(), columns.next()) {
                faults.push(PlanFault::Twice(a.header.clone(), b.header.clone(), field.name()));
            }
        }
        if !PERSON.iter().any(|field| has(*field)) {
            faults.push(PlanFault::NoPerson);
        }
        if self.date.is_none() && !has(Field::Date) {
            faults.push(PlanFault::NoDate);
        }
        if self.kind != Kind::Contacts && self.name.is_none() && !has(Field::EventName) {
            faults.push(PlanFault::NoName(self.kind.name()));
        }
        faults
    }

    /// What a row becomes.
    ///
    /// # Errors
    ///
    /// If it cannot be used: what is wrong with it and where.
    pub fn events(&self, row: &Row) -> Result<Events, Fault> {
        let said = self.said(row)?;
        if said.email.is_none() && said.user_id.is_none() && said.crm_id.is_none() && said.phone.is_none() {
            let column = self.columns.iter().find(|column| PERSON.contains(&column.field));
            let problem = "says nobody: it needs an e-mail address, a user id, a CRM id or a phone number";
            return Err(Fault::new(Code::NoPerson, column, "", problem));
        }
        let occurred_at = self.occurred_at(&said)?;
        let name = said.name.clone().or_else(|| self.name.as_deref().map(|name| one_line(&cell::plain(name))));
        let name = name.unwrap_or_default();
        if name.is_empty() && self.kind != Kind::Contacts {
            let column = self.columns.iter().find(|column| column.field == Field::EventName);
            return Err(Fault::new(Code::NoName, column, "", "is empty, and --name says nothing either"));
        }
        let Said { email, user_id, crm_id, phone, mut attributes, properties, absent, id, without_phone, .. } = said;
        whole_name(&mut attributes);
        let did = self.kind != Kind::Contacts && !absent;
        let mut events = Vec::new();
        if !did || phone.is_some() || !attributes.is_empty() {
            let mut about = json!([email, user_id, phone, attributes, occurred_at]);
            // Ids of rows without it stay what they were.
            about.as_array_mut().into_iter().for_each(|parts| parts.extend(crm_id.clone().map(Value::from)));
            let about = about.to_string();
            let mut event =
                json!({"type": "lead_identified", "id": derived(&["who", &about]), "occurred_at": occurred_at});
            put(&mut event, [("email", email.clone()), ("user_id", user_id.clone()), ("crm_id", crm_id.clone())]);
            put(&mut event, [("phone", phone.clone())]);
            event["attributes"] = attributes.into();
            if !did && !properties.is_empty() {
                event["properties"] = properties.clone().into();
            }
            events.push(event);
        }
        if did {
            // A phone number names somebody only where nothing else does.
            let phone = phone.filter(|_| email.is_none() && user_id.is_none() && crm_id.is_none());
            let whose = match (&email, &user_id) {
                (None, None) => json!([crm_id, phone, occurred_at]),
                (_, _) => json!([email, user_id, occurred_at]),
            };
            let whose = whose.to_string();
            let what = match &id {
                Some(id) => [self.kind.name(), &name, "id", id],
                None => [self.kind.name(), &name, "who", &whose],
            };
            let (kind, data) = match self.kind {
                Kind::Survey => ("survey_answered", json!({ "survey": name })),
                Kind::TradeShow | Kind::Seminar | Kind::Contacts => {
                    ("event_attended", json!({ "event_name": name, "kind": self.kind.name() }))
                }
            };
            let mut event = json!({"type": kind, "id": derived(&what), "occurred_at": occurred_at, "data": data});
            put(&mut event, [("email", email), ("user_id", user_id), ("crm_id", crm_id), ("phone", phone)]);
            if !properties.is_empty() {
                event["properties"] = properties.into();
            }
            events.push(event);
        }
        Ok(Events { events, absent, without_phone })
    }

    fn said(&self, row: &Row) -> Result<Said, Fault> {
        let Some(cells) = &row.cells else {
            return Err(Fault::new(Code::OpenQuote, None, "", "opens a quote that is never closed"));
        };
        // Fewer are no fault: Excel leaves empty cells at the end of a row out.
        if cells.iter().skip(self.columns.len()).any(|cell| !cell.trim_ascii().is_empty()) {
            let problem = format!("has {} cells; the header has {}", cells.len(), self.columns.len());
            return Err(Fault::new(Code::Cells, None, "", problem));
        }
        let mut said = Said::default();
        for (column, cell) in self.columns.iter().zip(cells) {
            if column.field == Field::Ignore {
                continue;
            }
            let Some(text) = self.charset.decode(cell) else {
                let problem = format!("holds bytes that are no {}; --encoding chooses another", self.charset.name());
                return Err(Fault::new(Code::Undecodable, Some(column), &self.charset.show(cell), problem));
            };
            if text.contains('\0') {
                return Err(Fault::new(Code::Nul, Some(column), &text, "holds a NUL character"));
            }
            let text = cell::clean(&text);
            if !text.is_empty() {
                self.hear(&mut said, column, text)?;
            }
        }
        Ok(said)
    }

    fn hear(&self, said: &mut Said, column: &Column, text: &str) -> Result<(), Fault> {
        let is_error = cell::is_excel_error(text);
        if is_error && column.field != Field::Property {
            return Err(Fault::new(Code::ExcelError, Some(column), text, "is an error of a spreadsheet"));
        }
        let plain = cell::plain(text);
        match column.field {
            Field::Email => {
                let address = plain.parse::<EmailAddress>().map_err(|error| {
                    Fault::new(Code::Email, Some(column), text, format!("is no e-mail address: {error}"))
                })?;
                said.email = Some(address.as_str().to_owned());
            }
            Field::UserId => said.user_id = Some(plain),
            Field::CrmId => hear_crm_id(said, column, text, plain.parse())?,
            Field::SalesforceId => hear_crm_id(said, column, text, CrmId::new("salesforce", &plain))?,
            Field::HubspotId => hear_crm_id(said, column, text, CrmId::new("hubspot", &plain))?,
            Field::Phone => match (cell::phone(text), self.bad_phones) {
                (Ok(phone), _) => said.phone = Some(phone),
                (Err(_), BadPhones::LeaveOut) => said.without_phone = true,
                (Err(error), BadPhones::Refuse) => {
                    return Err(Fault::new(Code::Phone, Some(column), text, error.to_string()));
                }
            },
            Field::Date => said.date = Some((column.header.clone(), plain)),
            Field::Time => said.time = Some(plain),
            Field::Id => said.id = Some(plain),
            Field::EventName => said.name = Some(one_line(&plain)),
            Field::Status => match cell::attended(text) {
                Some(attended) => said.absent = !attended,
                None => {
                    let problem = "does not say whether the person came; known are 参加, 出席, ○, yes, attended; 欠席, ×, no, no-show";
                    return Err(Fault::new(Code::Status, Some(column), text, problem));
                }
            },
            Field::Property => {
                if !is_error {
                    said.properties.insert(column.header.clone(), text.into());
                }
            }
            Field::Ignore => {}
            Field::Name
            | Field::LastName
            | Field::FirstName
            | Field::Company
            | Field::Department
            | Field::Title
            | Field::Industry
            | Field::Employees
            | Field::Country
            | Field::Region
            | Field::Website => {
                if let Some(name) = column.field.attribute() {
                    said.attributes.insert(name.to_owned(), one_line(&plain).into());
                }
            }
        }
        Ok(())
    }

    fn occurred_at(&self, said: &Said) -> Result<String, Fault> {
        let dated = |field| self.columns.iter().find(|column| column.field == field);
        let at = match (&said.date, self.date) {
            (Some((_, date)), _) => self.reading.instant(date, said.time.as_deref()).map_err(|error| {
                let code = match error {
                    NoInstant::Form | NoInstant::ShortYear => Code::Date,
                    NoInstant::Order => Code::DateOrder,
                    NoInstant::Zone => Code::NoZone,
                };
                let found = [Some(date.as_str()), said.time.as_deref()].into_iter().flatten().collect::<Vec<_>>();
                Fault::new(code, dated(Field::Date), &found.join(" "), error.to_string())
            })?,
            (None, Some(date)) => date,
            (None, None) => {
                return Err(Fault::new(Code::NoDate, dated(Field::Date), "", "is empty; say with --date when it was"));
            }
        };
        if at > self.not_after {
            let found = said.date.as_ref().map_or("", |(_, date)| date.as_str());
            return Err(Fault::new(Code::Future, dated(Field::Date), found, "lies in the future"));
        }
        Ok(at.to_string())
    }
}

/// Of several the first is the person's: an event has one.
fn hear_crm_id(said: &mut Said, column: &Column, text: &str, id: Result<CrmId, InvalidCrmId>) -> Result<(), Fault> {
    let id =
        id.map_err(|error| Fault::new(Code::CrmId, Some(column), text, format!("is no id of a CRM system: {error}")))?;
    said.crm_id.get_or_insert_with(|| id.as_str().to_owned());
    Ok(())
}

/// A Japanese name is whole as family name and given name in this order; of others the parts say enough.
fn whole_name(attributes: &mut Map<String, Value>) {
    let part = |name: &str| attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    let (None, Some(last), Some(first)) = (part("name"), part("last_name"), part("first_name")) else { return };
    // CJK, kana and Hangul begin here.
    if last.chars().any(|next| next >= '\u{2e80}') {
        attributes.insert("name".to_owned(), format!("{last} {first}").into());
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn put<const N: usize>(event: &mut Value, fields: [(&str, Option<String>); N]) {
    for (name, value) in fields {
        if let Some(value) = value {
            event[name] = value.into();
        }
    }
}

/// An id that follows from these parts.
fn derived(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let hex: String = digest.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("import:{hex}")
}
