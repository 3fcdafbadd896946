//! What the COPY and ADD of a Dockerfile take of the context.

use std::collections::BTreeMap;
use std::path::Path;

use rbuild::base::{ImagePath, Platform};
use rbuild::build::{Job, prepare};
use rbuild::diag::{Diagnostic, chain};
use rbuild::input::{Context, Pick, select};
use rbuild::layer::Entry;
use rbuild::plan::{Found, From, Op, Request, Source, Wanted};
use rbuild::policy::Policy;

use super::super::exit::Exit;
use super::super::shared::{Stop, say};

/// Finds what is copied on the way to the target: files of other stages' steps too, but not what is
/// copied out of stages and images. A source that is not there is told on stderr.
pub(super) fn copied(
    context: &Context,
    dockerfile: &Path,
    target: Option<&str>,
) -> Result<Vec<Entry>, Stop> {
    let (name, text) = super::super::build::read_dockerfile(dockerfile)?;
    let mut request = Request::new(Platform::host());
    request.target = target.map(str::to_owned);
    let job = Job::new(name, text, request);
    let policy = Policy::builtin("none").expect("a built-in profile");
    if let Ok(instructions) = rbuild::build::parse(&job, &policy) {
        super::super::arguments::check_target(target, &instructions)?;
    }
    let unread = |_: &Wanted| -> Result<Found, Diagnostic> { Ok(Found::Unread) };
    let prepared = prepare(&job, &policy, &unread).map_err(|not| {
        super::super::build::tell_not_prepared(&not);
        let text = "what is copied is known of a Dockerfile without errors".to_owned();
        Stop { exit: Exit::Parse, text, help: None }
    })?;
    let mut found: BTreeMap<ImagePath, Entry> = BTreeMap::new();
    for (_, step) in prepared.plan.steps.iter() {
        let Op::Copy(copy) = &step.op else { continue };
        if copy.from != From::Context {
            continue;
        }
        for source in &copy.sources {
            let Source::Path { path, span } = source else { continue };
            let pick = Pick {
                sources: vec![path.clone()],
                exclude: copy.exclude.clone(),
                parents: copy.parents,
            };
            match select(context, &pick, None) {
                Ok(selection) => {
                    found.extend(
                        selection.entries().map(|entry| (entry.path.clone(), entry.clone())),
                    );
                }
                Err(error) => {
                    let place = prepared.sources.place(*span);
                    say(&format!("warning: {place}: {}\n", chain(&error)));
                }
            }
        }
    }
    Ok(found.into_values().collect())
}
