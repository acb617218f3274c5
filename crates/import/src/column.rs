//! What the columns of a file are: said by a mapping, or guessed from their headers.

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident = $text:literal, [$($header:literal),* $(,)?];)*) => {
        /// What a column becomes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Field { $($(#[$doc])* $name,)* }

        impl Field {
            /// Every field.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// As mappings call it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Headers it is guessed from, without spaces, signs and case.
            const fn headers(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($header),*],)* }
            }
        }
    };
}

fields! {
    /// The person's e-mail address.
    Email = "email", [
        "email", "emailaddress", "mail", "mailaddress", "emailwork", "workemail", "businessemail", "eメール", "eメールアドレス",
        "メールアドレス", "メール", "電子メール", "電子メールアドレス", "emailアドレス", "mailアドレス", "会社メールアドレス", "pcメールアドレス", "連絡先メールアドレス",
    ];
    /// The person, as your own systems know them.
    UserId = "user-id", ["userid", "customerid", "contactid", "memberid", "会員id", "会員番号", "顧客id", "顧客番号"];
    /// The person's record in a CRM system, with the system before it: "dynamics:8f1c".
    CrmId = "crm-id", ["crmid"];
    /// The person's id in Salesforce.
    SalesforceId = "salesforce-id", ["salesforceid", "salesforcecontactid", "salesforceleadid", "sfid", "sfdcid"];
    /// The person's id in HubSpot.
    HubspotId = "hubspot-id", ["hubspotid", "hubspotcontactid", "recordidcontact", "hsobjectid"];
    /// Family name and given name together.
    Name = "name", ["name", "fullname", "attendee", "attendeename", "contactname", "氏名", "名前", "お名前", "ご芳名", "担当者名", "ご担当者名", "来場者名", "参加者名", "担当者"];
    /// Family name.
    LastName = "last-name", ["lastname", "surname", "familyname", "姓", "名字", "苗字", "氏名姓", "お名前姓"];
    /// Given name.
    FirstName = "first-name", ["firstname", "givenname", "名", "氏名名", "お名前名"];
    /// The company.
    Company = "company", ["company", "companyname", "organization", "organisation", "account", "accountname", "employer", "会社名", "会社", "企業名", "貴社名", "御社名", "勤務先", "勤務先名", "法人名", "所属企業", "団体名", "会社名団体名", "法人団体名"];
    /// The department.
    Department = "department", ["department", "division", "section", "部署", "部署名", "所属部署", "所属", "部門", "部門名", "部課名", "所属部署名"];
    /// The title.
    Title = "title", ["title", "jobtitle", "position", "role", "役職", "役職名", "肩書", "肩書き", "職位"];
    /// The phone number.
    Phone = "phone", ["phone", "phonenumber", "tel", "telephone", "mobile", "mobilephone", "cell", "cellphone", "businessphone", "電話番号", "電話", "tel番号", "会社電話番号", "携帯電話", "携帯番号", "携帯電話番号", "連絡先電話番号", "代表電話", "ご連絡先"];
    /// The industry.
    Industry = "industry", ["industry", "sector", "業種", "業界", "業種名"];
    /// How many people the company employs.
    Employees = "employees", ["employees", "employeecount", "numberofemployees", "companysize", "従業員数", "社員数", "従業員規模", "会社規模", "企業規模"];
    /// The country.
    Country = "country", ["country", "countryname", "countryregion", "国", "国名"];
    /// Prefecture, state, region.
    Region = "region", ["region", "state", "stateprovince", "prefecture", "province", "都道府県", "都道府県名"];
    /// The company's site.
    Website = "website", ["website", "websiteurl", "companywebsite", "homepage", "url", "会社url", "ホームページ", "webサイト", "サイトurl"];
    /// When it was: a date, with its time if it has one.
    Date = "date", [
        "date", "datetime", "timestamp", "occurredat", "visitedat", "attendedat", "attendancedate", "visitdate", "visittime", "scandate", "scannedat", "scantime",
        "jointime", "joinedat", "submittedat", "submissiondate", "responsedate", "eventdate", "completedat", "answeredat", "createdat", "createddate", "registeredat", "checkintime", "checkedinat", "checkin",
        "来場日時", "来場日", "訪問日時", "訪問日", "参加日時", "参加日", "受講日", "受講日時", "入室日時", "受付日時", "受付日", "回答日時", "回答日", "登録日時", "登録日", "作成日時", "作成日", "取得日",
        "申込日時", "申込日", "申し込み日時", "日時", "日付", "名刺交換日", "開催日", "開催日時", "タイムスタンプ", "読取日時", "スキャン日時",
    ];
    /// The time, where the date stands in a column of its own.
    Time = "time", ["time", "時刻", "時間", "来場時刻", "来場時間", "訪問時刻", "受付時刻", "参加時刻", "入室時刻", "回答時刻"];
    /// The row's own id: of the card, the registration, the answer.
    Id = "id", ["id", "rowid", "cardid", "badgeid", "badgenumber", "registrationid", "responseid", "respondentid", "submissionid", "名刺id", "受付番号", "受付id", "申込番号", "登録番号", "回答id", "回答番号", "来場者番号", "バーコード"];
    /// Whether the person came.
    Status = "status", ["attended", "attendance", "attendancestatus", "attendeestatus", "出欠", "出席", "参加", "参加状況", "出席状況", "出欠状況", "来場", "受講状況", "参加ステータス", "来場ステータス", "出欠ステータス"];
    /// Which trade show, seminar or survey.
    EventName = "event-name", ["event", "eventname", "seminar", "seminarname", "seminartitle", "webinar", "webinarname", "webinartitle", "survey", "surveyname", "surveytitle", "exhibition", "イベント", "イベント名", "セミナー", "セミナー名", "ウェビナー名", "展示会", "展示会名", "アンケート名", "講座名"];
    /// Kept under its header with the event: an answer, a note.
    Property = "property", [];
    /// Left out.
    Ignore = "ignore", ["no", "num", "number", "rownumber", "連番", "通番", "項番", "行番号"];
}

