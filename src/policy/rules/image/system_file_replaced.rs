//! `system-file-replaced`: a library of the system that is another.

use crate::facts::{FileFact, FileKind, ImageFacts};
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Param, ParamKind, Rule, glob};
use std::collections::BTreeMap;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "system-file-replaced",
    title: "A modified libc.so in one of the middle layers intercepted execve.",
    text: "Finds a file of `paths` (the loader, the C library and those of threads, accounts, \
          logins and encryption, the shell and the programs that show what runs) in which a \
          layer, of the build or of the base, has other content than a layer below it, also if \
          the path was removed in between. A program that is in every process sees all of it.\n\n\
          Exempt is an upgrade: the layer also changes the package database, and the database \
          knows the new content. Where the database is rpm's in Berkeley DB, which is not read, the rule \
          is told as skipped.",
    params: &[Param {
        name: "paths",
        kind: ParamKind::Texts,
        default: r#"["/lib*/**/ld-*.so*", "/lib*/**/ld.so*", "/lib*/**/libc.so*", "/lib*/**/libc-*.so", "/lib*/**/libc.musl-*.so*", "/lib*/**/libpthread*.so*", "/lib*/**/libdl*.so*", "/lib*/**/libpam*.so*", "/lib*/**/libnss*.so*", "/lib*/**/libcrypto.so*", "/lib*/**/libssl.so*", "/usr/lib*/**/ld-*.so*", "/usr/lib*/**/ld.so*", "/usr/lib*/**/libc.so*", "/usr/lib*/**/libc-*.so", "/usr/lib*/**/libc.musl-*.so*", "/usr/lib*/**/libpthread*.so*", "/usr/lib*/**/libdl*.so*", "/usr/lib*/**/libpam*.so*", "/usr/lib*/**/libnss*.so*", "/usr/lib*/**/libcrypto.so*", "/usr/lib*/**/libssl.so*", "/bin/sh", "/usr/bin/sh", "/bin/ls", "/usr/bin/ls", "/bin/ps", "/usr/bin/ps", "/bin/su", "/usr/bin/su", "/bin/login", "/usr/bin/login", "/bin/find", "/usr/bin/find", "/bin/netstat", "/usr/bin/netstat", "/bin/ss", "/usr/bin/ss", "/bin/top", "/usr/bin/top", "/bin/busybox", "/usr/bin/busybox"]"#,
        help: "files of the system",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let paths: Vec<String> = found.texts("paths").into_iter().map(str::to_owned).collect();
    let mut below: BTreeMap<&str, (usize, &FileFact)> = BTreeMap::new();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        let rows = || {
            layer.table.files.iter().filter(|file| {
                !matches!(file.kind, FileKind::Dir | FileKind::Whiteout | FileKind::Opaque)
            })
        };
        for file in rows() {
            let path = file.path.as_str();
            let Some((old_layer, old)) = below.get(path).copied() else { continue };
            if same(judged, (old_layer, old), (index, file))
                || !paths.iter().any(|pattern| glob::matches(pattern, path))
            {
                continue;
            }
            let packages = judged.packages_in(index);
            let changed = judged.updates_packages(index);
            if changed && is_of_package(judged, index, file) {
                continue;
            }
            if changed && !packages.unread.is_empty() {
                found.skip(format!("`{path}` changed, and `{}` is not read", packages.unread[0]));
                continue;
            }
            let finding = found
                .finding(format!("`{path}` is another than in layer {old_layer}"))
                .in_image(path, Some(index))
                .evidence("sha256", judged.content(index, file).sha256.as_str())
                .evidence("was", judged.content(old_layer, old).sha256.as_str())
                .evidence("was_in_layer", old_layer)
                .help("files of the system come from packages: upgrade the package, or the base");
            found.add(origin(finding, judged, index));
        }
        below.extend(rows().map(|file| (file.path.as_str(), (index, file))));
    }
}

fn same<'a>(judged: &Judged<'a>, a: (usize, &'a FileFact), b: (usize, &'a FileFact)) -> bool {
    let has_content = |kind: &FileKind| matches!(kind, FileKind::File | FileKind::Hardlink(_));
    if has_content(&a.1.kind) && has_content(&b.1.kind) {
        return judged.content(a.0, a.1).sha256 == judged.content(b.0, b.1).sha256;
    }
    a.1.kind == b.1.kind
}

// As the database knows it; of a link, that it leads to such a file.
fn is_of_package(judged: &Judged<'_>, layer: usize, file: &FileFact) -> bool {
    let packages = judged.packages_in(layer);
    if let FileKind::Symlink(_) = &file.kind {
        return judged.shown_in(layer, |visible| {
            let end = ImageFacts::resolve(visible, &file.path);
            end.is_some_and(|end| packages.genuine(end.file) == Some(true))
        });
    }
    packages.genuine(file) == Some(true)
}
