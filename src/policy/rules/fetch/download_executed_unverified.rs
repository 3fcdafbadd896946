//! `download-executed-unverified`: what was fetched is run, unchecked.

use crate::policy::{Found, Item, Outline, Rule, Stage};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "download-executed-unverified",
    title: "Saving to a file first is the same trust in two lines.",
    text: "Finds a file that a step of the stage fetches (curl, wget, aria2c, ADD of a URL) and \
          that a later command runs or installs (`sh f`, `./f`, `python f`, `dpkg -i f`), with \
          no check of it in between: sha*sum -c, a comparison of its sum, gpg --verify, cosign, \
          minisign, ADD --checksum. An archive that is fetched and unpacked counts when what \
          follows runs its `./configure`, `make` or an installer in it.",
    text_check: Some(check),
    bad: &[
        "FROM busybox\nRUN wget -q https://example.org/i.sh -O /tmp/i.sh && sh /tmp/i.sh\n",
        "FROM busybox\nADD https://example.org/i.sh /tmp/i.sh\nRUN sh /tmp/i.sh\n",
        "FROM debian:12\nRUN curl -fsSLO https://example.org/a.deb && dpkg -i a.deb\n",
        "FROM debian:12\nWORKDIR /src\nRUN curl -fsSLO https://example.org/i.sh\nRUN chmod +x i.sh && ./i.sh\n",
        "FROM busybox\nRUN cp /usr/bin/curl /c; /c -o /x http://example.com/x\nRUN sh /x\n",
        "FROM busybox\nRUN ln -s $(command -v curl) /c\nRUN /c -o /x http://example.com/x && sh /x\n",
    ],
    good: &[
        "FROM busybox\nRUN wget -q https://example.org/i.sh -O /tmp/i.sh \\\n && echo '7777777777777777777777777777777777777777777777777777777777777777  /tmp/i.sh' | sha256sum -c - && sh /tmp/i.sh\n",
        "FROM busybox\nRUN wget -q https://example.org/data.json -O /data.json && cat /data.json\n",
        "FROM busybox\nRUN cp /usr/bin/true /c; /c -o /x http://example.com/x\nRUN sh /x\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for stage in &outline.stages {
        let steps = crate::policy::flow::steps(outline, stage);
        for fetched in fetched(outline, stage, &steps) {
            let Some(file) = &fetched.download.file else { continue };
            let mut unpacked = false;
            for step in steps[fetched.next..].iter().take(500) {
                if crate::policy::flow::verifies(step.command, step.item.script(), file) {
                    break;
                }
                unpacked |= matches!(step.command.name(), Some("tar" | "unzip" | "bsdtar"))
                    && step
                        .command
                        .args()
                        .iter()
                        .any(|arg| step.path(arg).as_deref() == Some(file));
                let builds = unpacked
                    && (step.command.name() == Some("make")
                        || step.command.argv.first().is_some_and(|arg| {
                            matches!(
                                arg.known(),
                                Some("./configure" | "./install.sh" | "./install")
                            )
                        }));
                if builds || crate::policy::flow::executes(step, file) {
                    let finding = found
                        .finding(format!("`{file}` is fetched, and run without a check"))
                        .at(fetched.download.span, "fetched here")
                        .of(fetched.item.place)
                        .also(step.command.span, "run here")
                        .evidence(
                            "url",
                            fetched.download.url.replace(crate::facts::shell::HOLE, "…"),
                        )
                        .help("ADD --checksum=sha256:… URL FILE, then run the file");
                    found.add(finding);
                    break;
                }
            }
        }
    }
}

/// A download, its instruction, and the number of the first command after it.
pub(in crate::policy) struct Fetched<'o, 'a> {
    pub(in crate::policy) download: crate::policy::flow::Download,
    pub(in crate::policy) item: &'o Item<'a>,
    pub(in crate::policy) next: usize,
}

/// Returns what a stage fetches, by commands and by ADD.
pub(in crate::policy) fn fetched<'o, 'a>(
    outline: &Outline<'a>,
    stage: &'o Stage<'a>,
    steps: &[crate::policy::flow::Step<'o, 'a>],
) -> Vec<Fetched<'o, 'a>> {
    let mut out = Vec::new();
    for item in &stage.items {
        let next = steps
            .iter()
            .position(|step| step.item.place.index > item.place.index)
            .unwrap_or(steps.len());
        let added = crate::policy::flow::added(outline, item);
        out.extend(added.into_iter().map(|download| Fetched { download, item, next }));
    }
    for (at, step) in steps.iter().enumerate() {
        let downloads = crate::policy::flow::downloads(step);
        out.extend(downloads.into_iter().map(|download| Fetched {
            download,
            item: step.item,
            next: at + 1,
        }));
    }
    out
}
