//! `expose-admin-port`: a port for administration.

use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "expose-admin-port",
    title: "Management ports do not belong in an application image.",
    text: "Finds EXPOSE of a port in `ports`, alone or in a range, and the same in the config of \
          an image.",
    aliases: &[Alias::of("DS-0004")],
    params: &[Param {
        name: "ports",
        kind: ParamKind::Numbers,
        default: "[22, 23, 2375, 2376, 3389, 5900, 10250]",
        help: "ports of administration",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM scratch\nEXPOSE 20-25\n", "FROM scratch\nEXPOSE 22/tcp\n"],
    good: &["FROM scratch\nEXPOSE 2222\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let ports = found.numbers("ports");
    for item in outline.items_of("EXPOSE") {
        let Instruction::Expose(expose) = item.instruction else { continue };
        for word in &expose.ports {
            let Some(text) = item.expand(&word.raw) else { continue };
            let range = text.split('/').next().unwrap_or("").rsplit(':').next().unwrap_or("");
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
                continue;
            };
            if let Some(port) = ports.iter().find(|port| (first..=last).contains(*port)) {
                let message = format!("port {port} is for administration");
                let help = "leave it out: administer from outside the container";
                found.tell(item.place, word.span, message, "not the application's", help);
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let ports = found.numbers("ports");
    for port in judged.facts.config.config.exposed_ports.iter() {
        let number = port.split('/').next().unwrap_or("").parse::<u64>();
        if number.is_ok_and(|number| ports.contains(&number)) {
            let finding = found
                .finding(format!("the image exposes {port}, a port for administration"))
                .in_image("config", None)
                .evidence("name", port.as_str())
                .help("leave it out");
            found.add(finding);
        }
    }
}
