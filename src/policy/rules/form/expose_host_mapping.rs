//! `expose-host-mapping`: EXPOSE with an address or a port of the host.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "expose-host-mapping",
    title: "EXPOSE cannot bind an address or a host port.",
    text: "Finds `address:port` and `host:container` in EXPOSE: it says which ports the container \
          has, and binds none.",
    aliases: &[Alias::of("ExposeInvalidFormat")],
    text_check: Some(check),
    bad: &["FROM scratch\nEXPOSE 127.0.0.1:80:80\n"],
    good: &["FROM scratch\nEXPOSE 80\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("EXPOSE") {
        let Instruction::Expose(expose) = item.instruction else { continue };
        for word in &expose.ports {
            let Some(port) = item.expand(&word.raw) else { continue };
            let Some((_, last)) = port.rsplit_once(':') else { continue };
            let finding = found
                .finding(format!("EXPOSE cannot bind `{port}`"))
                .at(word.span, "only the last number counts")
                .of(item.place)
                .help(format!("write `{last}`, and bind with `docker run -p`"))
                .fix(word.span, last);
            found.add(finding);
        }
    }
}
