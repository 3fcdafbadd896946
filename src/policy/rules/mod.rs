//! The list of rules. A rule is a file in the folder of its category and a word in the list; a test
//! asks every profile for its level.

use super::rule::Rule;

macro_rules! rules {
    ($($group:ident { $($name:ident)* })*) => {
        $(mod $group { $(pub(in crate::policy) mod $name;)* })*

        /// All rules, by category and id.
        pub static RULES: &[&Rule] = &[$($(&$group::$name::RULE,)*)*];

        /// The ids of the rules of each category.
        pub static CATEGORIES: &[(&str, &[&Rule])] =
            &[$((stringify!($group), &[$(&$group::$name::RULE,)*]),)*];
    };
}

rules! {
    base {
        base_end_of_life
        base_not_allowed
        base_platform_mismatch
        base_registry_untrusted
        base_stale
        base_tag_latest
        base_tag_moved
        base_unpinned
        base_unqualified_name
        base_unsigned
        base_untagged
        base_without_attestations
        copy_from_unpinned
        empty_digest
        final_base_not_minimal
        frontend_directive
        output_tag_mutable
        registry_insecure
        single_stage_build
    }
    behaviour {
        build_secret_printed
        exec_failed
        exec_from_scratch_dir
        fileless_exec
        kernel_module_attempted
        kernel_surface_attempted
        loader_hook_written
        network_destination
        network_in_final
        process_left_behind
        ptrace_attempted
        setuid_executed
        step_not_reproducible
        step_resource_budget
    }
    config {
        healthcheck_missing
        interpreter_hook_env
        label_empty
        label_key_invalid
        label_missing
        label_unknown
        label_unverified_claim
        label_value_invalid
        loader_env
        path_env_unsafe
    }
    fetch {
        add_remote_unverified
        download_executed_unverified
        download_insecure_tls
        download_no_fail
        download_plain_http
        download_unverified
        git_clone_unpinned
        obfuscated_command
        pipe_to_interpreter
        reverse_shell
        self_erasing_payload
        wget_and_curl
        wget_progress
    }
    form {
        add_instead_of_copy
        bind_mount_write
        cache_mount_sharing
        cmd_repeated
        confusable_characters
        consecutive_run
        context_oversize
        context_unfiltered
        copy_before_dependency_install
        copy_from_self
        copy_from_unknown
        copy_ignored_file
        copy_multiple_no_slash
        copy_relative_destination
        copy_source_missing
        copy_then_extract
        copy_whole_filesystem
        definition_comment_format
        empty_continuation
        entrypoint_ignores_cmd
        entrypoint_repeated
        env_self_reference
        exec_form_malformed
        exec_form_preferred
        exec_form_unexpanded_variable
        expose_host_mapping
        expose_port_range
        expose_protocol_case
        from_arg_default_invalid
        from_arg_undefined
        from_as_case
        from_platform_constant
        from_platform_redundant
        healthcheck_repeated
        instruction_case
        instruction_order
        legacy_key_value
        maintainer_deprecated
        onbuild_forbidden_trigger
        onbuild_used
        parse_error
        stage_name_case
        stage_name_duplicate
        stage_name_reserved
        stage_unused
        undefined_variable
        workdir_relative
        workdir_system_path
    }
    image {
        base_file_hidden
        constant_mtime_web
        deleted_file_shipped
        device_node
        digest_mismatch
        duplicate_content
        empty_file_in_bin
        entrypoint_unrunnable
        entrypoint_untrusted_path
        foreign_binary
        hidden_executable
        hidden_layer_executable
        history_anomaly
        history_remote_execution
        identity_file_changed
        image_efficiency
        image_size_budget
        image_wasted_bytes
        image_wasted_percent
        layer_anomaly
        ld_so_preload
        miner_indicator
        package_file_modified
        provenance_missing
        sbom_incomplete
        sbom_missing
        scan_attestation_stale
        signature_missing
        single_stage_unsquashed
        system_file_replaced
        unattributed_executable
        unneeded_file
        unreferenced_blob
    }
    meta {
        suppression_expired
        suppression_unjustified
        suppression_unknown
        suppression_unused
    }
    package {
        compiler_present
        dependency_lock_unenforced
        expose_admin_port
        interpreter_present
        network_tool_present
        package_apt_frontend
        package_cache_left
        package_dist_upgrade
        package_install_in_final
        package_interactive
        package_key_unverified
        package_manager_present
        package_recommends
        package_unauthenticated
        package_update_alone
        package_version_unpinned
        remote_admin_present
        shell_present
    }
    run {
        delete_in_later_layer
        docker_socket
        heredoc_no_errexit
        run_cd
        run_chown_after_copy
        run_link_shell
        run_pipe_unchecked
        run_pointless_command
        run_status_masked
        shell_assignment_space
        shell_bashism
        shell_cd_unchecked
        shell_echo_escape
        shell_syntax
        shell_unquoted
        volume_system_path
    }
    secret {
        build_only_env
        build_secret_leaked
        copy_sensitive_file
        secret_command
        secret_file_in_layer
        secret_in_arg
        secret_in_env
        secret_in_history
        secret_literal
        secret_mount_optional
        secret_token_in_layer
        ssh_host_key_unchecked
    }
    user {
        account_duplicate
        account_empty_password
        account_extra_root
        account_password_set
        file_capabilities
        final_user_root
        privilege_tool_present
        privilege_tool_used
        privileged_step
        setuid_file
        user_alias_of_root
        user_not_numeric
        user_owns_application
        user_privileged_group
        user_uid_low
        user_unresolvable
        useradd_high_uid
        world_writable
        writable_path_undeclared
    }
}