impl Field {
    /// Whether several columns may be it.
    pub const fn may_repeat(self) -> bool {
        matches!(self, Self::Property | Self::Ignore)
    }

    /// As attributes of a person call it, if it is one.
    pub(crate) const fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Name => Some("name"),
            Self::LastName => Some("last_name"),
            Self::FirstName => Some("first_name"),
            Self::Company => Some("company"),
            Self::Department => Some("department"),
            Self::Title => Some("title"),
            Self::Industry => Some("industry"),
            Self::Employees => Some("employees"),
            Self::Country => Some("country"),
            Self::Region => Some("region"),
            Self::Website => Some("website"),
            Self::Email
            | Self::UserId
            | Self::CrmId
            | Self::SalesforceId
            | Self::HubspotId
            | Self::Phone
            | Self::Date
            | Self::Time
            | Self::Id
            | Self::Status
            | Self::EventName
            | Self::Property
            | Self::Ignore => None,
        }
    }
}

/// What a column becomes when only its header is known.
pub fn guess(header: &str) -> Field {
    let plain = plain(header);
    if plain.is_empty() {
        return Field::Ignore;
    }
    let by_header = |field: &&Field| field.headers().contains(&plain.as_str());
    Field::ALL.iter().find(by_header).copied().unwrap_or(Field::Property)
}

/// What the columns become when only their headers are known. Of two that could be the same field the first is it; the
/// other is kept as a property.
pub fn guess_all(headers: &[String]) -> Vec<Field> {
    let mut taken = Vec::new();
    let mut choose = |header: &String| {
        let field = guess(header);
        if taken.contains(&field) && !field.may_repeat() {
            return Field::Property;
        }
        taken.push(field);
        field
    };
    headers.iter().map(&mut choose).collect()
}

/// A header without what people vary: width, case, spaces, signs, what stands in brackets, "(必須)".
fn plain(header: &str) -> String {
    let mut depth = 0_usize;
    let mut kept = String::new();
    for character in header.nfkc() {
        match character {
            '(' | '[' | '【' | '「' | '〔' => depth += 1,
            ')' | ']' | '】' | '」' | '〕' => depth = depth.saturating_sub(1),
            _ if depth == 0 && character.is_alphanumeric() => kept.extend(character.to_lowercase()),
            _ => {}
        }
    }
    kept.trim_end_matches("必須").trim_end_matches("任意").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_in_japanese_and_english_are_known_however_they_are_written() {
        for (header, field) in [
            ("メールアドレス", Field::Email),
            ("ﾒｰﾙｱﾄﾞﾚｽ（必須）", Field::Email),
            ("E-mail Address", Field::Email),
            ("会社名", Field::Company),
            ("Company_Name", Field::Company),
            ("部署", Field::Department),
            ("役職", Field::Title),
            ("氏 名", Field::Name),
            ("姓", Field::LastName),
            ("名", Field::FirstName),
            ("電話番号【半角】", Field::Phone),
            ("来場日時", Field::Date),
            ("出欠", Field::Status),
            ("Registration ID", Field::Id),
            ("Record ID - Contact", Field::HubspotId),
            ("フリガナ", Field::Property),
            ("導入予定時期", Field::Property),
            ("", Field::Ignore),
        ] {
            assert_eq!(guess(header), field, "{header}");
        }
    }

    #[test]
    fn of_two_columns_that_could_be_the_same_the_first_is_it() {
        let headers = ["電話番号", "携帯電話", "メモ", "備考"].map(str::to_owned);
        assert_eq!(guess_all(&headers), [Field::Phone, Field::Property, Field::Property, Field::Property]);
    }

    #[test]
    fn no_header_is_two_fields() {
        let mut seen = std::collections::BTreeMap::new();
        for field in Field::ALL {
            for header in field.headers() {
                assert_eq!(seen.insert(*header, *field), None, "{header}");
                assert_eq!(plain(header), *header, "could never be found");
            }
        }
    }
}
