//! Conditions of routes: CEL over the two axes and over facts about signals.
//!
//! Only that part of CEL is allowed whose every result is known to be true or false, and of which can be said when
//! time alone will change it. So a condition is checked when it is read, never fails when it is evaluated, and scoring
//! knows which facts to compute and which lines of engagement matter.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, LiteralValue, operators};
use cel::common::types::CelDouble;
use cel::{Env, IdedExpr, Program, Value};
use tasuki_domain::Millipoints;

use crate::account::{AccountAsked, AccountFacts, AccountMeasure, MOST_PEOPLE};
use crate::fault::Reading;
use crate::model::{FactQuery, facts};
use crate::value::{Length, Points};

/// A condition, ready to be evaluated.
pub struct Condition {
    text: String,
    expression: IdedExpr,
    asked: Asked,
    env: Arc<Env>,
}

/// What a condition looks at, and at which numbers it may turn; each ascending and once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// As indices into the facts of the playbook.
    pub(crate) facts: Vec<usize>,
    /// Whole numbers that counts are compared with.
    pub(crate) counts: Vec<i64>,
    /// What engagement is compared with.
    pub(crate) engagement: Vec<Millipoints>,
    /// What fit is compared with.
    pub(crate) fit: Vec<Millipoints>,
    /// What the account is asked for.
    pub(crate) account: AccountAsked,
}

impl Asked {
    fn in_order(mut self) -> Self {
        self.facts.sort_unstable();
        self.facts.dedup();
        self.counts.sort_unstable();
        self.counts.dedup();
        for numbers in [&mut self.engagement, &mut self.fit] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        self
    }
}

impl Condition {
    /// As it is written in the playbook.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same without line breaks and more spaces than it needs.
    pub(crate) fn in_one_line(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Whether it holds. `facts` are those of the playbook ([`crate::Playbook::facts`]), in that order.
    pub(crate) fn holds(
        &self,
        engagement: Millipoints,
        fit: Millipoints,
        facts: &[i64],
        account: &AccountFacts,
    ) -> bool {
        let mut context = cel::Context::with_env(Arc::clone(&self.env));
        context.add_variable_from_value(ENGAGEMENT, as_points(engagement));
        context.add_variable_from_value(FIT, as_points(fit));
        for &index in &self.asked.facts {
            context.add_variable_from_value(variable(index), facts.get(index).copied().unwrap_or(0));
        }
        for measure in self.asked.account.measures() {
            match measure {
                AccountMeasure::Departments | AccountMeasure::People => {
                    context.add_variable_from_value(measure.variable(), account.value(measure));
                }
                AccountMeasure::Engagement => {
                    context.add_variable_from_value(measure.variable(), as_points(account.engagement));
                }
            }
        }
        context.resolve(&self.expression) == Ok(Value::Bool(true))
    }

    /// The facts that it asks for, as indices into [`crate::Playbook::facts`].
    pub fn asks_for(&self) -> &[usize] {
        &self.asked.facts
    }

    /// What it asks of the account of the lead.
    pub fn asks_of_account(&self) -> &AccountAsked {
        &self.asked.account
    }

    pub(crate) fn asked(&self) -> &Asked {
        &self.asked
    }
}

const ENGAGEMENT: &str = "engagement";
const FIT: &str = "fit";
const ACCOUNT: &str = "account";
const ALLOWED: &str = "allowed are `engagement` and `fit`, each compared with a number, counts like \
                       `signals.within(\"demo-request\", \"30d\")`, and `account.departments`, `account.people` and \
                       `account.engagement`, each compared with a number, joined by &&, || and !";

/// In points, for comparison with what a person wrote: a thousandth divided by a thousand is the very double that its
/// decimal notation reads as.
fn as_points(amount: Millipoints) -> f64 {
    let whole = i32::try_from(amount.get()).unwrap_or(i32::MAX);
    f64::from(whole) / 1_000.0
}

fn variable(fact: usize) -> String {
    format!("fact_{fact}")
}

/// What conditions may refer to, and what they were found to need.
pub(crate) struct Compiler<'r> {
    pub(crate) env: Arc<Env>,
    /// Names of the engagement rules, in their order.
    pub(crate) rules: &'r [&'r str],
    pub(crate) engagement_cap: Millipoints,
    pub(crate) fit_cap: Millipoints,
    pub(crate) account_cap: Millipoints,
    pub(crate) facts: Vec<FactQuery>,
    /// Amounts of engagement at which some condition turns.
    pub(crate) boundaries: Vec<Millipoints>,
    /// What conditions ask of accounts.
    pub(crate) account: AccountAsked,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Engagement,
    Fit,
}

