//! `history-anomaly`: a history that is not of this image.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "history-anomaly",
    title: "We ignored the size. We ignored the history.",
    text: "Finds a history whose steps with a layer are not as many as the layers, and a step \
          that makes no files (USER, ENV, CMD, LABEL …) with a layer.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let history = &judged.facts.config.history;
    let layers = judged.facts.layers.len();
    let told = history.iter().filter(|entry| !entry.empty_layer).count();
    if !history.is_empty() && told != layers {
        let finding = found
            .finding(format!("the history tells of {told} layers, and the image has {layers}"))
            .in_image("history", None)
            .help("build the image anew");
        found.add(finding);
    }
    for (at, entry) in history.iter().filter(|entry| !entry.empty_layer).enumerate() {
        let text = entry.created_by.as_deref().unwrap_or("");
        let word = text.split_once("#(nop)").map_or(text, |(_, rest)| rest).trim_start();
        let name = word.split_whitespace().next().unwrap_or("");
        let silent = [
            "USER",
            "ENV",
            "CMD",
            "ENTRYPOINT",
            "LABEL",
            "EXPOSE",
            "STOPSIGNAL",
            "ARG",
            "SHELL",
            "MAINTAINER",
            "ONBUILD",
            "HEALTHCHECK",
            "VOLUME",
        ];
        let files = judged.facts.layers.get(at).is_some_and(|facts| !facts.table.files.is_empty());
        if silent.contains(&name) && files {
            let finding = found
                .finding(format!("the history says {name} of a layer that holds files"))
                .in_image("history", Some(at))
                .help("build the image anew, and look at what the layer holds");
            found.add(finding);
        }
    }
}
