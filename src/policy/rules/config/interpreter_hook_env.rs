//! `interpreter-hook-env`: a hook in front of every script.

use crate::instruction::Instruction;
use crate::policy::{Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "interpreter-hook-env",
    title: "Start-up hooks of an interpreter are LD_PRELOAD for scripts.",
    text: "Finds ENV (and environment in the config of an image) that has an interpreter run or \
          load something first: BASH_ENV, ENV, PROMPT_COMMAND, PYTHONSTARTUP, PYTHONINSPECT, \
          PERL5OPT, PERL5LIB, RUBYOPT, NODE_OPTIONS with -r, --require or --import, \
          JAVA_TOOL_OPTIONS and the like with an agent, GIT_SSH_COMMAND, GIT_EXTERNAL_DIFF, \
          DOTNET_STARTUP_HOOKS, CORECLR_ENABLE_PROFILING.",
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: "[]",
        help: "names that may be set",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nENV BASH_ENV=/opt/hook.sh\n"],
    good: &["FROM node:22\nENV NODE_OPTIONS=--max-old-space-size=512\n"],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    for item in outline.items_of("ENV") {
        let Instruction::Env(env) = item.instruction else { continue };
        for pair in &env.pairs {
            let value = item.expand(&pair.value.raw).unwrap_or_else(|| pair.value.raw.clone());
            let name = &pair.name.raw;
            if !hooks(name, &value) || found.texts("allow").contains(&name.as_str()) {
                continue;
            }
            let finding = found
                .finding(format!("`{name}` runs something in front of every program"))
                .at(pair.name.span.to(pair.value.span), "a hook")
                .of(item.place)
                .evidence("name", name.as_str())
                .help("set it for the one command that needs it");
            found.add(finding);
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for pair in &judged.facts.config.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if hooks(name, value) && !found.texts("allow").contains(&name) {
            let finding = found
                .finding(format!("`{name}` runs something in front of every program"))
                .in_image("config", None)
                .evidence("name", name)
                .help("leave it out");
            found.add(finding);
        }
    }
}

fn hooks(name: &str, value: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| value.contains(word));
    !value.is_empty()
        && match name {
            // ENV of an application's own (`production`) is no file.
            "ENV" => value.contains('/'),
            "BASH_ENV"
            | "PROMPT_COMMAND"
            | "PYTHONSTARTUP"
            | "PYTHONINSPECT"
            | "PERL5OPT"
            | "PERL5LIB"
            | "RUBYOPT"
            | "GIT_SSH_COMMAND"
            | "GIT_EXTERNAL_DIFF"
            | "DOTNET_STARTUP_HOOKS" => true,
            "NODE_OPTIONS" => {
                has(&["--require", "--import"]) || value.split_whitespace().any(|word| word == "-r")
            }
            "JAVA_TOOL_OPTIONS" | "_JAVA_OPTIONS" | "JDK_JAVA_OPTIONS" => {
                has(&["-javaagent", "-agentpath", "-agentlib"])
            }
            "PHP_INI_SCAN_DIR" => has(&["auto_prepend"]),
            "CORECLR_ENABLE_PROFILING" => value == "1",
            _ => false,
        }
}
