//! `copy-then-extract`: an archive that is copied and unpacked.

use crate::facts::shell::{Arg, Command};
use crate::instruction::Instruction;
use crate::policy::{Alias, Found, Outline, Rule, Transfer};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "copy-then-extract",
    title: "COPY of an archive and RUN tar stores it twice.",
    text: "Finds a COPY of an archive that a later RUN of the stage unpacks: the archive stays in \
          its layer.",
    aliases: &[Alias::of("DL3010")],
    text_check: Some(check),
    bad: &["FROM busybox\nCOPY root.tar.gz /tmp/\nRUN tar -xzf /tmp/root.tar.gz -C /opt\n"],
    good: &["FROM busybox\nADD root.tar.gz /opt/\n"],
    ..Rule::NEW
};

const ARCHIVES: &[&str] =
    &[".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".gz", ".zip"];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        for item in &stage.items {
            let Some(transfer) = item.transfer().filter(Transfer::from_context) else { continue };
            if !matches!(item.instruction, Instruction::Copy(_)) {
                continue;
            }
            for (span, source) in &transfer.sources {
                let name = source.rsplit('/').next().unwrap_or(source);
                let lower = name.to_ascii_lowercase();
                if !ARCHIVES.iter().any(|ending| lower.ends_with(ending)) {
                    continue;
                }
                let paths = transfer.places(source, outline.workdir(item).as_deref());
                let later = stage
                    .items
                    .iter()
                    .filter(|other| other.place.index > item.place.index && other.is_run());
                let unpacks = later
                    .flat_map(|run| run.script().commands.iter().map(move |c| (run, c)))
                    .find(|(run, command)| {
                        let cwd = outline.workdir(run);
                        unpacked(command).is_some_and(|file| {
                            let full = crate::policy::look::absolute(file, cwd.as_deref());
                            full.is_some_and(|full| {
                                paths.iter().any(|path| {
                                    *path == full || crate::policy::glob::matches(&full, path)
                                })
                            })
                        })
                    });
                if let Some((_, command)) = unpacks {
                    let add = !lower.ends_with(".zip") && !lower.ends_with(".gz")
                        || lower.ends_with(".tar.gz");
                    let finding = found
                        .finding(format!("`{name}` is copied, and unpacked by a later step"))
                        .at(*span, "stays in the image as it is")
                        .of(item.place)
                        .also(command.span, "unpacked here")
                        .help(if add {
                            "ADD unpacks it while it copies"
                        } else {
                            "unpack it in one step: RUN --mount=type=bind"
                        });
                    found.add(finding);
                }
            }
        }
    }
}

// The archive that a command unpacks.
fn unpacked(command: &Command) -> Option<&str> {
    let args: Vec<&str> = command.args().iter().filter_map(Arg::known).collect();
    match command.name()? {
        "tar" | "bsdtar" => {
            let extracts = args.iter().enumerate().any(|(at, arg)| {
                *arg == "--extract"
                    || (arg.contains('x')
                        && !arg.starts_with("--")
                        && (at == 0 || arg.starts_with('-'))
                        && !arg.contains('/'))
            });
            let file = args.iter().find(|arg| {
                let name = arg.strip_prefix("--file=").unwrap_or(arg).to_ascii_lowercase();
                ARCHIVES.iter().any(|ending| name.ends_with(ending))
            })?;
            extracts.then_some(file.strip_prefix("--file=").unwrap_or(file))
        }
        "unzip" | "gunzip" | "7z" | "bunzip2" | "unxz" | "unzstd" => args
            .into_iter()
            .find(|arg| ARCHIVES.iter().any(|ending| arg.to_ascii_lowercase().ends_with(ending))),
        _ => None,
    }
}
