//! Dockerfiles in the shape of well-known projects' own, and those of the corpus that the policy is
//! measured by: each parses and plans without an error.

use std::fs;
use std::path::Path;

use rbuild::base::Platform;
use rbuild::diag::{Diagnostic, Sources, render};
use rbuild::dockerfile::parse;
use rbuild::instruction::parse_all;
use rbuild::plan::{Found, Plan, Request, Wanted, plan};

fn planned(text: &str, name: &str, request: &Request) -> Result<Plan, String> {
    let mut sources = Sources::new();
    let source = sources.add(name, text);
    let (file, mut errors) = parse(source, text);
    let (instructions, more) = parse_all(&file);
    errors.extend(more);
    let unread = |_: &Wanted| Ok(Found::Unread);
    let result = match errors.is_empty() {
        true => plan(&file, &instructions, request, &unread, &mut sources),
        false => Err(errors),
    };
    let shown = |errors: Vec<Diagnostic>| {
        errors.iter().map(|error| render(error, &sources, false)).collect::<Vec<_>>().join("\n")
    };
    let plan = result.map_err(shown)?;
    // Printing loses nothing but comments: the printed file makes the same steps.
    let printed = file.to_string();
    let (again, errors) = parse(source, &printed);
    assert!(errors.is_empty(), "{name} prints as\n{printed}");
    assert_eq!(again.lines.len(), file.lines.len(), "{name} prints as\n{printed}");
    Ok(plan)
}

#[test]
fn every_shape_parses_and_plans() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = ["tests/it/shapes", "tests/corpus"]
        .into_iter()
        .flat_map(|folder| fs::read_dir(top.join(folder)).expect("the shapes"));
    let mut seen = 0;
    let mut wrong = String::new();
    for entry in entries {
        let path = entry.expect("the shapes").path();
        if path.extension().is_none_or(|extension| extension != "Dockerfile") {
            continue;
        }
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a text");
        let stages = text
            .lines()
            .filter(|line| line.get(..5).is_some_and(|word| word.eq_ignore_ascii_case("FROM ")))
            .count();
        for platform in ["linux/amd64", "linux/arm64"] {
            // Every stage is a target of its own: a stage that nothing needs is planned too.
            for stage in 0..stages {
                let mut request = Request::new(Platform::parse(platform).expect("a platform"));
                request.target = Some(stage.to_string());
                match planned(&text, &name, &request) {
                    Ok(plan) => assert!(plan.stages.iter().count() > 0, "{name}"),
                    Err(errors) => wrong += &format!("{platform}, stage {stage}:\n{errors}\n"),
                }
            }
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(seen >= 130, "{seen} shapes");
}
