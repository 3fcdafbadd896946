//! `remote-admin-present`: a server for remote administration.

use crate::facts::FileKind;
use crate::policy::rules::origin;
use crate::policy::{Found, Judged, Outline, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "remote-admin-present",
    title: "SSH into a container is a second, unwatched front door.",
    text: "Finds the installation of openssh-server, dropbear, telnetd, a VNC server, xrdp, \
          cockpit or webmin.",
    standards: &["NIST 800-190 4.1.2"],
    params: &[Param {
        name: "names",
        kind: ParamKind::Texts,
        default: r#"["openssh-server", "openssh", "dropbear", "telnetd", "inetutils-telnetd", "tigervnc", "tigervnc-server", "tigervnc-standalone-server", "tightvncserver", "x11vnc", "xrdp", "cockpit", "webmin"]"#,
        help: "packages that bring one",
    }],
    text_check: Some(check),
    image_check: Some(check_image),
    bad: &[
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends openssh-server\n",
    ],
    good: &[
        "FROM debian:12\nRUN apt-get update && apt-get install -y --no-install-recommends openssh-client\n",
        "FROM debian:12\nRUN apt-get remove -y openssh-server\n",
    ],
    ..Rule::NEW
};

fn check(outline: &Outline<'_>, found: &mut Found<'_>) {
    let names: Vec<String> = found.texts("names").into_iter().map(str::to_owned).collect();
    for (item, command) in outline.calls(|head| head.manages) {
        let Some(install) = command.install() else { continue };
        // In Alpine, `openssh` is server and client; elsewhere a name for the source.
        for package in &install.packages {
            let text = package.prefix();
            let name = text.split(['=', '<', '>', '~', ':']).next().unwrap_or(text);
            if names.iter().any(|known| known == name) {
                let message = format!("`{name}` is a second front door");
                let help = "use `docker exec`, or what the platform has for it";
                found.tell(item.place, package.span, message, "remote administration", help);
            }
        }
    }
}

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    const SERVERS: &[&str] =
        &["sshd", "dropbear", "telnetd", "in.telnetd", "vncserver", "Xvnc", "xrdp"];
    for (path, at) in judged.visible() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let program = SERVERS.contains(&name) && at.file.mode & 0o111 != 0;
        let key = path.starts_with("/etc/ssh/ssh_host_") && path.ends_with("_key");
        if at.file.kind != FileKind::File || !(program || key) {
            continue;
        }
        let message = if key {
            format!("`{path}` is a host's key: every container would have the same")
        } else {
            format!("the image has the server `{name}`")
        };
        let finding = found
            .finding(message)
            .in_image(*path, Some(at.layer))
            .evidence("sha256", at.file.sha256.as_str())
            .help("use `docker exec`, or what the platform has for it");
        found.add(origin(finding, judged, at.layer));
    }
}
