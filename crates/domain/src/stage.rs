//! How far a lead has come.

use std::fmt;
use std::str::FromStr;

/// Where a lead stands. The first seven follow one another; the last three stand aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Known by an identifier, has shown no interest yet.
    Subscriber,
    /// Has shown interest.
    Lead,
    /// Marketing Qualified Lead: marketing judges it fit to hand to sales.
    Mql,
    /// Sales Accepted Lead: sales takes it.
    Sal,
    /// Sales Qualified Lead: sales confirms budget, authority, need and timing.
    Sql,
    /// There is a deal to win.
    Opportunity,
    /// The deal is won.
    Customer,
    /// Back with marketing, may qualify again.
    Recycled,
    /// Not to be handed over again.
    Disqualified,
    /// The deal is lost.
    Lost,
}

/// The text names no stage.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no such stage; allowed are Subscriber, Lead, MQL, SAL, SQL, Opportunity, Customer, Recycled, Disqualified, Lost"
)]
pub struct UnknownStage;

impl Stage {
    /// Every stage, in the order of the funnel, those aside last.
    pub const ALL: [Self; 10] = [
        Self::Subscriber,
        Self::Lead,
        Self::Mql,
        Self::Sal,
        Self::Sql,
        Self::Opportunity,
        Self::Customer,
        Self::Recycled,
        Self::Disqualified,
        Self::Lost,
    ];

    /// The stage's name: the field's own abbreviations in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Subscriber => "Subscriber",
            Self::Lead => "Lead",
            Self::Mql => "MQL",
            Self::Sal => "SAL",
            Self::Sql => "SQL",
            Self::Opportunity => "Opportunity",
            Self::Customer => "Customer",
            Self::Recycled => "Recycled",
            Self::Disqualified => "Disqualified",
            Self::Lost => "Lost",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Stage {
    type Err = UnknownStage;
    fn from_str(text: &str) -> Result<Self, UnknownStage> {
        Self::ALL.into_iter().find(|stage| stage.name().eq_ignore_ascii_case(text)).ok_or(UnknownStage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_whatever_their_case() {
        for stage in Stage::ALL {
            assert_eq!(stage.name().to_lowercase().parse(), Ok(stage));
        }
        assert_eq!("MQLs".parse::<Stage>(), Err(UnknownStage));
    }
}
