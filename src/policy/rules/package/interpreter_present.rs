//! `interpreter-present`: an interpreter that the program does not need.

use crate::policy::rules::present;
use crate::policy::{Found, Judged, Rule};
pub(in crate::policy) static RULE: Rule = Rule {
    id: "interpreter-present",
    title: "No python unless the app is python.",
    text: "Finds, in what is visible of the image, an executable of python, perl, ruby, node, \
          php, lua, tclsh or java in a `bin` folder, while neither ENTRYPOINT nor CMD runs it.",
    image_check: Some(check_image),
    ..Rule::NEW
};

fn check_image(judged: &Judged<'_>, found: &mut Found<'_>) {
    let config = &judged.facts.config.config;
    let words: Vec<&str> =
        config.entrypoint.iter().chain(&config.cmd).flatten().map(String::as_str).collect();
    let base =
        |name: &str| name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').to_owned();
    let runs: Vec<String> =
        words.iter().map(|word| base(word.rsplit('/').next().unwrap_or(word))).collect();
    let known = ["python", "perl", "ruby", "node", "php", "lua", "tclsh", "java", "pypy"];
    present(
        judged,
        found,
        |name| known.contains(&base(name).as_str()),
        |name, _| {
            let needed = runs.contains(&base(name));
            (!needed)
                .then(|| format!("the image has the interpreter `{name}`, and does not run it"))
        },
        "leave it in the build stage",
    );
}
