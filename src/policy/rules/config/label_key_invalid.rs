//! `label-key-invalid`: a label by a name that is not its maker's.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "label-key-invalid",
    title: "Keys are reverse-DNS, lower-case.",
    text: "Finds a key of a label with other characters than a-z, 0-9, `.`, `-` (and `_`, which \
          many tools use), one that does not begin and end with a letter or digit, has `..` or \
          `--`, or is in a namespace that is reserved: com.docker, io.docker, org.dockerproject.",
    aliases: &[Alias::of("DL3048")],
    text_check: Some(check),
    bad: &["FROM scratch\nLABEL com.docker.secret=1\n", "FROM scratch\nLABEL Team=core\n"],
    good: &[
        "FROM scratch\nLABEL org.example.team=core\n",
        "FROM scratch\nLABEL security_scan=passed\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("LABEL") {
        let Instruction::Label(label) = item.instruction else { continue };
        for pair in &label.pairs {
            let Some(key) = item.expand(&pair.name.raw) else { continue };
            let reserved = ["com.docker.", "io.docker.", "org.dockerproject."];
            let plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_/".contains(c);
            let ends = key.starts_with(|c: char| c.is_ascii_alphanumeric())
                && key.ends_with(|c: char| c.is_ascii_alphanumeric());
            let (message, help) = if reserved.iter().any(|start| key.starts_with(start)) {
                (
                    format!("the label `{key}` is in a reserved namespace"),
                    "use a domain of your own",
                )
            } else if !key.chars().all(plain) || !ends || key.contains("..") || key.contains("--") {
                (format!("`{key}` is no key for a label"), "small letters, digits, `.` and `-`")
            } else {
                continue;
            };
            found.tell(item.place, pair.name.span, message, "not a good name", help);
        }
    }
}
