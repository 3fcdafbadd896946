//! `unreferenced-blob`: bytes that no manifest names.

use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "unreferenced-blob",
    title: "The miner's layer was not even referenced by the manifest.",
    text: "Finds, in a layout or an archive of one, a blob that no index, manifest, config or \
          subject names: with its size, what it looks like, and, if it is a layer, the programs \
          in it. A registry hands out what is asked for only, and cannot be asked.\n\n\
          Write the layout anew (`rbuild build` replaces it whole, `rbuild push` sends only what \
          is named).",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let Some(orphans) = &judged.facts.whole.orphans else {
        found.skip("nobody can list what lies beside the image where it is");
        return;
    };
    for orphan in orphans {
        let inside = match orphan.programs.as_slice() {
            [] => String::new(),
            [first] => format!(", with the program `{first}`"),
            [first, rest @ ..] => format!(", with `{first}` and {} more programs", rest.len()),
        };
        let form = match orphan.form {
            "tar" => "a layer",
            "json" => "a document",
            _ => "a blob",
        };
        let finding = found
            .finding(format!("{form} of {} bytes that nothing names{inside}", orphan.size))
            .in_image(orphan.path.as_str(), None)
            .evidence("size", orphan.size)
            .evidence("form", orphan.form)
            .evidence("programs", orphan.programs.clone())
            .help("write the layout anew: what is not named has no business in it");
        found.add(finding);
    }
}
