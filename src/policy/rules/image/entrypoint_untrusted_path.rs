//! `entrypoint-untrusted-path`: a program that starts from where anybody writes.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "entrypoint-untrusted-path",
    title: "A hijacked entrypoint calls it back into existence.",
    text: "Finds an image whose ENTRYPOINT or CMD runs a file below /tmp, /var/tmp, /dev/shm, \
          /home or /run.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let config = &judged.facts.config.config;
    let words = config.entrypoint.iter().flatten().chain(config.cmd.iter().flatten());
    let Some(program) = words.into_iter().next() else { return };
    let tops = ["/tmp", "/var/tmp", "/dev/shm", "/home", "/run"];
    if tops.iter().any(|top| crate::policy::context::under(program, top)) {
        let layer = judged.visible().get(program.as_str()).map(|at| at.layer);
        let finding = found
            .finding(format!("the image starts `{program}`, where others may write"))
            .in_image(program.as_str(), layer)
            .help("put the program into a folder of root's, such as /usr/local/bin");
        found.add(finding);
    }
}
