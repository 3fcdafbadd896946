//! `docker-socket`: the socket of a container engine.

use crate::base::Span;
use crate::instruction::Instruction;
use crate::policy::{Acts, Found, Judged, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "docker-socket",
    title: "The mounted socket was the breakout.",
    text: "Finds docker.sock, containerd.sock, crio.sock and podman.sock in RUN, ENV, VOLUME, \
          CMD, ENTRYPOINT and labels, and a DOCKER_HOST; under an audit, a step that connects to \
          one of them.",
    standards: &["CIS 5.31"],
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nENV DOCKER_HOST=unix:///var/run/docker.sock\n",
        "FROM busybox\nVOLUME /var/run/docker.sock\n",
    ],
    good: &["FROM busybox\nVOLUME /var/run/app\n", "FROM busybox\nRUN echo docker.socket\n"],
    ..Rule::NEW
};

const SOCKETS: &[&str] =
    &["docker.sock", "containerd.sock", "crio.sock", "podman.sock", "buildkitd.sock"];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let help = "leave it out: who has the socket has the host";
    for item in outline.items() {
        let mut words: Vec<(Span, String)> = Vec::new();
        match item.instruction {
            Instruction::Env(env) => {
                for pair in &env.pairs {
                    let span = pair.name.span.to(pair.value.span);
                    let value = item.expand(&pair.value.raw).unwrap_or_default();
                    if pair.name.raw == "DOCKER_HOST" && value.starts_with("unix:") {
                        let message = "DOCKER_HOST points at an engine's socket";
                        found.tell(item.place, span, message, "the host's engine", help);
                        continue;
                    }
                    words.push((span, value));
                }
            }
            Instruction::Label(label) => {
                for pair in &label.pairs {
                    let value = item.expand(&pair.value.raw).unwrap_or_default();
                    words.push((pair.name.span.to(pair.value.span), value));
                }
            }
            Instruction::Volume(volume) => {
                for path in &volume.paths {
                    words.push((path.span, item.expand(&path.raw).unwrap_or_default()));
                }
            }
            _ => {
                for command in &item.program().commands {
                    if !command.argv.iter().any(|arg| arg.text.contains("sock")) {
                        continue;
                    }
                    let printed =
                        matches!(command.name(), Some("echo" | "printf" | "rm" | "test" | "["));
                    let args = command.argv.iter().map(|arg| arg.text.clone());
                    let text: Vec<String> = args.collect();
                    if !printed {
                        words.push((command.span, text.join("\0")));
                    }
                }
            }
        }
        for (span, text) in words {
            if let Some(socket) = socket(&text) {
                let message = format!("`{socket}` is the socket of a container engine");
                found.tell(item.place, span, message, "the host's engine", help);
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let config = &judged.facts.config.config;
    let volumes = config.volumes.iter().map(|path| path.to_string());
    for text in config.env.iter().cloned().chain(volumes) {
        let host =
            text.strip_prefix("DOCKER_HOST=").is_some_and(|value| value.starts_with("unix:"));
        if host || socket(&text).is_some() {
            let finding = found
                .finding(format!("`{text}` points at the socket of a container engine"))
                .in_image("config", None)
                .help("leave it out: who has the socket has the host");
            found.add(finding);
        }
    }
}

fn socket(text: &str) -> Option<&'static str> {
    // Nearly no text has any of them.
    if !text.contains(".sock") {
        return None;
    }
    SOCKETS.iter().copied().find(|socket| {
        text.match_indices(socket).any(|(at, _)| {
            !text[at + socket.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
        })
    })
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        for one in &seen.connects {
            let Some(path) = one.addr.strip_prefix("unix:") else { continue };
            if let Some(socket) = socket(path) {
                let finding = act
                    .finding(found, seen, one.by, format!("the step connects to `{socket}`"))
                    .evidence("address", one.addr.as_str())
                    .help("leave it out: who has the socket has the host");
                found.add(finding);
            }
        }
    }
}
