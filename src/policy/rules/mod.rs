//! The list of rules. A rule is a file here and a word in the list; a test asks every profile for
//! its level.

use super::rule::Rule;

macro_rules! rules {
    ($($name:ident)*) => {
        $(mod $name;)*

        /// All rules, by id.
        pub static RULES: &[&Rule] = &[$(&$name::RULE),*];
    };
}

rules! {
    account_extra_root
    add_instead_of_copy
    add_remote_unverified
    base_tag_latest
    base_unpinned
    base_untagged
    build_secret_leaked
    cmd_repeated
    copy_from_unpinned
    device_node
    download_insecure_tls
    entrypoint_repeated
    final_user_root
    healthcheck_repeated
    ld_so_preload
    package_install_in_final
    package_manager_present
    package_unauthenticated
    parse_error
    pipe_to_interpreter
    privilege_tool_used
    privileged_step
    secret_in_arg
    secret_in_env
    setuid_file
    single_stage_unsquashed
}

/// Returns what a person should know of a rule: why, what it finds, how to mend it, parameters,
/// and a bad and a good example.
pub fn explain(rule: &Rule) -> String {
    let mut out = format!("{}\n\n{}\n\n{}\n", rule.id, rule.title, rule.text.trim());
    if !rule.params.is_empty() {
        out.push_str("\nParameters:\n");
        for param in rule.params {
            out.push_str(&format!("  {} = {}\n      {}\n", param.name, param.default, param.help));
        }
    }
    for (word, example) in [("Fails", rule.bad.first()), ("Passes", rule.good.first())] {
        if let Some(example) = example {
            out.push_str(&format!("\n{word}:\n"));
            for line in example.lines() {
                out.push_str(&format!("    {line}\n"));
            }
        }
    }
    let aliases: Vec<&str> = rule.aliases.iter().map(|alias| alias.name).collect();
    if !aliases.is_empty() {
        out.push_str(&format!("\nAlso known as: {}\n", aliases.join(", ")));
    }
    if !rule.standards.is_empty() {
        out.push_str(&format!("Standards: {}\n", rule.standards.join(", ")));
    }
    if !rule.inline {
        out.push_str("Comments in the Dockerfile do not cover this rule.\n");
    }
    out
}

use super::Judged;
use super::finding::Finding;
use super::outline::{Item, Outline};
use super::rule::Found;
use crate::facts::Origin;
use crate::instruction::Instruction;

/// Points a finding in a layer at the instruction that made the layer.
fn origin(finding: Finding, judged: &Judged<'_>, layer: usize) -> Finding {
    let Some(facts) = judged.facts.layers.get(layer) else { return finding };
    match &facts.origin {
        Origin::Base => finding.evidence("origin", "base image"),
        Origin::Foreign(text) => finding.evidence("origin", text.as_str()),
        Origin::Step(span) => {
            let items = judged.outline.iter().flat_map(|outline| &outline.stages);
            let mut items = items.flat_map(|stage| &stage.items);
            let place = items.find(|item: &&Item<'_>| item.place.span == *span);
            let finding = finding.at(*span, "this instruction made the layer");
            match place {
                Some(item) => finding.of(item.place),
                None => finding,
            }
        }
    }
}

/// Finds each instruction of a kind but the last of its stage.
fn repeated(outline: &Outline<'_>, found: &mut Found<'_>, is: fn(&Instruction) -> bool) {
    for stage in &outline.stages {
        let all: Vec<&Item<'_>> = stage.items.iter().filter(|item| is(item.instruction)).collect();
        let Some((last, others)) = all.split_last() else { continue };
        for item in others {
            let name = item.instruction.name();
            let finding = found
                .finding(format!("this {name} has no effect: a later one replaces it"))
                .at(item.instruction.span(), "has no effect")
                .of(item.place)
                .also(last.instruction.keyword(), "this one counts")
                .help("delete it");
            found.add(finding);
        }
    }
}
