//! `run-pointless-command`: a command without sense in a build.

use crate::policy::{Alias, Found, Head, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "run-pointless-command",
    title: "It has no effect or no sense in a build.",
    text: "Finds commands of `commands`: they act on processes, screens or machines that a step \
          does not have.",
    aliases: &[Alias::of("DL3001")],
    params: &[Param {
        name: "commands",
        kind: ParamKind::Texts,
        default: r#"["free", "ifconfig", "kill", "mount", "ps", "service", "shutdown", "ssh", "top", "vim", "nano", "reboot", "systemctl", "less", "clear"]"#,
        help: "commands without sense",
    }],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN service nginx start\n"],
    good: &["FROM debian:12\nRUN apt-get install -y vim\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("commands").into_iter().map(str::to_owned).collect();
    let such =
        |head: Head<'_>| head.name.is_some_and(|name| names.iter().any(|known| known == name));
    for (item, command) in outline.calls(such) {
        let Some(name) = command.name() else { continue };
        // `ssh -V`, `vim --version`: a question. `systemctl enable` makes a link, and works.
        let args: Vec<&str> = command.args().iter().map(|arg| arg.prefix()).collect();
        let asks = args.iter().any(|arg| matches!(*arg, "-V" | "--version" | "--help"));
        let links = name == "systemctl"
            && args.iter().any(|arg| {
                matches!(*arg, "enable" | "disable" | "mask" | "set-default" | "unmask")
            });
        if !asks && !links {
            let message = format!("`{name}` has no sense in a step");
            found.tell(
                item.place,
                command.span,
                message,
                "has no effect in the image",
                "leave it out",
            );
        }
    }
}
