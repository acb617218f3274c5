//! Tables as Rust structs: columns named once, rows bound as arrays.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};
use tasuki_domain::Timestamp;

/// A row of a table: what to bind to write many of them, and how to read one.
pub(crate) trait Row: Sized + Send {
    /// The table.
    const TABLE: &'static str;
    /// Its columns and their types, in the order of [`Row::bind`].
    const COLUMNS: &'static [(&'static str, &'static str)];

    /// One array per column.
    fn bind(rows: Vec<Self>) -> Result<PgArguments, BoxDynError>;

    /// Reads a row that has these columns, by name.
    fn read(row: &PgRow) -> Result<Self, sqlx::Error>;

    /// The names of the columns, with a comma between.
    fn names() -> String {
        Self::COLUMNS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// `insert` of all bound rows, up to where `on conflict` may follow.
    fn insert() -> String {
        let arrays: Vec<_> =
            Self::COLUMNS.iter().zip(1..).map(|((_, kind), number)| format!("${number}::{kind}[]")).collect();
        format!("insert into {} as t ({}) select * from unnest({})", Self::TABLE, Self::names(), arrays.join(", "))
    }

    /// `set` of every column that is no part of the key to the value that could not be inserted.
    fn overwrite(key: &[&str]) -> String {
        let columns = Self::COLUMNS.iter().map(|(name, _)| *name).filter(|name| !key.contains(name));
        columns.map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ")
    }
}

/// Declares the struct of a table's row and its [`Row`].
macro_rules! row {
    ($(#[$doc:meta])* $name:ident in $table:literal { $($(#[$field_doc:meta])* $field:ident: $ty:ty as $kind:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $ty,)* }

        impl $crate::table::Row for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [(&'static str, &'static str)] = &[$((stringify!($field), $kind),)*];

            fn bind(rows: Vec<Self>) -> Result<sqlx::postgres::PgArguments, sqlx::error::BoxDynError> {
                let count = rows.len();
                $(let mut $field = Vec::with_capacity(count);)*
                for row in rows {
                    $($field.push(row.$field);)*
                }
                let mut arguments = sqlx::postgres::PgArguments::default();
                $(sqlx::Arguments::add(&mut arguments, $field)?;)*
                Ok(arguments)
            }

            fn read(row: &sqlx::postgres::PgRow) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?,)* })
            }
        }
    };
}
pub(crate) use row;

/// An instant in a `timestamptz` column: exact, since both sides are integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(Timestamp);

/// 2000-01-01T00:00:00Z, where Postgres counts from, in milliseconds since 1970.
const POSTGRES_EPOCH_MS: i64 = 946_684_800_000;
/// 0001-01-01T00:00:00Z and the last millisecond of 9999. What is beyond is moved there: no calendar shows it anyway,
/// and Postgres would refuse the row.
const EARLIEST_MS: i64 = -62_135_596_800_000;
const LATEST_MS: i64 = 253_402_300_799_999;

impl At {
    /// The instant, moved into the years 1 to 9999.
    pub(crate) fn new(instant: Timestamp) -> Self {
        Self(Timestamp::from_millis(instant.as_millis().clamp(EARLIEST_MS, LATEST_MS)))
    }
}

impl Type<Postgres> for At {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1184))
    }
}

impl PgHasArrayType for At {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1185))
    }
}

impl Encode<'_, Postgres> for At {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let micros = (self.0.as_millis() - POSTGRES_EPOCH_MS) * 1_000;
        Encode::<Postgres>::encode(micros, buffer)
    }
}

impl<'r> Decode<'r, Postgres> for At {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        // Every query here has parameters or is prepared: values come in binary.
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Ok(Self(Timestamp::from_millis(micros.div_euclid(1_000).saturating_add(POSTGRES_EPOCH_MS))))
    }
}
