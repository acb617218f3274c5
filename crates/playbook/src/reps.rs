//! The reps file: who in sales gets handoffs, by pool.
//!
//! It stands beside the playbook and not in it: people come, go and are absent without a new agreement between
//! marketing and sales. `reps.example.toml` shows every key.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::Deserialize;
use tasuki_domain::EmailAddress;
use toml::Spanned;

use crate::Faults;
use crate::fault::Reading;

/// Every pool of the file, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reps {
    pools: BTreeMap<String, Pool>,
}

/// The reps that a handoff may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// As the playbook's routes name it.
    pub name: String,
    /// In the order of the file; at least one. Ids are unique within the pool.
    pub reps: Vec<Rep>,
}

/// A sales representative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rep {
    /// Short and lasting; stands in events.
    pub id: String,
    /// As customers and colleagues know the person.
    pub name: String,
    /// Where the person can be reached.
    pub email: EmailAddress,
    /// How many of the turns, against the others of the pool: 1 to 100.
    pub weight: u32,
    /// Most handoffs that wait for this rep's verdict at a time, 1 to 10,000; `None` is no limit.
    pub capacity: Option<u32>,
    /// Takes no new leads at present.
    pub absent: bool,
}

const WEIGHTS: RangeInclusive<u32> = 1..=100;
const CAPACITIES: RangeInclusive<u32> = 1..=10_000;

impl Reps {
    /// A file to begin with: one pool, `inside-sales`, and three people who do not exist.
    pub const EXAMPLE: &'static str = include_str!("../reps.example.toml");

    /// [`Reps::EXAMPLE`], read.
    pub fn example() -> Self {
        Self::parse(Self::EXAMPLE).expect("a test reads the example")
    }

    /// Reads a reps file.
    ///
    /// # Errors
    ///
    /// [`Faults`]: the place of each fault, what was found there and what is allowed. Where the text is not TOML of this
    /// form, the first one only: what follows it cannot be told apart.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let mut file = Reader { faults: Reading::new(text), people: BTreeMap::new() };
        let pools = file.read();
        if file.faults.is_clean() { Ok(Self { pools }) } else { Err(file.faults.into_faults()) }
    }

    /// The pool of this name.
    pub fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.get(name)
    }

    /// Every pool, by name.
    pub fn pools(&self) -> impl Iterator<Item = &Pool> {
        self.pools.values()
    }
}

/// The file as it is written, before its values are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    pools: BTreeMap<Spanned<String>, RawPool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPool {
    reps: Spanned<Vec<RawRep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRep {
    id: Spanned<String>,
    name: Spanned<String>,
    email: Spanned<String>,
    weight: Option<Spanned<i64>>,
    capacity: Option<Spanned<i64>>,
    #[serde(default)]
    absent: bool,
}

struct Reader<'t> {
    faults: Reading<'t>,
    /// Who has an id: in every pool it must be the same person.
    people: BTreeMap<String, (String, EmailAddress)>,
}

