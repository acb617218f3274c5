//! What routes may ask of the account of a lead, and what leads are told of it for that.
//!
//! A condition compares what an account has with numbers, and with nothing else. So it is enough to know, of the numbers
//! that the routes name, which are reached: with the greatest of them in place of what the account has, every comparison
//! turns out the same. That is all that leads are told, and only when it changes.

use tasuki_domain::Millipoints;

/// Most people of an account that count, and so the most that it has of them.
pub const MOST_PEOPLE: u32 = 1_000;

/// Something that a route may ask of the account of a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountMeasure {
    /// How many departments its engaged people come from.
    Departments,
    /// How many engaged people it has.
    People,
    /// Their engagement together, up to the cap.
    Engagement,
}

impl AccountMeasure {
    /// Every measure.
    pub const ALL: [Self; 3] = [Self::Departments, Self::People, Self::Engagement];

    /// As a route asks for it: `account.departments`.
    pub const fn written(self) -> &'static str {
        match self {
            Self::Departments => "account.departments",
            Self::People => "account.people",
            Self::Engagement => "account.engagement",
        }
    }

    /// As the fact is named in events. Engagement is in millipoints there.
    pub const fn fact(self) -> &'static str {
        match self {
            Self::Departments | Self::People => self.written(),
            Self::Engagement => "account.engagement_mp",
        }
    }

    pub(crate) fn of_field(field: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.written().strip_prefix("account.") == Some(field))
    }

    /// The name that stands for it in a compiled condition.
    pub(crate) const fn variable(self) -> &'static str {
        match self {
            Self::Departments => "account_departments",
            Self::People => "account_people",
            Self::Engagement => "account_engagement",
        }
    }

    const fn place(self) -> usize {
        match self {
            Self::Departments => 0,
            Self::People => 1,
            Self::Engagement => 2,
        }
    }
}

/// What an account has, as far as routes may ask for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountFacts {
    /// Departments that engaged people come from.
    pub departments: u32,
    /// Engaged people.
    pub people: u32,
    /// Their engagement together, up to the cap of the playbook.
    pub engagement: Millipoints,
}

impl AccountFacts {
    /// One of them as a number: a count, or millipoints.
    pub fn value(&self, measure: AccountMeasure) -> i64 {
        match measure {
            AccountMeasure::Departments => self.departments.into(),
            AccountMeasure::People => self.people.into(),
            AccountMeasure::Engagement => self.engagement.get(),
        }
    }

    /// The same with one of them replaced; a count is never below 0.
    #[must_use]
    pub fn with(mut self, measure: AccountMeasure, value: i64) -> Self {
        let count = || u32::try_from(value.max(0)).unwrap_or(u32::MAX);
        match measure {
            AccountMeasure::Departments => self.departments = count(),
            AccountMeasure::People => self.people = count(),
            AccountMeasure::Engagement => self.engagement = Millipoints::new(value),
        }
        self
    }
}

/// What conditions ask of accounts: for each measure the numbers at which one of them turns, ascending and each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountAsked([Vec<i64>; 3]);

impl AccountAsked {
    /// Nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.measures().next().is_none()
    }

    /// What is asked for.
    pub fn measures(&self) -> impl Iterator<Item = AccountMeasure> {
        AccountMeasure::ALL.into_iter().filter(|measure| !self.turns_at(*measure).is_empty())
    }

    /// The numbers at which some condition turns: it matters whether the account has at least so much.
    pub fn turns_at(&self, measure: AccountMeasure) -> &[i64] {
        &self.0[measure.place()]
    }

    /// What is to be known of an account that has this: of each measure the greatest number asked about that is reached, and
    /// 0 if none is. Whatever is asked holds for the one as for the other.
    pub fn reached(&self, account: &AccountFacts) -> AccountFacts {
        AccountMeasure::ALL.into_iter().fold(AccountFacts::default(), |reached, measure| {
            let has = account.value(measure);
            let below = self.turns_at(measure).iter().rev().find(|at| **at <= has);
            reached.with(measure, below.copied().unwrap_or(0))
        })
    }

    pub(crate) fn add(&mut self, measure: AccountMeasure, at: i64) {
        let numbers = &mut self.0[measure.place()];
        if let Err(place) = numbers.binary_search(&at) {
            numbers.insert(place, at);
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for measure in AccountMeasure::ALL {
            other.turns_at(measure).iter().for_each(|at| self.add(measure, *at));
        }
    }
}