/// What an expression gives.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Truth,
    Axis(Axis),
    Account(AccountMeasure),
    Count,
    WholeNumber(i64),
    Number(f64),
}

struct Problem {
    /// Of the expression.
    id: u64,
    text: String,
}

impl Compiler<'_> {
    /// Checks and compiles a condition; notes the faults, placed within `span` of the file.
    pub(crate) fn compile(&mut self, reading: &mut Reading<'_>, span: &Range<usize>, text: &str) -> Option<Condition> {
        let place = Place::of(reading.text, span, text);
        let program = match Program::compile(text) {
            Ok(program) => program,
            Err(errors) => {
                for error in errors.errors {
                    reading.fault(&place.line_and_column(error.pos), format!("not a condition in CEL: {}", error.msg));
                }
                return None;
            }
        };
        let mut expression = program.expression().clone();
        let mut asked = Asked::default();
        match self.check(&mut expression, &mut asked) {
            Ok(Kind::Truth) => {
                let asked = asked.in_order();
                self.account.add_all(&asked.account);
                Some(Condition { text: text.to_owned(), expression, asked, env: Arc::clone(&self.env) })
            }
            Ok(Kind::Axis(_) | Kind::Account(_) | Kind::Count | Kind::WholeNumber(_) | Kind::Number(_)) => {
                reading.fault(span, format!("the condition is neither true nor false; {ALLOWED}"));
                None
            }
            Err(problem) => {
                let offset = program.source_info().offset_for(problem.id).map_or(0, |(start, _)| start);
                reading.fault(&place.character(offset), problem.text);
                None
            }
        }
    }

    /// Says what an expression gives, and puts a variable in place of each fact.
    fn check(&mut self, expression: &mut IdedExpr, asked: &mut Asked) -> Result<Kind, Problem> {
        let id = expression.id;
        let refuse = |text: String| Err(Problem { id, text });
        let kind = match &mut expression.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Kind::Truth,
            Expr::Literal(LiteralValue::Int(number)) => Kind::WholeNumber(*number.inner()),
            Expr::Literal(LiteralValue::Double(number)) => Kind::Number(*number.inner()),
            Expr::Ident(name) if name == ENGAGEMENT => Kind::Axis(Axis::Engagement),
            Expr::Ident(name) if name == FIT => Kind::Axis(Axis::Fit),
            Expr::Ident(name) => return refuse(format!("`{name}` is not known here; {ALLOWED}")),
            Expr::Select(select) if select.operand.expr == Expr::Ident(ACCOUNT.to_owned()) && !select.test => {
                let Some(measure) = AccountMeasure::of_field(&select.field) else {
                    let asked = &select.field;
                    return refuse(format!("of an account `{asked}` is not known here; {ALLOWED}"));
                };
                expression.expr = Expr::Ident(measure.variable().to_owned());
                Kind::Account(measure)
            }
            Expr::Call(call) if call.target.is_some() => {
                let fact = self.fact(call).map_err(|text| Problem { id, text })?;
                asked.facts.push(fact);
                expression.expr = Expr::Ident(variable(fact));
                Kind::Count
            }
            Expr::Call(call) => match call.func_name.as_str() {
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
                    for part in &mut call.args {
                        let (id, kind) = (part.id, self.check(part, asked)?);
                        if kind != Kind::Truth {
                            return Err(Problem { id, text: format!("this is neither true nor false; {ALLOWED}") });
                        }
                    }
                    Kind::Truth
                }
                operators::ADD => {
                    for part in &mut call.args {
                        let (id, kind) = (part.id, self.check(part, asked)?);
                        if kind != Kind::Count {
                            return Err(Problem { id, text: format!("only counts can be added; {ALLOWED}") });
                        }
                    }
                    Kind::Count
                }
                _ => return self.comparison(id, call, asked),
            },
            Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::List(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => return refuse(format!("this part of CEL is not used in playbooks; {ALLOWED}")),
        };
        Ok(kind)
    }

    fn comparison(&mut self, id: u64, call: &mut CallExpr, asked: &mut Asked) -> Result<Kind, Problem> {
        let operator = call.func_name.clone();
        let comparing = [
            operators::GREATER_EQUALS,
            operators::GREATER,
            operators::LESS_EQUALS,
            operators::LESS,
            operators::EQUALS,
            operators::NOT_EQUALS,
        ];
        let [left, right] = call.args.as_mut_slice() else {
            return Err(Problem { id, text: format!("this part of CEL is not used in playbooks; {ALLOWED}") });
        };
        if !comparing.contains(&operator.as_str()) {
            return Err(Problem { id, text: format!("this part of CEL is not used in playbooks; {ALLOWED}") });
        }
        let kinds = (self.check(left, asked)?, self.check(right, asked)?);
        match kinds {
            (Kind::Account(measure), Kind::WholeNumber(_) | Kind::Number(_)) => {
                return self.of_account(measure, &operator, right, kinds.1, asked);
            }
            (Kind::WholeNumber(_) | Kind::Number(_), Kind::Account(measure)) => {
                return self.of_account(measure, turned(&operator), left, kinds.0, asked);
            }
            (
                Kind::Truth | Kind::Axis(_) | Kind::Account(_) | Kind::Count | Kind::WholeNumber(_) | Kind::Number(_),
                _,
            ) => {}
        }
        let (axis, literal, number) = match kinds {
            (Kind::Count, Kind::Count) => return Ok(Kind::Truth),
            (Kind::Count, Kind::WholeNumber(number)) | (Kind::WholeNumber(number), Kind::Count) => {
                asked.counts.push(number);
                return Ok(Kind::Truth);
            }
            (Kind::Axis(axis), Kind::WholeNumber(number)) => (axis, right, whole(number)),
            (Kind::WholeNumber(number), Kind::Axis(axis)) => (axis, left, whole(number)),
            (Kind::Axis(axis), Kind::Number(number)) => (axis, right, number),
            (Kind::Number(number), Kind::Axis(axis)) => (axis, left, number),
            (
                Kind::Truth | Kind::Axis(_) | Kind::Account(_) | Kind::Count | Kind::WholeNumber(_) | Kind::Number(_),
                _,
            ) => return Err(Problem { id, text: format!("these two cannot be compared; {ALLOWED}") }),
        };
        let at = self.threshold(axis, number).map_err(|text| Problem { id: literal.id, text })?;
        // The axes are doubles in CEL, so what they are compared with is one, too.
        literal.expr = Expr::Literal(LiteralValue::Double(CelDouble::from(number)));
        match axis {
            Axis::Engagement => asked.engagement.push(at),
            Axis::Fit => asked.fit.push(at),
        }
        if axis == Axis::Engagement {
            // A condition turns at the number, or right above it: `>` 60 begins to hold at 60.001.
            self.boundaries.push(at);
            self.boundaries.push(at + Millipoints::new(1));
        }
        Ok(Kind::Truth)
    }

    /// Notes at which numbers a comparison of this measure with a number turns.
    fn of_account(
        &self,
        measure: AccountMeasure,
        operator: &str,
        literal: &mut IdedExpr,
        number: Kind,
        asked: &mut Asked,
    ) -> Result<Kind, Problem> {
        let refuse = |text: String| Err(Problem { id: literal.id, text });
        let at = match (measure, number) {
            (AccountMeasure::Departments | AccountMeasure::People, Kind::WholeNumber(number)) => {
                if !(0..=i64::from(MOST_PEOPLE)).contains(&number) {
                    return refuse(format!("out of reach: an account has from 0 to {MOST_PEOPLE} engaged people"));
                }
                number
            }
            (AccountMeasure::Engagement, Kind::WholeNumber(_) | Kind::Number(_)) => {
                let number = match number {
                    Kind::WholeNumber(number) => whole(number),
                    Kind::Number(number) => number,
                    Kind::Truth | Kind::Axis(_) | Kind::Account(_) | Kind::Count => 0.0,
                };
                let at = Points::from_f64(number).map(|points| points.0);
                let Some(at) = at.filter(|at| (Millipoints::ZERO..=self.account_cap).contains(at)) else {
                    let cap = self.account_cap;
                    return refuse(format!("out of reach: an account goes from 0 to {cap}, in thousandths of a point"));
                };
                literal.expr = Expr::Literal(LiteralValue::Double(CelDouble::from(number)));
                at.get()
            }
            (AccountMeasure::Departments | AccountMeasure::People | AccountMeasure::Engagement, _) => {
                let written = measure.written();
                return refuse(format!("`{written}` is compared with whole numbers; {ALLOWED}"));
            }
        };
        // What only turns right above the number begins one further on, be it a person or a thousandth of a point.
        let (from, above) = match operator {
            operators::GREATER_EQUALS | operators::LESS => (true, false),
            operators::GREATER | operators::LESS_EQUALS => (false, true),
            _ => (true, true),
        };
        if from {
            asked.account.add(measure, at);
        }
        if above {
            asked.account.add(measure, at + 1);
        }
        Ok(Kind::Truth)
    }

    fn threshold(&self, axis: Axis, number: f64) -> Result<Millipoints, String> {
        let cap = match axis {
            Axis::Engagement => self.engagement_cap,
            Axis::Fit => self.fit_cap,
        };
        let at = Points::from_f64(number).map(|points| points.0);
        at.filter(|at| (Millipoints::ZERO..=cap).contains(at))
            .ok_or_else(|| format!("out of reach: the axis goes from 0 to {cap}, in thousandths of a point"))
    }

    /// The fact that a call asks for.
    fn fact(&mut self, call: &CallExpr) -> Result<usize, String> {
        let on_signals = call.target.as_ref().is_some_and(|target| target.expr == Expr::Ident("signals".to_owned()));
        let [rule, window] = call.args.as_slice() else { return Err(format!("no such function; {ALLOWED}")) };
        if !on_signals || call.func_name != "within" {
            return Err(format!("no such function; {ALLOWED}"));
        }
        let (Some(rule), Some(window)) = (string(rule), string(window)) else {
            return Err(format!("`signals.within` wants a rule and a length of time as texts; {ALLOWED}"));
        };
        let Some(index) = self.rules.iter().position(|name| *name == rule) else {
            let known = self.rules.join(", ");
            return Err(format!("no engagement rule is named \"{rule}\"; there are {known}"));
        };
        let window = Length::parse(window).map_err(|error| error.to_string())?;
        if window.0 > crate::KEPT_FOR {
            return Err(format!("signals are kept for {}; no window is longer", Length(crate::KEPT_FOR)));
        }
        let query = FactQuery { name: facts::within(rule, window), rule: index, window: window.0 };
        let known = self.facts.iter().position(|fact| *fact == query);
        Ok(known.unwrap_or_else(|| {
            self.facts.push(query);
            self.facts.len() - 1
        }))
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

/// The comparison with its two sides changed about.
fn turned(operator: &str) -> &str {
    match operator {
        operators::GREATER_EQUALS => operators::LESS_EQUALS,
        operators::GREATER => operators::LESS,
        operators::LESS_EQUALS => operators::GREATER_EQUALS,
        operators::LESS => operators::GREATER,
        same => same,
    }
}

fn whole(number: i64) -> f64 {
    // Beyond 32 bits it is out of every axis' reach, and stays so.
    f64::from(i32::try_from(number).unwrap_or(i32::MAX))
}

fn string(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        Expr::Literal(_)
        | Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::Ident(_)
        | Expr::List(_)
        | Expr::Map(_)
        | Expr::Select(_)
        | Expr::Struct(_) => None,
    }
}

