//! `file-capabilities`: privileges on a file.

use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "file-capabilities",
    title: "File capabilities are setuid in disguise; CAP_SYS_PTRACE and CAP_SYS_MODULE are \
           rootkit tools.",
    text: "Finds a step that runs `setcap`. What it gives may be in `allow`; but never \
          cap_sys_admin, cap_sys_ptrace, cap_sys_module, cap_sys_rawio, cap_bpf, \
          cap_dac_read_search, cap_setuid, cap_setgid and cap_net_admin.",
    params: &[Param {
        name: "allow",
        kind: ParamKind::Texts,
        default: r#"["cap_net_bind_service"]"#,
        help: "what a file may have",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &["FROM busybox\nRUN setcap cap_sys_ptrace+ep /app\n"],
    good: &[
        "FROM busybox\nRUN getcap /app\n",
        "FROM busybox\nRUN setcap cap_net_bind_service=+ep /app\nRUN setcap -r /app\n",
    ],
    ..Rule::NEW
};

const NEVER: &[&str] = &[
    "cap_sys_admin",
    "cap_sys_ptrace",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_bpf",
    "cap_dac_read_search",
    "cap_setuid",
    "cap_setgid",
    "cap_net_admin",
];

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let allow: Vec<String> = found.texts("allow").into_iter().map(str::to_owned).collect();
    for (item, command) in outline.calls(|head| head.is("setcap")) {
        let args: Vec<&str> = command.args().iter().map(|arg| arg.prefix()).collect();
        let Some(set) = args.iter().find(|arg| !arg.starts_with('-')) else { continue };
        let takes = args.iter().any(|arg| matches!(*arg, "-r" | "-v"));
        let names: Vec<&str> =
            set.split([',', ' ', '=', '+', '-']).filter(|name| name.starts_with("cap_")).collect();
        let fine = !names.is_empty()
            && names.iter().all(|n| allow.iter().any(|a| a == n) && !NEVER.contains(n));
        if takes || fine {
            continue;
        }
        let message = format!("`setcap {set}` gives a file privileges");
        let help = "give the container the capability when it starts: --cap-add";
        found.tell(item.place, command.span, message, "set-uid in disguise", help);
    }
}
fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    for (index, layer) in judged.facts.layers.iter().enumerate() {
        for file in layer
            .table
            .files
            .iter()
            .filter(|file| file.xattrs.iter().any(|name| name == "security.capability"))
        {
            let finding = found
                .finding(format!("`{}` has capabilities of its own", file.path))
                .in_image(file.path.as_str(), Some(index))
                .evidence("sha256", file.sha256.as_str())
                .help("give the container the capability when it starts: --cap-add");
            found.add(origin(finding, judged, index));
        }
    }
}
