//! `build-secret-leaked`: a secret of the build is in the image.

use crate::policy::{Found, Judged, Rule};

use crate::policy::rules::origin;

pub(in crate::policy) static RULE: Rule = Rule {
    id: "build-secret-leaked",
    title: "A value given with --secret must be nowhere in what leaves the machine.",
    text: "Finds the value of a secret of the build, byte for byte, in any layer (contents, names, \
           link targets, attributes; also of files that a later layer deletes), in the config, the \
           history and labels: as it is, line by line, in base64 at any alignment, in hex, \
           percent-encoded, as inside a JSON string, as quoted for a shell. The search rides on the \
           writing of each layer.\n\n\
           Values shorter than 8 bytes, or of almost no variety, turn up by chance: they are \
           searched in config, history and labels only, and the rule is listed as skipped for \
           layers.\n\n\
           Use the secret within the step, and write nothing that holds it: deleting the file in a \
           later step does not help.",
    standards: &["NIST 800-190 4.1.4", "CIS 4.10"],
    inline: false,
    image_check: Some(check),
    files: false,
    ..Rule::NEW
};

fn check(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for leak in layer.leaks.iter() {
            let finding = found
                .finding(format!("the secret `{}` is in `{}`", leak.secret, leak.path))
                .in_image(leak.path.as_str(), Some(index))
                .evidence("secret", leak.secret.as_str())
                .help("write nothing that holds the secret; a later step cannot take it out again");
            let finding = origin(finding, judged, index);
            found.add(finding);
        }
    }
    for leak in &judged.facts.document_leaks {
        let finding = found
            .finding(format!("the secret `{}` is in the image's {}", leak.secret, leak.path))
            .in_image(leak.path.as_str(), None)
            .evidence("secret", leak.secret.as_str())
            .help("name the secret with `--mount=type=secret`, never its value");
        found.add(finding);
    }
    for id in &judged.facts.short_secrets {
        found.skip(format!("secret `{id}` is too short to search layers"));
    }
}
