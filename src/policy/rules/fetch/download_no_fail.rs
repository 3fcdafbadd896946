//! `download-no-fail`: curl that takes an error page for the file.

use crate::policy::{Found, Outline, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "download-no-fail",
    title: "curl exits 0 on a 404 and saves the error page.",
    text: "Finds curl that fetches into a file or a pipe without -f (--fail): on a 404 it saves \
          the page and says all is well. Requests for headers or a status (-I, -w) are exempt.",
    text_check: Some(check),
    bad: &["FROM busybox\nRUN curl -sSL https://example.org/a -o /a\n"],
    good: &[
        "FROM busybox\nRUN curl -fsSL https://example.org/a -o /a\n",
        "FROM busybox\nRUN curl -s -o /dev/null -w '%{http_code}' https://example.org && curl --fail-with-body https://example.org/x | cat\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for (item, command) in outline.calls(|head| head.is("curl")) {
        let flags = crate::policy::flow::flags(command);
        let has = |names: &[&str]| flags.iter().any(|(flag, _)| names.contains(&flag.as_str()));
        let url = flags.iter().any(|(flag, arg)| {
            flag.is_empty()
                && arg.is_some_and(|arg| {
                    crate::policy::flow::is_url(&arg.text)
                        || arg.text.contains(crate::facts::shell::HOLE)
                })
        });
        let fails = has(&["-f", "--fail", "--fail-with-body", "--fail-early"]);
        let asks = has(&["-I", "--head", "-w", "--write-out", "--version", "-V", "--help"]);
        if url && !fails && !asks {
            let name = command.argv[0].span;
            let finding = found
                .finding("curl takes an error page for the file")
                .at(command.span, "no -f")
                .of(item.place)
                .help("add -f")
                .fix(name, format!("{} -f", outline.written(name)));
            found.add(finding);
        }
    }
}
