//! `step-not-reproducible`: a step that comes out otherwise each time.

use crate::facts::Varies;
use crate::policy::{Acts, Found, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "step-not-reproducible",
    title: "A build that cannot be repeated cannot be audited.",
    text: "Finds, with `--verify`, a step that leaves other files when it runs a second time, with \
           another host name and at another time. It is told which, and what of them: the content, \
           the attributes, the time (where times are kept), or that they are there after one run \
           only.\n\n\
           Let what writes times take SOURCE_DATE_EPOCH, and delete logs and caches in the step.",
    standards: &["SLSA/SSDF reproducible"],
    behaviour_check: Some(check),
    watched: false,
    ..Rule::NEW
};

/// Files that are named in a message.
const NAMED: usize = 3;

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for act in &acts.steps {
        let Some(varying) = &act.conduct.varying else {
            found.skip("steps were run once: --verify");
            continue;
        };
        if varying.is_empty() {
            continue;
        }
        let names: Vec<String> = varying
            .iter()
            .take(NAMED)
            .map(|one| match one.how {
                Varies::End => "it fails".to_owned(),
                Varies::Name => format!("`{}` (the name)", one.path),
                Varies::Content => format!("`{}` (the content)", one.path),
                Varies::Attributes => format!("`{}` (the attributes)", one.path),
                Varies::Time => format!("`{}` (the time)", one.path),
            })
            .collect();
        let more = match varying.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let message = format!("a second run comes out otherwise: {}{more}", names.join(", "));
        let paths: Vec<&str> = varying.iter().map(|one| one.path.as_str()).collect();
        let finding = found
            .finding(message)
            .at(act.span, "ran twice")
            .evidence("files", paths)
            .help("SOURCE_DATE_EPOCH is the time to write; delete logs and caches in the step");
        found.add(act.placed(finding));
    }
}