impl Reader<'_> {
    fn read(&mut self) -> BTreeMap<String, Pool> {
        let file: RawFile = match toml::from_str(self.faults.text) {
            Ok(file) => file,
            Err(error) => {
                self.faults.toml(&error);
                return BTreeMap::new();
            }
        };
        if file.pools.is_empty() {
            let problem = "there is no pool; write at least one [[pools.NAME.reps]] with id, name and email";
            self.faults.fault(&(0..0), problem);
        }
        file.pools.into_iter().map(|(name, pool)| self.pool(&name, pool)).collect()
    }

    fn pool(&mut self, name: &Spanned<String>, raw: RawPool) -> (String, Pool) {
        self.word(name, "the name of a pool");
        if raw.reps.get_ref().is_empty() {
            self.faults.fault(&raw.reps.span(), "the pool has no reps; it needs at least one with id, name and email");
        }
        let mut reps: Vec<Rep> = Vec::new();
        for raw in raw.reps.into_inner() {
            let at = raw.id.span();
            if let Some(rep) = self.rep(raw) {
                if reps.iter().any(|earlier| earlier.id == rep.id) {
                    self.faults
                        .fault(&at, format!("the id \"{}\" stands twice in this pool; each rep has its own", rep.id));
                }
                reps.push(rep);
            }
        }
        let name = name.get_ref().clone();
        (name.clone(), Pool { name, reps })
    }

    fn rep(&mut self, raw: RawRep) -> Option<Rep> {
        self.word(&raw.id, "the id of a rep");
        let name = raw.name.get_ref().trim().to_owned();
        if name.is_empty() || name.chars().any(char::is_control) {
            self.faults.fault(&raw.name.span(), "the name is empty or has control characters; write the person's name");
        }
        let weight = raw.weight.map_or(Some(1), |weight| self.number(&weight, "weight", &WEIGHTS));
        let capacity = match raw.capacity {
            None => Some(None),
            Some(capacity) => self.number(&capacity, "capacity", &CAPACITIES).map(Some),
        };
        let email = match raw.email.get_ref().parse::<EmailAddress>() {
            Ok(email) => email,
            Err(error) => {
                self.faults.fault(&raw.email.span(), error.to_string());
                return None;
            }
        };
        let id = raw.id.get_ref().clone();
        let person = (name.clone(), email.clone());
        if self.people.entry(id.clone()).or_insert_with(|| person.clone()) != &person {
            let problem = format!("the id \"{id}\" is another person's in another place; one id is one person");
            self.faults.fault(&raw.id.span(), problem);
        }
        Some(Rep { id, name, email, weight: weight?, capacity: capacity?, absent: raw.absent })
    }

    /// Names and ids are keys of the log and parts of addresses: nothing in them needs quoting.
    fn word(&mut self, found: &Spanned<String>, what: &str) {
        let text = found.get_ref();
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            let problem = format!("{text:?} is not {what}; allowed are 1 to 64 of a-z, A-Z, 0-9, \"-\", \"_\", \".\"");
            self.faults.fault(&found.span(), problem);
        }
    }

    fn number(&mut self, found: &Spanned<i64>, what: &str, allowed: &RangeInclusive<u32>) -> Option<u32> {
        let number = u32::try_from(*found.get_ref()).ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let (from, to) = (allowed.start(), allowed.end());
            let problem = format!("{what} is {}; allowed are whole numbers from {from} to {to}", found.get_ref());
            self.faults.fault(&found.span(), problem);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        Reps::parse(text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_is_read() {
        let reps = Reps::example();
        let pool = reps.pool("inside-sales").unwrap();
        assert_eq!(reps.pools().collect::<Vec<_>>(), [pool]);
        let expected = |id: &str, name: &str, email: &str, weight, capacity| Rep {
            id: id.into(),
            name: name.into(),
            email: email.parse().unwrap(),
            weight,
            capacity,
            absent: false,
        };
        assert_eq!(
            pool.reps,
            [
                expected("sato", "Sato Yuki", "yuki.sato@sales.example.com", 2, None),
                expected("mori", "Mori Haruka", "haruka.mori@sales.example.com", 1, None),
                expected("weber", "Jonas Weber", "jonas.weber@sales.example.org", 1, Some(50)),
            ]
        );
        assert_eq!(reps.pool("field-sales"), None);
    }

    #[test]
    fn a_rep_may_be_in_several_pools_and_absent() {
        let text = r#"
pools.a.reps = [{ id = "x", name = "X", email = "x@example.com", absent = true }]
pools.b.reps = [{ id = "x", name = "X", email = "X@EXAMPLE.com", weight = 3 }]
"#;
        let reps = Reps::parse(text).unwrap();
        let seen: Vec<_> = reps
            .pools()
            .flat_map(|pool| pool.reps.iter().map(|rep| (pool.name.as_str(), rep.absent, rep.weight)))
            .collect();
        assert_eq!(seen, [("a", true, 1), ("b", false, 3)]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_what_is_allowed() {
        let text = "[[pools.a.reps]]\nid = \"x\"\nname = \"X\"\nemail = \"x@example.com\"\nwieght = 2\n";
        assert_eq!(
            faults(text),
            ["line 5, column 1: unknown field `wieght`, expected one of `id`, `name`, `email`, `weight`, `capacity`, \
              `absent`"]
        );
        assert_eq!(faults("[teams]\n"), ["line 1, column 2: unknown field `teams`, expected `pools`"]);
    }

    #[test]
    fn a_missing_key_and_a_wrong_type_are_named() {
        assert_eq!(faults("[[pools.a.reps]]\nid = \"x\"\nname = \"X\"\n"), ["line 1, column 1: missing field `email`"]);
        assert_eq!(
            faults("[[pools.a.reps]]\nid = 7\nname = \"X\"\nemail = \"x@example.com\"\n"),
            ["line 2, column 6: invalid type: integer `7`, expected a string"]
        );
    }

    #[test]
    fn every_wrong_value_is_named_at_once() {
        let text = r#"
[[pools."in side".reps]]
id = "a b"
name = " "
email = "nobody"
weight = 0
capacity = -1
[[pools.x.reps]]
id = "sato"
name = "Sato"
email = "sato@example.com"
[[pools.x.reps]]
id = "sato"
name = "Suzuki"
email = "sato@example.com"
"#;
        assert_eq!(
            faults(text),
            [
                r#"line 2, column 9: "in side" is not the name of a pool; allowed are 1 to 64 of a-z, A-Z, 0-9, "-", "_", ".""#,
                r#"line 3, column 6: "a b" is not the id of a rep; allowed are 1 to 64 of a-z, A-Z, 0-9, "-", "_", ".""#,
                "line 4, column 8: the name is empty or has control characters; write the person's name",
                "line 5, column 9: an e-mail address has one \"@\" with something before and after it",
                "line 6, column 10: weight is 0; allowed are whole numbers from 1 to 100",
                "line 7, column 12: capacity is -1; allowed are whole numbers from 1 to 10000",
                r#"line 13, column 6: the id "sato" is another person's in another place; one id is one person"#,
                r#"line 13, column 6: the id "sato" stands twice in this pool; each rep has its own"#,
            ]
        );
    }

    #[test]
    fn a_file_without_anybody_is_refused() {
        assert_eq!(
            faults("# later\n"),
            ["line 1, column 1: there is no pool; write at least one [[pools.NAME.reps]] with id, name and email"]
        );
        assert_eq!(
            faults("pools.a.reps = []\n"),
            ["line 1, column 16: the pool has no reps; it needs at least one with id, name and email"]
        );
    }
}
