//! `identity-file-changed`: who the system is, changed.

use crate::facts::{FileFact, FileKind};
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Rule};
use std::collections::BTreeMap;
use std::ops::Bound;
pub(in crate::policy) static RULE: Rule = Rule {
    id: "identity-file-changed",
    title: "/etc/hosts redirects traffic; passwd and sudoers hand out keys.",
    text: "Finds files that say who may log in, who may do what, and whom to trust, in a layer of \
          the build, with other content than below it: /etc/passwd, shadow, group, sudoers, \
          hosts, resolv.conf, nsswitch.conf, crontab, ssh/sshd_config, and all files in \
          sudoers.d, pam.d, cron.d, profile.d. The change is told line by line.\n\n\
          Exempt: accounts that are added with an id from 1000 on and without a shell, and their \
          groups; files as their package brought them.\n\n\
          The part `ca` is new certificates to trust, in an image that has some.",
    facets: &["ca"],
    image_check: Some(check_image),
    ..Rule::NEW
};

const SINGLE: &[&str] = &[
    "/etc/passwd",
    "/etc/shadow",
    "/etc/group",
    "/etc/sudoers",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/nsswitch.conf",
    "/etc/crontab",
    "/etc/ssh/sshd_config",
];
const FOLDERS: &[&str] = &["/etc/sudoers.d/", "/etc/pam.d/", "/etc/cron.d/", "/etc/profile.d/"];
const TRUST: &[&str] =
    &["/etc/ssl/certs/", "/etc/ca-certificates/", "/usr/local/share/ca-certificates/"];

/// Bytes of a change that are told.
const SHOWN: usize = 16 << 10;

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let mut below: BTreeMap<&str, (usize, &FileFact)> = BTreeMap::new();
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        let files = || layer.table.files.iter().filter(|file| file.kind == FileKind::File);
        // An image without any has to get them from somewhere.
        let first = below.range::<str, _>((Bound::Included(TRUST[0]), Bound::Unbounded)).next();
        let trusts = first.is_some_and(|(path, _)| path.starts_with(TRUST[0]));
        let mut certificates: Vec<&FileFact> = Vec::new();
        for file in files().filter(|_| !judged.is_base(index)) {
            let path = file.path.as_str();
            let old = below.get(path).copied();
            let single = SINGLE.contains(&path);
            let listed = single || FOLDERS.iter().any(|folder| path.starts_with(folder));
            let trust = TRUST.iter().any(|folder| path.starts_with(folder));
            // A file that the image did not have gives nobody another identity, one for a folder does.
            if !(listed || (trust && trusts))
                || (single && old.is_none())
                || old.is_some_and(|(_, old)| old.sha256 == file.sha256)
                || judged.packages_in(index).genuine(file) == Some(true)
            {
                continue;
            }
            if !listed {
                certificates.push(file);
                continue;
            }
            let text = |layer: usize| judged.facts.layers[layer].table.texts.get(path);
            let before = old.and_then(|(layer, _)| text(layer)).map_or("", String::as_str);
            let after = text(index).map_or("", String::as_str);
            if is_new_account(path, before, after) {
                continue;
            }
            let diff = crate::policy::diff(path, before, after);
            let diff = &diff[..diff.floor_char_boundary(SHOWN)];
            let finding = found
                .finding(format!("`{path}` is {}", if old.is_some() { "changed" } else { "new" }))
                .in_image(path, Some(index))
                .evidence("diff", diff)
                .help("let it come from the base or a package, or bring it by COPY, where it is reviewed");
            found.add(origin(finding, judged, index));
        }
        if let Some(first) = certificates.first() {
            let paths: Vec<&str> =
                certificates.iter().take(20).map(|file| file.path.as_str()).collect();
            let finding = found
                .finding(format!("{} new certificates are trusted", certificates.len()))
                .in_image(first.path.as_str(), Some(index))
                .evidence("files", paths)
                .evidence("sha256", first.sha256.as_str())
                .facet("ca")
                .help("trust what the base or its package trusts, or say in the policy why not");
            found.add(origin(finding, judged, index));
        }
        below.extend(files().map(|file| (file.path.as_str(), (index, file))));
    }
}

// Only lines at the end, each an account of its own without a shell, or the group or the locked
// password of one.
fn is_new_account(path: &str, before: &str, after: &str) -> bool {
    let Some(added) = after.strip_prefix(before).filter(|added| !added.is_empty()) else {
        return false;
    };
    let high =
        |id: Option<&&str>| id.and_then(|id| id.parse::<u32>().ok()).is_some_and(|id| id >= 1000);
    added.lines().all(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        match path {
            "/etc/passwd" => {
                let shell =
                    fields.get(6).map_or("", |shell| shell.rsplit('/').next().unwrap_or(""));
                high(fields.get(2)) && matches!(shell, "" | "nologin" | "false")
            }
            "/etc/group" => high(fields.get(2)),
            "/etc/shadow" => fields.get(1).is_some_and(|field| field.starts_with(['!', '*'])),
            _ => false,
        }
    })
}