/// Returns what a person should know of a rule: why, what it finds, how to mend it, parameters,
/// and a bad and a good example.
pub fn explain(rule: &Rule) -> String {
    let levels: Vec<String> = PROFILES
        .iter()
        .filter_map(|(name, _)| {
            let policy = Policy::builtin(name)?;
            let setting = policy.setting(rule.id);
            let own = |(facet, level): (&&str, &Level)| format!(", {facet} {}", level.word());
            let facets: String = setting.facets.iter().map(own).collect();
            Some(format!("{name} {}{facets}", setting.level.word()))
        })
        .collect();
    let mut out = format!(
        "{}\n\n{}\n\n{}\n\nLooks at the {}. Levels: {}.\n",
        rule.id,
        rule.title,
        rule.text.trim(),
        looks(rule).join(" and "),
        levels.join("; ")
    );
    if !rule.facets.is_empty() {
        out.push_str(&format!(
            "Parts: {}, as `{}[{}]`.\n",
            rule.facets.join(", "),
            rule.id,
            rule.facets[0]
        ));
    }
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

/// Returns what a rule looks at: `text`, `steps`, `image`, `comments`.
pub(super) fn looks(rule: &Rule) -> Vec<&'static str> {
    let all = [
        ("text", rule.text_check.is_some()),
        ("steps", rule.behaviour_check.is_some()),
        ("image", rule.image_check.is_some()),
        ("comments", rule.cover_check.is_some()),
    ];
    all.into_iter().filter(|(_, looks)| *looks).map(|(what, _)| what).collect()
}

/// Why calls that were refused are not known.
const NO_CALLS: &str = "the host does not tell which calls were refused";

use super::Judged;
use super::finding::{Finding, Level};
use super::outline::{Item, Outline};
use super::profile::{PROFILES, Policy};
use super::rule::Found;
use crate::facts::{Beside, FileFact, FileKind, ImageFacts, Origin};
use crate::instruction::Instruction;

