//! `network-tool-present`: curl in the image.

use crate::policy::rules::present_of_names;
use crate::policy::{Found, Judged, Param, ParamKind, Rule};

pub(in crate::policy) static RULE: Rule = Rule {
    id: "network-tool-present",
    title: "The attacker relied on curl being present.",
    text: "Finds, in what is visible of the image, an executable in a `bin` or `sbin` folder \
          named as in `names`; links followed.",
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["curl", "wget", "nc", "ncat", "netcat", "socat", "ssh", "scp", "sftp", "ftp", "tftp", "telnet", "rsync", "nmap", "aria2c", "tcpdump"]"#,
        help: "names of such tools",
    }],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let probe = judged.facts.config.config.healthcheck.as_ref().map(|health| format!("{health:?}"));
    present_of_names(
        judged,
        found,
        |name, _| {
            let probes = probe.as_ref().is_some_and(|probe| probe.contains(name));
            Some(match probes {
                true => format!(
                    "the image has `{name}`, for its HEALTHCHECK: let the program probe itself"
                ),
                false => format!("the image has `{name}`"),
            })
        },
        "leave it in the build stage",
    );
}
