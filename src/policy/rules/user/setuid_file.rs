//! `setuid-file`: a file that runs as its owner.

use crate::facts::shell::Command;
use crate::facts::{FileKind, Origin};
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Judged, Outline, Param, ParamKind, Rule};

use crate::policy::rules::origin;

pub(in crate::policy) static RULE: Rule = Rule {
    id: "setuid-file",
    title: "A setuid file is how the intruder's copy becomes root.",
    text: "Finds, in the image, regular files with the set-uid or set-gid bit, and the layer that \
           made each (`scope`: `all`, or only those that this build has added or changed). Finds, \
           in the text, `chmod u+s`, `chmod 4755`, `install -m 4755`, `COPY --chmod=4755`.\n\n\
           Folders with set-gid are no findings. `allow` lists files by path and SHA-256.\n\n\
           Take the bit away (`chmod u-s,g-s FILE`, in the step that installs it), or the file.",
    aliases: &[Alias::of("CIS-DI-0008")],
    standards: &["CIS 4.8"],
    params: &[
        Param {
            name: "allow",
            kind: ParamKind::Files,
            default: "[]",
            help: "files that may have the bit: { path = …, sha256 = … }; a path alone counts where `scope` is `added`",
        },
        Param {
            name: "scope",
            kind: ParamKind::Word(&["added", "all"]),
            default: r#""all""#,
            help: "`added`: only files of this build",
        },
    ],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nCOPY tool /usr/bin/tool\nRUN chmod u+s /usr/bin/tool\n",
        "FROM busybox\nRUN chmod -v 4755 /t\n",
        "FROM busybox\nRUN find / -name x -exec chmod a=rx,u+s {} +\n",
        "FROM busybox\nCOPY --chmod=6755 tool /t\n",
        "FROM busybox\nRUN install -o root -m4755 a /b\n",
    ],
    good: &[
        "FROM busybox\nRUN install --directory --owner db --mode 3777 /run/db && install -dm2775 /srv\n",
        "FROM busybox\nCOPY tool /usr/bin/tool\nRUN chmod u-s,a+rx /usr/bin/tool\n",
        "FROM busybox\nRUN chmod 1777 /tmp && chmod g+s /srv/share/ && install -m 0755 a /b\n",
        "FROM busybox\nRUN echo chmod u+s /x\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.stages.iter().flat_map(|stage| &stage.items) {
        let chmod = match item.instruction {
            Instruction::Copy(copy) => copy.chmod.as_ref(),
            Instruction::Add(add) => add.chmod.as_ref(),
            _ => None,
        };
        if let Some(word) = chmod
            && let Some(mode) = item.expand(&word.raw).filter(|mode| sets(mode))
        {
            let finding = found
                .finding(format!("mode `{mode}` makes files that run as their owner"))
                .at(word.span, "sets the set-uid or set-gid bit")
                .of(item.place)
                .evidence("mode", mode)
                .help("leave the bit out: `--chmod=0755`");
            found.add(finding);
        }
        for command in &item.script().commands {
            if let Some(mode) = sets_bit(command) {
                let finding = found
                    .finding(format!("`{}` makes a file that runs as its owner", command.shown()))
                    .at(command.span, "sets the set-uid or set-gid bit")
                    .of(item.place)
                    .evidence("mode", mode)
                    .help("leave the bit out; drop privileges from the start instead: USER");
                found.add(finding);
            }
        }
    }
}

fn sets_bit(command: &Command) -> Option<&str> {
    let args = command.args();
    match command.name()? {
        "chmod" => {
            // Set-gid on what is plainly a folder is a way to share it.
            let folder = args.last().is_some_and(|arg| arg.text.ends_with('/'));
            let mode = args.iter().filter_map(|arg| arg.known()).find(|arg| is_mode(arg))?;
            (sets_user(mode) || (sets(mode) && !folder)).then_some(mode)
        }
        "install" => {
            let mut args = args.iter().filter_map(|arg| arg.known());
            if command.args().iter().any(|arg| makes_folders(arg.prefix())) {
                return None;
            }
            while let Some(arg) = args.next() {
                let mode = match arg {
                    "-m" | "--mode" => args.next()?,
                    _ => match arg.strip_prefix("--mode=").or_else(|| arg.strip_prefix("-m")) {
                        Some(mode) => mode,
                        None => continue,
                    },
                };
                return sets(mode).then_some(mode);
            }
            None
        }
        _ => None,
    }
}

