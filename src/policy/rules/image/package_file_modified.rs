//! `package-file-modified`: a file that is not its package's.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Level, Rule};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "package-file-modified",
    title: "Scanners read package versions; they do not look at the bytes.",
    text: "Finds files that belong to a package and differ from what the package database says of \
          them: `info/*.md5sums` of dpkg, apk's `lib/apk/db/installed`, rpm's database. Scanners \
          believe the version of the package; this looks at the bytes. Files of programs and \
          libraries that are missing are told as a warning, once for each package.\n\n\
          Exempt: what lies in /etc, diverted files, compiled Python. Where the database \
          is rpm's in Berkeley DB, which is not read, the rule is told as skipped.\n\n\
          Install the package again; change files of the system in packages of your own.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let packages = judged.packages();
    for path in &packages.unread {
        found.skip(format!("the package database `{path}` is not read"));
    }
    let visible = judged.visible();
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (path, package) in packages.summed() {
        if path.starts_with("/etc/") || path.ends_with(".pyc") {
            continue;
        }
        let Some(at) = visible.get(path) else {
            let tops = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/lib", "/usr/lib"];
            if tops.iter().any(|top| path.starts_with(top)) {
                missing.entry(package).or_default().push(path);
            }
            continue;
        };
        let content = judged.content(at.layer, at.file);
        // Links are made by alternatives; sums are taken where packages put files.
        if content.kind != FileKind::File || packages.holds(path, content) != Some(false) {
            continue;
        }
        let finding = found
            .finding(format!("`{path}` is not what the package `{package}` brought"))
            .in_image(path, Some(at.layer))
            .evidence("package", package)
            .evidence("sha256", content.sha256.as_str())
            .evidence("size", content.size)
            .help(format!("install `{package}` again, and find out which step changed the file"));
        found.add(origin(finding, judged, at.layer));
    }
    for (package, paths) in missing {
        let finding = found
            .finding(format!("{} files of the package `{package}` are missing", paths.len()))
            .in_image(paths[0], None)
            .evidence("package", package)
            .evidence("files", paths.iter().take(20).copied().collect::<Vec<_>>())
            .help("remove the package, not its files");
        found.add_at(Level::Warn, finding);
    }
}
