//! `package-unauthenticated`: packages whose signature is not checked.

use crate::facts::shell::Command;
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-unauthenticated",
    title: "It turns the archive's signature off.",
    text: "Finds the flags with which package managers take what nobody has signed: \
           --allow-unauthenticated, --force-yes, --allow-insecure-repositories and \
           Acquire::AllowInsecure… (apt), --allow-untrusted (apk), --nogpgcheck (yum, dnf), \
           --nosignature, --nodigest (rpm), --no-gpg-checks (zypper), --trusted-host (pip), \
           `strict-ssl false` (npm), -P NoSecurity (gem).",
    standards: &["CIS 4.11"],
    text_check: Some(check),
    bad: &[
        "FROM alpine:3.20\nRUN apk add --no-cache --allow-untrusted ./tool.apk\n",
        "FROM debian\nRUN apt-get -o Acquire::AllowInsecureRepositories=true update\n",
        "FROM python\nRUN python -m pip install --trusted-host=x.example y\n",
        "FROM node\nRUN npm config set strict-ssl false\n",
    ],
    good: &["FROM alpine:3.20\nRUN apk add --no-cache tool=1.2\nRUN echo --allow-untrusted\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    // All whose flags are known are package managers.
    for (item, command) in outline.calls(|head| head.manages) {
        if let Some(flag) = unchecked(command) {
            let finding = found
                .finding(format!("`{flag}` takes packages that nobody has signed"))
                .at(command.span, "signatures are not checked")
                .of(item.place)
                .evidence("flag", flag)
                .help("leave it out, and give the archive's key to the package manager");
            found.add(finding);
        }
    }
}

fn unchecked(command: &Command) -> Option<&str> {
    let name = command.name()?;
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let mut args = command.args().iter().map(|arg| arg.prefix());
    let flags: &[&str] = match base {
        "apt" | "apt-get" | "aptitude" => {
            let insecure = args.clone().find(|arg| {
                let arg = arg.trim_start_matches("-o").to_ascii_lowercase();
                arg.starts_with("acquire::allowinsecure")
                    || arg.starts_with("apt::get::allowunauthenticated")
            });
            if insecure.is_some() {
                return insecure;
            }
            &["--allow-unauthenticated", "--force-yes", "--allow-insecure-repositories"]
        }
        "apk" => &["--allow-untrusted"],
        "yum" | "dnf" | "microdnf" | "tdnf" => &["--nogpgcheck", "--no-gpgchecks"],
        "rpm" => &["--nosignature", "--nodigest"],
        "zypper" => &["--no-gpg-checks", "--allow-unsigned-rpm"],
        "pip" | "uv" => &["--trusted-host", "--allow-insecure-host"],
        "npm" | "pnpm" | "yarn" => {
            args.find(|arg| *arg == "strict-ssl")?;
            return (args.next() == Some("false")).then_some("strict-ssl false");
        }
        "gem" => {
            args.find(|arg| *arg == "-P" || *arg == "--trust-policy")?;
            return (args.next() == Some("NoSecurity")).then_some("-P NoSecurity");
        }
        _ => return None,
    };
    args.find(|arg| flags.contains(&arg.split('=').next().unwrap_or(arg)))
}
