//! `expose-protocol-case`: `80/TCP`.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "expose-protocol-case",
    title: "Protocols are lower-case.",
    text: "Finds a protocol of EXPOSE with capitals.",
    aliases: &[Alias::of("ExposeProtoCasing")],
    text_check: Some(check),
    bad: &["FROM scratch\nEXPOSE 80/TCP\n"],
    good: &["FROM scratch\nEXPOSE 80/tcp\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("EXPOSE") {
        let Instruction::Expose(expose) = item.instruction else { continue };
        for word in &expose.ports {
            let Some((port, protocol)) = word.raw.split_once('/') else { continue };
            if protocol.contains('$') || !protocol.bytes().any(|byte| byte.is_ascii_uppercase()) {
                continue;
            }
            let lower = format!("{port}/{}", protocol.to_ascii_lowercase());
            let finding = found
                .finding(format!("the protocol `{protocol}` has capitals"))
                .at(word.span, "protocols are in small letters")
                .of(item.place)
                .help(format!("write `{lower}`"))
                .fix(word.span, lower);
            found.add(finding);
        }
    }
}
