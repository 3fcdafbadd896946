//! A policy file to start from: every key with what it is for, all of it commented out, so that the
//! file says nothing until somebody does.

use std::fmt::Write;

use super::profile::PROFILES;
use super::sections::SECTIONS;

const HEAD: &str = "\
# The policy of this repository. Lines that begin with `#` say nothing: take the mark away from
# those that you want. `rbuild policy show` tells what is in force and who said so,
# `rbuild policy explain ID` what a rule wants, `rbuild policy test DIR` tries your cases.
version = 1
";

const TOP: &str = "\
# name    = \"payments\"
# inline  = \"justify\"               # comments cover findings: allow | justify (with a reason) | deny
# offline = \"skip\"                  # bases that were not looked up: skip | error
# fail_on = \"error\"                 # what refuses an image: error | warn | never
# behaviour = \"auto\"                # what steps do: auto | required | off
# chroot  = \"deny\"                  # --isolation=chroot: allow | deny
# lock    = [\"rules.final-user-root\", \"inline\"]  # what files after this one may not weaken

# [rules]                           # a level: off, warn, error
# base-tag-latest = \"error\"
# healthcheck-missing = \"off\"
# \"package-version-unpinned[pip]\" = \"error\"

# [rules.setuid-file]               # a level and parameters; `allow_add` adds to a list
# severity = \"error\"
# allow_add = [\"/usr/bin/newuidmap\"]
";

const TAIL: &str = "
# [[exceptions]]                    # all of: rules, a scope, reason, owner, expires
# rules   = [\"final-user-root\"]
# files   = [\"images/init/Dockerfile\"]  # scopes: files, stages, paths, sha256, images
# reason  = \"init container sets sysctls; OPS-1412\"
# owner   = \"platform@corp.example\"
# expires = 2027-12-31
# max     = 1                       # more findings than this in one run: it covers none

# [custom]                          # rules in Rego: docs/rego.md
# rego = [\"policies/*.rego\"]
# data = [\"policies/data.json\"]
# input = \"rbuild\"                  # or conftest
";

/// Returns a policy file to start from. With a profile, the file extends it, and is to be named by
/// `--policy`; without, it refines what is in force, as a repository's does.
pub fn template(profile: Option<&str>) -> String {
    let mut out = String::from(HEAD);
    let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
    match profile {
        Some(name) => {
            let _ = writeln!(
                out,
                "extends = \"{name}\"  # {}, a file, oci:NAME@sha256:…",
                names.join(", ")
            );
        }
        None => out.push_str(
            "# It refines the policy that is in force: `hardened`, or the organisation's.\n",
        ),
    }
    out.push('\n');
    out.push_str(TOP);
    for section in SECTIONS {
        let _ = writeln!(out, "\n# [{}]", section.name);
        for key in section.keys {
            let value = match key.default {
                "" => example(key.name),
                default => default,
            };
            let _ = writeln!(out, "# {} = {value}  # {}", key.name, key.help);
        }
    }
    out.push_str(TAIL);
    out
}

// Of keys that have no value until one is set.
fn example(key: &str) -> &'static str {
    match key {
        "max_age" => "\"90d\"",
        "max_size" => "\"250MiB\"",
        "max_compressed" => "\"90MiB\"",
        "max_layer" => "\"120MiB\"",
        "max_layers" => "12",
        "max_growth" => "\"10%\"",
        "lowest_efficiency" => "0.95",
        "highest_wasted_bytes" => "\"20MB\"",
        _ => "0.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    // The mark is taken away from every line that is a key or a table.
    fn uncommented(text: &str) -> String {
        text.lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest) if rest.contains(" = ") || rest.starts_with('[') => rest,
                _ => line,
            })
            .filter(|line| !line.starts_with("rego") && !line.starts_with("data"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn the_template_says_nothing_and_each_of_its_lines_is_right() {
        let bare = Policy::read(&template(None), "p", &mut |_| None).unwrap();
        let mut hardened = Policy::builtin("hardened").unwrap();
        assert_eq!(bare.digest(), {
            hardened.name = "p".into();
            hardened.digest()
        });
        for profile in [None, Some("baseline")] {
            let full = uncommented(&template(profile));
            let policy =
                Policy::read(&full, "p", &mut |_| None).unwrap_or_else(|e| panic!("{e}\n{full}"));
            assert_eq!(policy.exceptions.len(), 1);
            assert_eq!(policy.sections.len(), SECTIONS.len());
        }
        let mut merged = Policy::builtin("hardened").unwrap();
        merged.merge(&template(None), "repo").unwrap();
    }
}
