//! `user-unresolvable`: a user that the image does not have.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "user-unresolvable",
    title: "The container will not start.",
    text: "Finds a config whose user or group is a name that /etc/passwd or /etc/group of the \
          image lacks: the container does not start.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let who = &judged.facts.config.config.user;
    let (user, group) = who.split_once(':').unwrap_or((who, ""));
    let lacks = |name: &str, file: &str| {
        let text = judged.text(file).unwrap_or("");
        !name.is_empty()
            && name.parse::<u64>().is_err()
            && !text.lines().any(|line| line.split(':').next() == Some(name))
    };
    for (name, file, what) in [(user, "/etc/passwd", "user"), (group, "/etc/group", "group")] {
        // Root needs no line where there is no file at all.
        if lacks(name, file) && !(name == "root" && judged.text(file).is_none()) {
            let finding = found
                .finding(format!("the image has no {what} `{name}`: it will not start"))
                .in_image(file, judged.visible().get(file).map(|at| at.layer))
                .help("write the id as a number, or make the account");
            found.add(finding);
        }
    }
}
