//! What holds of every text, whatever is in it: the tests of `plan` and the fuzz target `plan` ask it,
//! and each brings the names along.

use super::{Found, Platform, Request, Sources, Wanted, parsed, plan, render};

/// The most errors of one text that are shown.
const SHOWN: usize = 10;

/// Parses, prints, parses again, plans, and shows what is wrong. Returns whether there is a plan; if
/// not, there is an error.
pub(super) fn planned(text: &str) -> bool {
    let mut sources = Sources::new();
    let source = sources.add("Dockerfile", text);
    let (file, instructions, mut errors) = parsed(source, text);
    let mut there = false;
    if errors.is_empty() {
        let request = Request::new(Platform::new("linux", "amd64", None));
        let unread = |_: &Wanted| Ok(Found::Unread);
        match plan(&file, &instructions, &request, &unread, &mut sources) {
            Ok(plan) => {
                there = true;
                errors.extend(plan.warnings);
            }
            Err(found) => errors.extend(found),
        }
    }
    assert!(there || !errors.is_empty(), "neither a plan nor an error: {text:?}");
    for error in errors.iter().take(SHOWN) {
        drop(render(error, &sources, false));
    }
    there
}
