//! `user-privileged-group`: a user in a group that is as good as root.

use crate::policy::{Found, Judged, Param, ParamKind, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-privileged-group",
    title: "Group 0, docker, disk, shadow, sudo or wheel undo the uid.",
    text: "Finds a config whose user is in a group of `groups`, as its own or by /etc/group; \
          group 0 unless `allow_gid0`.",
    params: &[
        Param {
            name: "groups",
            kind: ParamKind::Texts,
            default: r#"["root", "docker", "disk", "shadow", "sudo", "wheel", "adm", "kmem"]"#,
            help: "groups that undo the user",
        },
        Param {
            name: "allow_gid0",
            kind: ParamKind::Flag,
            default: "false",
            help: "whether group 0 is fine",
        },
    ],
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let who = &judged.facts.config.config.user;
    let (user, own) = who.split_once(':').unwrap_or((who, ""));
    if matches!(user, "" | "root" | "0") {
        return;
    }
    let account = judged.accounts().into_iter().find(|account| {
        account.name == user || user.parse::<u32>().is_ok_and(|uid| account.uid == uid)
    });
    let names = found.texts("groups").into_iter().map(str::to_owned).collect::<Vec<_>>();
    let zero = found.flag("allow_gid0");
    let text = judged.text("/etc/group").unwrap_or("");
    let mut rows: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        let mut parts = line.split(':');
        let (Some(name), Some(gid)) = (parts.next(), parts.nth(1)) else { continue };
        rows.push((name, gid, parts.next().unwrap_or("").split(',').collect()));
    }
    let account_gid = account.as_ref().map(|account| account.gid.to_string());
    // A number without an account is in group 0 unless one is given.
    let gid = match own {
        "" => account_gid.unwrap_or_else(|| "0".to_owned()),
        own => rows.iter().find(|row| row.0 == own).map_or(own, |row| row.1).to_owned(),
    };
    let name = account.as_ref().map_or(user, |account| account.name.as_str());
    let mut bad: Vec<String> = Vec::new();
    if gid == "0" && !zero && !own.is_empty() {
        bad.push("root".to_owned());
    }
    for (group, id, members) in &rows {
        let member = own.is_empty() && members.contains(&name);
        let privileged = names.iter().any(|known| known == group) && !(*id == "0" && zero);
        if privileged && (member || *id == gid) && !bad.iter().any(|known| known == group) {
            bad.push((*group).to_owned());
        }
    }
    if !bad.is_empty() {
        let finding = found
            .finding(format!("the user `{user}` is in the group {}", bad.join(", ")))
            .in_image("/etc/group", judged.visible().get("/etc/group").map(|at| at.layer))
            .help("take it out of the group, or name another: USER 10001:10001");
        found.add(finding);
    }
}
