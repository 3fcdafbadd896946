//! `history-remote-execution`: a history of fetching and running.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "history-remote-execution",
    title: "The line was in `docker history` all the time.",
    text: "Finds, in the history of the image, a command in which a shell or another interpreter \
          runs what is fetched: `curl … | bash`.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let mut layer = 0;
    for entry in &judged.facts.config.history {
        let at = (!entry.empty_layer).then_some(layer);
        layer += usize::from(!entry.empty_layer);
        let Some(text) = &entry.created_by else { continue };
        // What builders write in front: `RUN |1 A=b /bin/sh -c …`.
        let body = text.split_once("-c ").map_or(text.as_str(), |(_, body)| body);
        let body = body.trim_end_matches("# buildkit");
        let script = crate::policy::scripts::text(body);
        if crate::policy::rules::fetch::pipe_to_interpreter::runs_fetched(&script) {
            let finding = found
                .finding("a step of this image ran what it fetched")
                .in_image("history", at)
                .evidence("created_by", text.chars().take(200).collect::<String>())
                .help("build it anew from a Dockerfile that fetches with ADD --checksum");
            found.add(finding);
        }
    }
}
