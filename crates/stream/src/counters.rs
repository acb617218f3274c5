//! What a processor counts, declared once.

/// Declares the counters of a processor: for each a constant for `Context::count`, and `COUNTERS`, which is all of
/// them with the text that `/metrics` shows as HELP. That text is the doc comment, so neither can be forgotten.
///
/// ```
/// mod metrics {
///     tasuki_stream::counters! {
///         /// Verdicts of sales, by reason: accepted, rejected.
///         VERDICTS = "verdicts";
///     }
/// }
/// assert_eq!(metrics::VERDICTS, "verdicts");
/// assert_eq!(metrics::COUNTERS, [("verdicts", " Verdicts of sales, by reason: accepted, rejected.")]);
/// ```
#[macro_export]
macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident = $what:literal;)+) => {
        $($(#[doc = $help])+ pub(crate) const $name: &str = $what;)+

        /// Every counter: what stands in the middle of its name, and what it tells an operator (begins with a space).
        pub const COUNTERS: &[(&str, &str)] = &[$(($what, concat!($($help),+))),+];
    };
}
