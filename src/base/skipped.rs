//! What a test says when a program or an ability that it needs is absent.

use std::io::{self, Write};

/// Says on stderr that a test (or a part of it) was not run, and why. It is an error where
/// `RBUILD_TEST_NO_SKIP=1`: in CI nothing is left out.
pub(crate) fn skipped(test: &str, why: &str) {
    // Past the test harness, which keeps what passing tests print to itself.
    let _ = writeln!(io::stderr(), "SKIPPED {test}: {why}");
    let strict = std::env::var_os("RBUILD_TEST_NO_SKIP").is_some_and(|value| value == "1");
    assert!(!strict, "skipping is an error here: {why}");
}
