//! `self-erasing-payload`: fetched, run and deleted in one step.

use crate::base::Span;
use crate::policy::executed;
use crate::policy::rules::fetch::download_executed_unverified::fetched;
use crate::policy::{Acts, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "self-erasing-payload",
    title: "Fetch, execute, and `rm` the evidence in one RUN.",
    text: "Finds a step that fetches a file, runs it and deletes it, without checking it: nothing \
          of it is left to look at.",
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &[
        "FROM busybox\nRUN wget -q https://example.org/p.sh -O /tmp/p.sh && sh /tmp/p.sh && rm -rf /tmp/p.sh\n",
        "FROM a\nRUN cd /tmp && curl -fsSLO https://example.org/i.sh && bash i.sh && rm i.sh\n",
    ],
    good: &["FROM busybox\nCOPY p.sh /tmp/p.sh\nRUN sh /tmp/p.sh && rm /tmp/p.sh\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let steps = crate::policy::flow::steps(stage);
        for fetched in fetched(outline, stage, &steps) {
            let Some(file) = fetched.download.file.clone() else { continue };
            let here = steps[fetched.next..]
                .iter()
                .take_while(|step| step.item.place.index == fetched.item.place.index);
            let mut ran: Option<Span> = None;
            for step in here.filter(|_| fetched.item.is_run()) {
                if crate::policy::flow::verifies(step.command, step.item.script(), &file) {
                    break;
                }
                // A package that is installed leaves what it brought.
                if crate::policy::flow::executes(step, &file) && step.command.install().is_none() {
                    ran.get_or_insert(step.command.span);
                }
                let deletes = matches!(step.command.name(), Some("rm" | "shred" | "unlink"))
                    && step.command.args().iter().any(|arg| {
                        step.path(arg).is_some_and(|path| {
                            path == file
                                || crate::policy::glob::matches(&path, &file)
                                || (path != "/" && crate::policy::context::under(&file, &path))
                        })
                    });
                if let (true, Some(ran)) = (deletes, ran) {
                    let finding = found
                        .finding(format!("`{file}` is fetched, run and deleted"))
                        .at(fetched.download.span, "fetched here")
                        .of(fetched.item.place)
                        .also(ran, "run here")
                        .also(step.command.span, "deleted here")
                        .help("ADD --checksum=sha256:… URL FILE, then run the file");
                    found.add(finding);
                    break;
                }
            }
        }
    }
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for fetched in executed::fetched(act, seen) {
            if seen.remains.contains(&fetched.file) {
                continue;
            }
            let ran = executed::ran_unchecked(act, seen, &fetched);
            // A package that is installed leaves what it brought.
            if let Some(ran) = ran.filter(|ran| !ran.installed) {
                let program = &seen.execs[ran.by];
                let message = format!("`{}` is fetched, run and deleted", fetched.file);
                let finding = act
                    .finding(found, seen, Some(ran.by), message)
                    .evidence("url", fetched.url.as_str())
                    .evidence("file", fetched.file.as_str())
                    .evidence("whence", format!("{:?}", program.whence).to_lowercase())
                    .help("ADD --checksum=sha256:… URL FILE, then run the file");
                found.add(finding);
            }
        }
    }
}
