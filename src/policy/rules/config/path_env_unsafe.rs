//! `path-env-unsafe`: a PATH that anybody can put something on.

use crate::instruction::Instruction;
use crate::policy::{Found, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "path-env-unsafe",
    title: "A writable or relative PATH entry is a hijacked entrypoint waiting.",
    text: "Finds ENV PATH (and PATH in the config of an image) with an entry that is empty, \
          relative, or at or below /tmp, /var/tmp, /dev/shm or /home.",
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nENV PATH=.:/usr/bin:/bin\n"],
    good: &["FROM busybox\nENV PATH=/opt/app/bin:$PATH\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for pair in env.pairs.iter().filter(|pair| pair.name.raw == "PATH") {
            // Only what is written here: of what the base has, nothing is known.
            let raw = pair.value.raw.trim_matches(['"', '\'']);
            let bad = raw.split(':').find_map(|entry| {
                if entry.contains("$PATH") || entry.contains("${PATH") {
                    return None;
                }
                let value = match entry.contains('$') {
                    true => item.expand(entry).filter(|value| !value.is_empty())?,
                    false => entry.to_owned(),
                };
                wrong(&value).map(|why| (value, why))
            });
            if let Some((entry, why)) = bad {
                let message = format!("PATH has the entry `{entry}`");
                let span = pair.name.span.to(pair.value.span);
                found.tell(item.place, span, message, why, "name folders of root alone");
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for pair in &judged.facts.config.config.env {
        let Some(path) = pair.strip_prefix("PATH=") else { continue };
        if let Some((entry, why)) = path.split(':').find_map(|e| wrong(e).map(|why| (e, why))) {
            let finding = found
                .finding(format!("PATH has the entry `{entry}`: {why}"))
                .in_image("config", None)
                .evidence("name", "PATH")
                .help("name folders of root alone");
            found.add(finding);
        }
    }
}

fn wrong(entry: &str) -> Option<&'static str> {
    let tops = ["/tmp", "/var/tmp", "/dev/shm", "/home"];
    if entry.is_empty() || !entry.starts_with('/') {
        Some("depends on the working directory")
    } else if tops.iter().any(|top| crate::policy::context::under(entry.trim_end_matches('/'), top))
    {
        Some("somebody other than root writes there")
    } else {
        None
    }
}