// `-d`, `-dm` and `--directory` of install; behind `-m` and its like stands a value.
fn makes_folders(arg: &str) -> bool {
    let letters = arg.strip_prefix('-').unwrap_or("");
    arg == "--directory"
        || (!letters.starts_with('-')
            && letters.chars().take_while(|c| !"mogtS".contains(*c)).any(|c| c == 'd'))
}

fn is_mode(text: &str) -> bool {
    octal(text).is_some()
        || (!text.is_empty()
            && text.contains(['+', '-', '='])
            && text.bytes().all(|byte| b"ugoarwxXst+-=,".contains(&byte))
            // `-r` is a flag, `-x+s` is a mode.
            && (!text.starts_with('-') || text[1..].contains(['+', '=', ','])))
}

fn octal(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte)))
        .then(|| u32::from_str_radix(text, 8).ok())
        .flatten()
}

fn sets(mode: &str) -> bool {
    match octal(mode) {
        Some(mode) => mode & 0o6000 != 0,
        None => clauses(mode).any(|_| true),
    }
}

fn sets_user(mode: &str) -> bool {
    match octal(mode) {
        Some(mode) => mode & 0o4000 != 0,
        None => clauses(mode).any(|who| who != "g"),
    }
}

// For whom each clause of a symbolic mode sets the bit.
fn clauses(mode: &str) -> impl Iterator<Item = &str> {
    mode.split(',').filter_map(|clause| {
        let at = clause.find(['+', '-', '='])?;
        let (who, what) = clause.split_at(at);
        // Several operations may follow each other: `u=rx+s`.
        let mut adds = false;
        let mut sets = false;
        for byte in what.bytes() {
            match byte {
                b'+' | b'=' => adds = true,
                b'-' => adds = false,
                b's' => sets |= adds,
                _ => {}
            }
        }
        // `o+s` does nothing.
        (sets && who != "o").then_some(who)
    })
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let added = found.text("scope") == "added";
    let allow: Vec<(String, Option<String>)> = found
        .files("allow")
        .into_iter()
        .map(|(path, sha)| (path.to_owned(), sha.map(str::to_owned)))
        .collect();
    for (path, at) in judged.visible() {
        let file = at.file;
        if file.mode & 0o6000 == 0 || !matches!(file.kind, FileKind::File | FileKind::Hardlink(_)) {
            continue;
        }
        let layer = &judged.facts.layers[at.layer];
        if added && layer.origin == Origin::Base {
            continue;
        }
        let allowed = allow.iter().any(|(known, sha256)| {
            known == path
                && match sha256 {
                    Some(sha256) => sha256.trim_start_matches("sha256:") == file.sha256,
                    None => added,
                }
        });
        if allowed {
            continue;
        }
        let bits = match file.mode & 0o6000 {
            0o4000 => "set-uid",
            0o2000 => "set-gid",
            _ => "set-uid and set-gid",
        };
        let finding = found
            .finding(format!("`{path}` has the {bits} bit"))
            .in_image(*path, Some(at.layer))
            .evidence("mode", format!("{:04o}", file.mode))
            .evidence("owner", format!("{}:{}", file.uid, file.gid))
            .evidence("size", file.size)
            .evidence("sha256", file.sha256.as_str())
            .help(format!("`RUN chmod u-s,g-s {path}`, or start from a base without it"));
        let finding = origin(finding, judged, at.layer);
        found.add(finding);
    }
}
