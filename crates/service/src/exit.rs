//! How a process ends when it cannot go on: one message that says what, where and how to mend it, and an exit code.

use std::fmt;

/// Exit codes, as in BSD's sysexits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 64: the command line is wrong.
    Usage,
    /// 65: the input's content is wrong.
    Data,
    /// 66: an input file is missing.
    NoInput,
    /// 69: something needed (Kafka, Postgres, a program) is not there.
    Unavailable,
    /// 70: a defect of ours.
    Software,
    /// 71: the operating system refused.
    OsError,
    /// 73: a file or folder cannot be made.
    CannotCreate,
    /// 75: it may work later.
    TemporaryFailure,
    /// 77: not permitted.
    NoPermission,
    /// 78: the settings are wrong.
    Config,
}

impl Exit {
    /// The code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Usage => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::OsError => 71,
            Self::CannotCreate => 73,
            Self::TemporaryFailure => 75,
            Self::NoPermission => 77,
            Self::Config => 78,
        }
    }
}

/// Why a process ends, for the person who started it.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong and where.
    pub what: String,
    /// How to mend it.
    pub mend: String,
}

impl Failure {
    /// A failure with this code, what is wrong, and how to mend it.
    pub fn new(exit: Exit, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { exit, what: what.into(), mend: mend.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  to mend it: {}", self.what, self.mend)
    }
}

impl std::error::Error for Failure {}