/// Finds programs by name: what is visible in a `bin` or `sbin` folder and may be run, links
/// followed. `tell` is given the name and the file at the end of all links.
fn present(
    judged: &Judged<'_>,
    found: &mut Found<'_>,
    named: impl Fn(&str) -> bool,
    tell: impl Fn(&str, &FileFact) -> Option<String>,
    help: &str,
) {
    let visible = judged.visible();
    for (path, at) in visible {
        let mut parts = path.rsplit('/');
        let (Some(name), Some(folder)) = (parts.next(), parts.next()) else { continue };
        if !matches!(folder, "bin" | "sbin") || !named(name) {
            continue;
        }
        let Some(end) = ImageFacts::resolve(visible, path) else { continue };
        let program = matches!(end.file.kind, FileKind::File | FileKind::Hardlink(_));
        if !program || end.file.mode & 0o111 == 0 {
            continue;
        }
        let Some(message) = tell(name, end.file) else { continue };
        let finding = found
            .finding(message)
            .in_image(*path, Some(at.layer))
            .evidence("mode", format!("{:04o}", end.file.mode))
            .evidence("sha256", end.file.sha256.as_str())
            .help(help);
        found.add(origin(finding, judged, at.layer));
    }
}

/// Returns what lies beside the image; where nobody could look, says so.
fn beside<'a>(judged: &Judged<'a>, found: &mut Found<'_>) -> Option<&'a Beside> {
    let beside = judged.facts.whole.beside.as_ref();
    if beside.is_none() {
        found.skip(match judged.outline {
            Some(_) => "attestations and signatures are looked for by `rbuild audit`",
            None => "attestations and signatures cannot be looked for where the image is",
        });
    }
    beside
}

/// Finds programs as [`present`] does: those that the rule's parameter `names` lists.
fn present_of_names(
    judged: &Judged<'_>,
    found: &mut Found<'_>,
    tell: impl Fn(&str, &FileFact) -> Option<String>,
    help: &str,
) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    present(judged, found, |name| names.iter().any(|known| known == name), tell, help);
}

/// Points a finding in a layer at the instruction that made it: the layer, or, of a squashed one, the
/// path.
pub(super) fn origin(finding: Finding, judged: &Judged<'_>, layer: usize) -> Finding {
    let Some(facts) = judged.facts.layers.get(layer) else { return finding };
    let path = finding.image.as_ref().map_or("", |image| image.path.as_str());
    if let Some(span) = facts.step_of(path) {
        let item = judged.item(layer, path);
        let finding = finding.at(span, "this instruction made the layer");
        return match item {
            Some(item) => finding.of(item.place),
            None => finding,
        };
    }
    match &facts.origin {
        Origin::Foreign(text) => finding.evidence("origin", start(text)),
        _ => finding.evidence("origin", "base image"),
    }
}

/// The start of a text that each of many findings tells: a command of the history may be megabytes.
fn start(text: &str) -> &str {
    const MOST: usize = 1000;
    &text[..text.floor_char_boundary(MOST)]
}

/// Adds to a finding about something hidden what hides it: the layer, and its instruction. The finding
/// is told there if it has no place of its own.
fn hidden_by(finding: Finding, judged: &Judged<'_>, by: usize, path: &str) -> Finding {
    let finding = finding.evidence("deleted_by", by);
    let Some(facts) = judged.facts.layers.get(by) else { return finding };
    match (facts.step_of(path), &facts.origin) {
        (Some(span), _) if finding.span.is_none() => {
            let finding = finding.at(span, "this instruction hides it");
            match judged.item(by, path) {
                Some(item) => finding.of(item.place),
                None => finding,
            }
        }
        (Some(span), _) if finding.span != Some(span) => {
            finding.also(span, "this instruction hides it")
        }
        (None, Origin::Foreign(text)) => finding.evidence("hidden_by", start(text)),
        _ => finding,
    }
}

/// The level below that of the rule: for what is less sure than the rest.
fn lower(found: &Found<'_>) -> Level {
    match found.level() {
        Level::Error => Level::Warn,
        _ => Level::Note,
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
