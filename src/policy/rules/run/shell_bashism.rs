//! `shell-bashism`: what a plain shell does not have.

use crate::base::Span;
use crate::facts::shell::{Arg, Dialect, NoteKind};
use crate::policy::{Alias, BaseName, Found, Item, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "shell-bashism",
    title: "`[[`, arrays, `<(…)`, `source`, `&>` do not exist in dash or busybox sh.",
    text: "Finds constructs and commands of bash in a body for `/bin/sh`: `[[`, arrays, `<(…)`, \
          `<<<`, `&>`, `${x/a/b}`, `$'…'`, `{a,b}`, `source`, `function`, `declare`, `pushd`, \
          `==` in `[` and the like.\n\nWhere the base is known to have bash as its `/bin/sh` \
          (Red Hat's family, SUSE, Arch), nothing is found; on Alpine and BusyBox, what their \
          shell takes is fine.",
    aliases: &[
        Alias::of("SC2039"),
        Alias::of("SC3010"),
        Alias::of("SC3020"),
        Alias::of("SC3030"),
        Alias::of("SC3046"),
    ],
    text_check: Some(check),
    bad: &[
        "FROM debian:12\nRUN source /etc/profile && [[ -n $HOME ]]\n",
        "FROM debian:12\nRUN mkdir -p /a/{b,c}\n",
        "FROM debian:12\nRUN [ \"$A\" == b ] && true\n",
    ],
    good: &[
        "FROM debian:12\nRUN . /etc/profile && [ -n \"$HOME\" ]\n",
        "FROM alpine:3.20\nRUN source /etc/profile && [[ -n $HOME ]]\n",
        "FROM fedora:41\nRUN source /etc/profile\n",
        "FROM debian:12\nSHELL [\"/bin/bash\", \"-c\"]\nRUN [[ -n $HOME ]] && mkdir -p /a/{b,c}\n",
        "FROM debian:12\nRUN bash -c '[[ -n $HOME ]]' && awk '{print $1, $2}' /x && find / -exec echo {} +\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let line = outline.line_of(stage.index);
        let base = line.first().map(|stage| &stage.base);
        let name = match base {
            Some(BaseName::Image(image)) => image.to_string(),
            _ => String::new(),
        };
        let bash = [
            "fedora",
            "centos",
            "rocky",
            "alma",
            "redhat",
            "ubi",
            "oraclelinux",
            "amazonlinux",
            "opensuse",
            "suse",
            "archlinux",
            "mageia",
            "photon",
        ];
        if bash.iter().any(|family| name.contains(family)) {
            continue;
        }
        let ash = name.contains("alpine") || name.contains("busybox");
        for item in stage.runs() {
            let script = item.script();
            for note in &script.notes {
                let NoteKind::Bash(what) = note.kind else { continue };
                let fine = ash
                    && matches!(
                        what,
                        "[[" | "${NAME:0:1}" | "${NAME/a/b}" | "$'…'" | "&>" | "function"
                    );
                if note.dialect == Dialect::Posix && !fine {
                    tell(found, item, note.span, what);
                }
            }
            for command in &script.commands {
                if command.dialect != Dialect::Posix {
                    continue;
                }
                let Some(written) = command.argv.first().and_then(Arg::known) else { continue };
                let word = match written {
                    "[[" | "source" | "let" | "function" if !ash => written,
                    "declare" | "typeset" | "pushd" | "popd" | "dirs" | "shopt" | "mapfile"
                    | "readarray" | "disown" | "enable" | "compgen" | "complete" | "bind"
                    | "caller" => written,
                    "[" | "test"
                        if !ash
                            && command.args().iter().any(|arg| {
                                arg.known() == Some("==") && outline.written(arg.span) == "=="
                            }) =>
                    {
                        "=="
                    }
                    _ => continue,
                };
                let known = script.notes.iter().any(|note| {
                    matches!(note.kind, NoteKind::Bash(what) if what == word)
                        && note.span.start == command.span.start
                });
                if !known {
                    tell(found, item, command.argv[0].span, word);
                }
            }
        }
    }
}

fn tell(found: &mut Found<'_>, item: &Item<'_>, span: Span, what: &str) {
    let message = format!("`{what}` is bash's, and this runs in `/bin/sh`");
    let help = "SHELL [\"/bin/bash\", \"-c\"], or write it for a plain shell";
    found.tell(item.place, span, message, "a plain shell may not know it", help);
}
