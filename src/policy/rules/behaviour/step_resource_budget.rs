//! `step-resource-budget`: a step that uses too much.

use crate::policy::{Acts, Found, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "step-resource-budget",
    title: "A miner burns CPU; a fork bomb burns the runner.",
    text: "Finds a step that used more than it should: processor time, time by the clock, bytes written \
           to disks, and, under an audit, processes at once. A step whose result was in the store is \
           judged by what it used then.\n\n\
           `--resource`, `--ulimit` and `--step-timeout` stop a step; this rule tells.",
    params: &[
        Param {
            name: "cpu",
            kind: ParamKind::Time,
            default: r#""30min""#,
            help: "processor time of all its processes",
        },
        Param { name: "wall", kind: ParamKind::Time, default: r#""30min""#, help: "by the clock" },
        Param { name: "pids", kind: ParamKind::Number, default: "4096", help: "processes at once" },
        Param {
            name: "written",
            kind: ParamKind::Size,
            default: r#""8GiB""#,
            help: "bytes written",
        },
    ],
    behaviour_check: Some(check),
    watched: false,
    ..Rule::NEW
};

fn check(acts: &Acts<'_, '_>, found: &mut Found<'_>) {
    for act in &acts.steps {
        let Some(used) = act.conduct.used else {
            found.skip("what the step used is not known");
            continue;
        };
        let processes = match &act.conduct.seen {
            Some(crate::facts::Observed::Watched(seen)) => seen.processes,
            _ => 0,
        };
        let seconds = |millis: u64| format!("{:.1} s", millis as f64 / 1000.0);
        let bytes = |bytes: u64| format!("{} MiB", bytes >> 20);
        for (name, value, most, shown) in [
            ("cpu", used.cpu, found.millis("cpu"), seconds(used.cpu)),
            ("wall", used.wall, found.millis("wall"), seconds(used.wall)),
            ("pids", processes, found.number("pids"), processes.to_string()),
            ("written", used.written, found.size("written"), bytes(used.written)),
        ] {
            if value <= most {
                continue;
            }
            let what = match name {
                "cpu" => format!("uses {shown} of processor time"),
                "wall" => format!("takes {shown}"),
                "pids" => format!("has {shown} processes at once"),
                _ => format!("writes {shown}"),
            };
            let finding = found
                .finding(format!("the step {what}, more than `{name}` allows"))
                .at(act.span, "this step")
                .evidence("cpu_ms", used.cpu)
                .evidence("wall_ms", used.wall)
                .evidence("memory", used.memory)
                .evidence("written", used.written)
                .evidence("processes", processes)
                .help(format!(
                    "find out what it does; or raise [rules.step-resource-budget] {name}"
                ));
            found.add(act.placed(finding));
        }
    }
}
