//! `expose-port-range`: a port beyond 65535.

use crate::instruction::{Expose, ExposeError, Instruction};
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "expose-port-range",
    title: "Ports end at 65535.",
    text: "Finds EXPOSE of a number over 65535, and of a range that ends below its start.",
    aliases: &[Alias::of("DL3011"), Alias::of("DS-0008")],
    text_check: Some(check),
    bad: &["FROM scratch\nEXPOSE 70000\n", "FROM scratch\nEXPOSE 90-80\n"],
    good: &["FROM scratch\nEXPOSE 8000-8010/tcp\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("EXPOSE") {
        let Instruction::Expose(expose) = item.instruction else { continue };
        for word in &expose.ports {
            let Some(port) = item.expand(&word.raw) else { continue };
            if let Err(ExposeError::Range(_)) = Expose::expand(&port) {
                let message = format!("`{port}` is no port: they go from 0 to 65535, upwards");
                found.tell(item.place, word.span, message, "out of range", "correct it");
            }
        }
    }
}
