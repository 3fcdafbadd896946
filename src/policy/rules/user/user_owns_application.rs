//! `user-owns-application`: a process that may rewrite itself.

use crate::facts::{FileKind, ImageFacts, Visible};
use crate::policy::rules::origin;
use crate::policy::started;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-owns-application",
    title: "Code its own process can rewrite gives the intruder persistence.",
    text: "Finds what the user of the config may write, itself or by putting another file in its \
          place, of: the programs and files that ENTRYPOINT and CMD name, the interpreter of a \
          script, the libraries in the folders of libraries, the folders on PATH. An intruder \
          who takes over the process stays with it.\n\n\
          Let root own what is run: `COPY --chown=0:0`, modes 0755 and 0644.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(who) = judged.facts.identity(judged.visible()).filter(|who| who.uid != 0) else {
        return;
    };
    let visible = judged.visible();
    let mut told = |path: &str, at: Visible<'_>, what: &str| {
        let finding = found
            .finding(format!("the user of the image may {what} `{path}`"))
            .in_image(path, Some(at.layer))
            .evidence("mode", format!("{:04o}", at.file.mode))
            .evidence("owner", format!("{}:{}", at.file.uid, at.file.gid))
            .help(
                "let root own it: `COPY --chown=0:0`, or `RUN chown 0:0` in the step that makes it",
            );
        found.add(origin(finding, judged, at.layer));
    };
    let mut known = std::collections::BTreeSet::new();
    for path in started::files(judged.facts, visible) {
        let Some(at) = visible.get(path.as_str()).copied().filter(|_| known.insert(path.clone()))
        else {
            continue;
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        if who.may_write(at.file) {
            told(&path, at, "rewrite");
        } else if visible.get(folder).is_some_and(|folder| who.may_replace_in(folder.file)) {
            told(&path, at, "replace");
        }
    }
    for folder in started::search_path(judged.facts) {
        let Some(real) = ImageFacts::real(visible, &folder) else { continue };
        if let Some(at) = visible.get(real.as_str()).copied()
            && at.file.kind == FileKind::Dir
            && who.may_write(at.file)
            && known.insert(real.clone())
        {
            told(&real, at, "add programs to");
        }
    }
    for (path, at) in visible {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let library = name.ends_with(".so") || name.contains(".so.");
        let place = ["/lib", "/usr/lib", "/usr/local/lib"];
        if library
            && place.iter().any(|top| folder.starts_with(top))
            && at.file.kind == FileKind::File
            && who.may_write(at.file)
            && known.insert((*path).to_owned())
        {
            told(path, *at, "rewrite");
        }
    }
}
