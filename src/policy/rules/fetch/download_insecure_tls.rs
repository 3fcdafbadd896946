//! `download-insecure-tls`: downloads from whoever answers.

use crate::facts::shell::Command;
use crate::instruction::Instruction;
use crate::policy::{Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "download-insecure-tls",
    title: "Verification off means anyone on the path chooses the bytes.",
    text: "Finds what turns the check of certificates off: curl -k, --insecure, --proxy-insecure; \
           wget --no-check-certificate; git -c http.sslVerify=false; and variables in ENV, ARG or \
           before a command: GIT_SSL_NO_VERIFY, NODE_TLS_REJECT_UNAUTHORIZED=0, \
           PYTHONHTTPSVERIFY=0, npm_config_strict_ssl=false, an empty CURL_CA_BUNDLE.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN curl -fsSk https://example.org/a -o /a\n",
        "FROM node:22\nENV NODE_TLS_REJECT_UNAUTHORIZED=0\n",
        "FROM a\nRUN git -c http.sslVerify=false clone https://example.org/a\n",
        "FROM a\nRUN GIT_SSL_NO_VERIFY=1 git clone https://example.org/a\n",
    ],
    good: &[
        "FROM busybox\nRUN curl -fsS -H k https://example.org/k -o k && wget -q https://a.example\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.stages.iter().flat_map(|stage| &stage.items) {
        let mut add = |what: &str, span| {
            let finding = found
                .finding(format!("`{what}` turns the check of certificates off"))
                .at(span, "anybody on the way may answer")
                .of(item.place)
                .evidence("by", what)
                .help("leave it out; a private authority belongs into the trust store");
            found.add(finding);
        };
        match item.instruction {
            Instruction::Env(env) => {
                for pair in &env.pairs {
                    let value = item.expand(&pair.value.raw).unwrap_or_default();
                    if disables(&pair.name.raw, &value) {
                        add(&pair.name.raw, pair.name.span.to(pair.value.span));
                    }
                }
            }
            Instruction::Arg(arg) => {
                for declared in &arg.args {
                    let Some(default) = &declared.default else { continue };
                    let value = item.expand(&default.raw).unwrap_or_default();
                    if disables(&declared.name.raw, &value) {
                        add(&declared.name.raw, declared.name.span.to(default.span));
                    }
                }
            }
            Instruction::Run(_) => {
                for command in &item.script().commands {
                    for (name, value) in &command.assignments {
                        if value.known().is_some_and(|value| disables(name, value)) {
                            add(name, command.span);
                        }
                    }
                    if let Some(flag) = flag(command) {
                        add(flag, command.span);
                    }
                }
            }
            _ => {}
        }
    }
}

fn disables(name: &str, value: &str) -> bool {
    let off = matches!(value.to_ascii_lowercase().as_str(), "0" | "false" | "no" | "off");
    match name.to_ascii_uppercase().as_str() {
        "GIT_SSL_NO_VERIFY" => !value.is_empty() && !off,
        "NODE_TLS_REJECT_UNAUTHORIZED" | "PYTHONHTTPSVERIFY" | "NPM_CONFIG_STRICT_SSL" => off,
        "CURL_CA_BUNDLE" => value.is_empty(),
        _ => false,
    }
}

fn flag(command: &Command) -> Option<&str> {
    let mut args = command.args().iter().filter_map(|arg| arg.known());
    match command.name()? {
        "curl" => {
            // Letters that take a value: what follows them is no flag.
            let values = "AbcCdDeEFhHKmoPQrtTuUwxXyYz";
            while let Some(arg) = args.next() {
                if arg == "--insecure" || arg == "--proxy-insecure" {
                    return Some(arg);
                }
                let Some(cluster) = arg.strip_prefix('-').filter(|c| !c.starts_with('-')) else {
                    continue;
                };
                let end = cluster.find(|c| values.contains(c));
                if cluster[..end.unwrap_or(cluster.len())].contains('k') {
                    return Some(arg);
                }
                if end.is_some_and(|at| at + 1 == cluster.len()) {
                    args.next();
                }
            }
            None
        }
        "wget" => args.find(|arg| *arg == "--no-check-certificate"),
        "git" => args.find(|arg| {
            let lower = arg.to_ascii_lowercase();
            lower == "http.sslverify=false" || lower == "http.sslverify=0"
        }),
        "conda" | "mamba" => args.find(|arg| *arg == "--insecure"),
        _ => None,
    }
}