/// Where the text of a condition stands in the file.
struct Place<'t> {
    /// The file's offset of the text's first byte; that of the quote where the text has escapes.
    start: usize,
    /// The text, if it stands in the file as it is.
    text: &'t str,
}

impl<'t> Place<'t> {
    fn of(file: &'t str, span: &Range<usize>, text: &'t str) -> Self {
        match file.get(span.clone()).and_then(|written| written.find(text)) {
            Some(at) => Self { start: span.start + at, text },
            None => Self { start: span.start, text: "" },
        }
    }

    /// Of the character with this number, counted from 0.
    fn character(&self, number: u32) -> Range<usize> {
        let number = usize::try_from(number).unwrap_or(0);
        let at = self.text.char_indices().nth(number).map_or(0, |(at, _)| at);
        self.start + at..self.start + at
    }

    /// Of a line and column as the CEL parser counts them, from 1.
    fn line_and_column(&self, (line, column): (isize, isize)) -> Range<usize> {
        let before = usize::try_from(line - 1).unwrap_or(0);
        let lines = self.text.split_inclusive('\n').take(before).map(|line| line.chars().count());
        let character = lines.sum::<usize>() + usize::try_from(column - 1).unwrap_or(0);
        self.character(u32::try_from(character).unwrap_or(0))
    }
}
