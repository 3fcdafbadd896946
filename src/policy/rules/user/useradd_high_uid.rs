//! `useradd-high-uid`: a sparse file of gigabytes.

use crate::policy::{Alias, Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "useradd-high-uid",
    title: "`useradd` with a high uid writes a sparse lastlog of gigabytes.",
    text: "Finds `useradd` with an id over 99999 and without -l (--no-log-init): it writes a \
          lastlog with an entry for every id.",
    aliases: &[Alias::of("DL3046")],
    text_check: Some(check),
    bad: &["FROM debian:12\nRUN useradd -u 1234567 app\n"],
    good: &["FROM debian:12\nRUN useradd -l -u 1234567 app\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("useradd")) {
        let args: Vec<&str> = command.args().iter().filter_map(|arg| arg.known()).collect();
        let id = args.iter().enumerate().find_map(|(at, arg)| {
            let letters = arg.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            match arg.strip_prefix("--uid=") {
                Some(id) => Some(id),
                None if *arg == "--uid" => args.get(at + 1).copied(),
                None => {
                    let (_, rest) = letters?.split_once('u')?;
                    if rest.is_empty() { args.get(at + 1).copied() } else { Some(rest) }
                }
            }
        });
        let quiet = args.iter().any(|arg| {
            *arg == "--no-log-init"
                || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('l'))
        });
        if !quiet && id.and_then(|id| id.parse::<u64>().ok()).is_some_and(|id| id > 99_999) {
            let name = command.argv[0].span;
            let finding = found
                .finding("`useradd` writes a lastlog of gigabytes for this id")
                .at(command.span, "without --no-log-init")
                .of(item.place)
                .help("add -l")
                .fix(name, format!("{} -l", outline.written(name)));
            found.add(finding);
        }
    }
}
