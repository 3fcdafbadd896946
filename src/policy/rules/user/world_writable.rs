//! `world-writable`: what anybody may change.

use crate::facts::FileKind;
use crate::facts::shell::{Arg, Command};
use crate::instruction::Instruction;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "world-writable",
    title: "Anyone in the container can replace it.",
    text: "Finds chmod, install -m, mkdir -m and COPY or ADD --chmod with a mode that lets others \
          write: 777, 666, a+w, o+w. Folders with the sticky bit (1777) are fine, as are /tmp, \
          /var/tmp, /run and /dev.",
    standards: &["CIS 4.8"],
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: "[]",
        help: "paths that anybody may change",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM busybox\nRUN chmod -R 777 /srv\n",
        "FROM busybox\nRUN chmod -R a+rwx /data\n",
        "FROM busybox\nRUN mkdir -m 0777 /data\n",
        "FROM busybox\nARG d\nRUN chmod 777 /tmp/x $d\n",
    ],
    good: &[
        "FROM busybox\nRUN chmod 1777 /srv\nRUN chmod 755 /etc\n",
        "FROM debian:12\nRUN dir=\"$(mktemp -d)\" && chmod 777 \"$dir\" && ls \"$dir\"\n",
        "FROM busybox\nRUN chmod 1777 /srv && chmod o-w,u+w /a && chmod 775 /b && chmod 777 /tmp/x\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    let exempt = |path: &str| {
        let tops = ["tmp", "var/tmp", "run", "dev", "var/run"];
        let clean = crate::policy::context::clean(path);
        tops.iter().any(|top| crate::policy::context::under(&clean, top))
            || allow.iter().any(|one| crate::policy::glob::matches(one, path))
    };
    for item in outline.items() {
        let chmod = match item.instruction {
            Instruction::Copy(copy) => copy.chmod.as_ref(),
            Instruction::Add(add) => add.chmod.as_ref(),
            _ => None,
        };
        if let Some(word) = chmod {
            let mode = item.expand(&word.raw).unwrap_or_default();
            let to = item.transfer().map(|transfer| transfer.destination).unwrap_or_default();
            if opens(&mode) && !exempt(&to) {
                let message = format!("`--chmod={mode}` lets anybody change what is copied");
                found.tell(item.place, word.span, message, "others may write", "755 or 644");
            }
        }
        for command in &item.script().commands {
            let Some((mode, paths)) = mode_of(command) else { continue };
            // What `mktemp` has named is below /tmp.
            let temporary = |arg: &Arg| {
                item.script().commands.iter().any(|other| {
                    other.name() == Some("mktemp")
                        && other.feeds.iter().any(|pipe| arg.from.contains(pipe))
                })
            };
            let passes = |arg: &&Arg| arg.known().map_or_else(|| temporary(arg), exempt);
            if !opens(mode) || (!paths.is_empty() && paths.iter().all(passes)) {
                continue;
            }
            let message = format!("mode `{mode}` lets anybody change the files");
            found.tell(item.place, command.span, message, "others may write", "755 or 644");
        }
    }
}

// The mode that a command sets, and on what.
fn mode_of(command: &Command) -> Option<(&str, Vec<&Arg>)> {
    match command.name()? {
        "chmod" => {
            let mut operands = command.args().iter().filter(|arg| {
                // `-w` is a mode; `-R` and `--recursive` are flags.
                !arg.text.starts_with("--")
                    && !matches!(arg.text.as_str(), "-R" | "-v" | "-f" | "-c" | "-Rf" | "-fR")
            });
            let mode = operands.next()?.known()?;
            Some((mode, operands.collect()))
        }
        "install" | "mkdir" => {
            let args: Vec<&str> = command.args().iter().map(|arg| arg.prefix()).collect();
            let at = args.iter().position(|arg| matches!(*arg, "-m" | "--mode"));
            let mode = match at {
                Some(at) => args.get(at + 1)?,
                None => args.iter().find_map(|arg| arg.strip_prefix("--mode="))?,
            };
            Some((mode, command.args().last().into_iter().collect()))
        }
        _ => None,
    }
}

fn opens(mode: &str) -> bool {
    if let Ok(bits) = u32::from_str_radix(mode, 8) {
        return bits & 0o002 != 0 && bits & 0o1000 == 0;
    }
    let mut sticky = false;
    let mut others = false;
    for clause in mode.split(',') {
        let Some(at) = clause.find(['+', '-', '=']) else { continue };
        let (who, what) = clause.split_at(at);
        let sets = !what.starts_with('-');
        sticky |= sets && what.contains('t');
        // Without a letter in front, the umask keeps others out.
        others |= sets && what.contains('w') && (who.contains('o') || who.contains('a'));
    }
    others && !sticky
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    for (path, at) in judged.visible() {
        let file = at.file;
        let open = match file.kind {
            FileKind::File | FileKind::Hardlink(_) => file.mode & 0o002 != 0,
            FileKind::Dir => file.mode & 0o002 != 0 && file.mode & 0o1000 == 0,
            _ => false,
        };
        let clean = path.trim_start_matches('/');
        let exempt = ["tmp", "var/tmp", "run", "dev"].contains(&clean)
            || allow.iter().any(|one| crate::policy::glob::matches(one, path));
        if !open || exempt {
            continue;
        }
        let finding = found
            .finding(format!("anybody may change `{path}`"))
            .in_image(*path, Some(at.layer))
            .evidence("mode", format!("{:04o}", file.mode))
            .help("755 or 644");
        found.add(origin(finding, judged, at.layer));
    }
}
