//! `undefined-variable`: a variable that nothing sets.

use crate::diag::nearest;
use crate::dockerfile::Word;
use crate::instruction::{Instruction, Source};
use crate::policy::{Alias, BaseName, Found, Item, Outline, Rule, variables};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "undefined-variable",
    title: "An undefined variable expands to nothing and changes the meaning of a path.",
    text: "Finds `$NAME` in COPY, ADD, ENV, LABEL, WORKDIR, USER, EXPOSE, VOLUME, STOPSIGNAL and \
          ONBUILD that no ARG or ENV of the stage or those below it sets and that has no \
          default.\n\nWhere the base was not looked up, it may set any: only names that differ \
          little from a known one are found.",
    aliases: &[Alias::of("UndefinedVar")],
    text_check: Some(check),
    bad: &["FROM scratch\nARG VERSION=1\nLABEL v=$VERSON\n"],
    good: &["FROM scratch\nARG VERSION=1\nLABEL v=$VERSION\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let escape = outline.input.file.escape;
    let mut asked = 0;
    for stage in &outline.stages {
        let bottom = outline.line_of(stage.index).first().map(|stage| (&stage.base, stage.config));
        let known_base = matches!(bottom, Some((BaseName::Scratch, _) | (_, Some(_))));
        for item in &stage.items {
            for word in words(item) {
                for (name, range) in variables(&word.raw, escape) {
                    let defined = item.declares(name)
                        || PREDEFINED.contains(&name.to_ascii_lowercase().as_str())
                        || NATURAL.contains(&name);
                    // `${A:-b}` has a value of its own.
                    if defined || word.raw[range.end..].starts_with([':', '-', '+', '?']) {
                        continue;
                    }
                    // The names of each of many instructions are many.
                    asked += 1;
                    if asked > MOST {
                        return;
                    }
                    let names = item.declared();
                    let near = nearest(name, names.iter().map(String::as_str));
                    if near.is_none() && !known_base {
                        continue;
                    }
                    let mut finding = found
                        .finding(format!("`{name}` has no value here"))
                        .at(word.span, "expands to nothing")
                        .of(item.place)
                        .evidence("name", name);
                    finding = match near {
                        Some(near) => finding.help(format!("did you mean `{near}`?")),
                        None => finding.help("declare it: ARG, or a default `${NAME:-…}`"),
                    };
                    found.add(finding);
                }
            }
        }
    }
}

const MOST: usize = 200;
const PREDEFINED: &[&str] =
    &["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy", "source_date_epoch"];
// What every container has.
const NATURAL: &[&str] = &["PATH", "HOME", "HOSTNAME", "TERM"];

fn words<'a>(item: &Item<'a>) -> Vec<&'a Word> {
    let paths = |sources: &'a [Source]| {
        sources.iter().filter_map(|source| match source {
            Source::Path(word) => Some(word),
            Source::Inline(..) => None,
        })
    };
    match item.instruction {
        Instruction::Copy(copy) => paths(&copy.sources).chain([&copy.destination]).collect(),
        Instruction::Add(add) => paths(&add.sources).chain([&add.destination]).collect(),
        Instruction::Env(env) => env.pairs.iter().map(|pair| &pair.value).collect(),
        Instruction::Label(label) => label.pairs.iter().map(|pair| &pair.value).collect(),
        Instruction::Workdir(workdir) => vec![&workdir.path],
        Instruction::User(user) => vec![&user.who],
        Instruction::Expose(expose) => expose.ports.iter().collect(),
        Instruction::Volume(volume) => volume.paths.iter().collect(),
        Instruction::Stopsignal(signal) => vec![&signal.signal],
        _ => Vec::new(),
    }
}
