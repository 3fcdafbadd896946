//! Facts to verdicts: rules, profiles, suppressions, and how findings are told.

mod finding;

pub use finding::{
    Confidence, FailOn, Finding, ImagePlace, Level, Moment, Place, Report, Skipped, Suppressed,
    Verdict,
};
