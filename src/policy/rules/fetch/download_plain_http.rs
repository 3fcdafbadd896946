//! `download-plain-http`: a download in plain HTTP.

use std::cell::LazyCell;

use crate::instruction::Instruction;
use crate::policy::{Found, Level, Outline, Param, ParamKind, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "download-plain-http",
    title: "Plain HTTP.",
    text: "Finds `http://` and `ftp://` among the words of what fetches: curl, wget, ADD, git \
          clone, indexes of pip and registries of npm. A sum in the same instruction makes it a \
          warning. Hosts in `allow_hosts` are exempt.",
    params: &[Param {
        name: "allow_hosts",
        kind: ParamKind::Texts,
        default: r#"["localhost", "127.0.0.1", "::1"]"#,
        help: "hosts that may answer in plain HTTP",
    }],
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN wget http://example.org/a\n",
        "FROM scratch\nADD http://example.org/a /a\n",
        "FROM python:3\nRUN pip install --index-url http://pypi.corp.example/simple x\n",
        "FROM a\nRUN git clone http://example.org/r /r\n",
    ],
    good: &["FROM busybox\nRUN wget http://localhost:8080/a\nLABEL url=http://example.org\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let hosts: Vec<String> = found.texts("allow_hosts").into_iter().map(str::to_owned).collect();
    let plain = |url: &str| {
        let scheme = ["http://", "ftp://"].iter().find(|scheme| {
            url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        });
        scheme.is_some_and(|scheme| {
            let rest = &url[scheme.len()..];
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or("");
            let bare = match host.strip_prefix('[') {
                Some(six) => six.split(']').next().unwrap_or(six),
                None => host.split(':').next().unwrap_or(host),
            };
            !bare.is_empty()
                && !bare.starts_with(crate::facts::shell::HOLE)
                && !hosts.iter().any(|known| crate::policy::glob::matches(known, bare))
        })
    };
    for item in outline.items() {
        if let Some(transfer) = item.transfer().filter(Transfer::from_context) {
            let checked =
                matches!(item.instruction, Instruction::Add(add) if add.checksum.is_some());
            for (span, source) in transfer.sources.iter().filter(|(_, source)| plain(source)) {
                let level = if checked { Level::Warn } else { Level::Error };
                let finding = found
                    .finding("fetched in plain HTTP")
                    .at(*span, "anyone on the way may answer")
                    .of(item.place)
                    .evidence("url", source.as_str())
                    .help("write https://");
                found.add_at(level, finding);
            }
        }
        let script = item.script();
        // Asked once, and only where something is fetched so.
        let checked = LazyCell::new(|| {
            script.commands.iter().any(|command| {
                command
                    .name()
                    .is_some_and(|name| name.ends_with("sum") || name == "gpg" || name == "gpgv")
            })
        });
        for command in &script.commands {
            if !command.fetches() && !command.manages() && command.name() != Some("git") {
                continue;
            }
            let url = command.args().iter().find(|arg| {
                let text = arg.text.as_str();
                let value =
                    text.split_once('=').filter(|_| text.starts_with('-')).map_or(text, |(_, v)| v);
                plain(value)
            });
            // A proxy is no source; curl's `-x` and data in `-d` are not fetched.
            let Some(url) = url.filter(|_| command.name() != Some("nc")) else { continue };
            let manager = command.operation().map_or("", |operation| operation.manager);
            let level = if matches!(manager, "apt" | "apk") || *checked {
                Level::Warn
            } else {
                Level::Error
            };
            let finding = found
                .finding("fetched in plain HTTP")
                .at(command.span, "anyone on the way may answer")
                .of(item.place)
                .evidence("url", url.shown())
                .help("write https://");
            found.add_at(level, finding);
        }
    }
}
