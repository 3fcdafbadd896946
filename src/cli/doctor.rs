//! `rbuild doctor`: what this host can do for a build, with the cure of each "no".

use std::io::Write;

use rbuild::base::{ImageRef, Masker};
use rbuild::diag::chain;
use rbuild::doctor::{Ability, Diagnosis, No, Question, examine};
use rbuild::event::{Cancel, Events};
use serde_json::json;

use super::environment::{self, VERSION};
use super::exit::Exit;
use super::shared::{Stop, StoreArgs, printable};
use super::terms::EmulatorArgs;

/// Try each ability of this host that a build uses.
///
/// Each is tried for real, in a process of its own. Exit code 7 if no step can be isolated.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
    /// Ask the registry of this image for it, too, with the logins that a build would use
    #[arg(long, value_name = "IMAGE")]
    registry: Option<String>,
    #[command(flatten)]
    emulator: EmulatorArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match examined(&args) {
        Ok(exit) => exit,
        Err(stop) => stop.tell(),
    }
}

fn examined(args: &Args) -> Result<Exit, Stop> {
    let path = environment::variable("PATH").unwrap_or_default();
    let question = Question {
        store: environment::store_root(&args.store),
        program: environment::program(),
        folders: std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect(),
        emulators: args.emulator.emulators()?,
    };
    let mut diagnosis = examine(&question);
    if let Some(name) = &args.registry {
        diagnosis.abilities.push(registry(name, args)?);
    }
    let text = if args.json { as_json(&diagnosis) } else { as_text(&diagnosis, &question.store) };
    // A closed pipe is the reader's choice.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(if diagnosis.isolated { Exit::Success } else { Exit::Sandbox })
}

fn registry(name: &str, args: &Args) -> Result<Ability, Stop> {
    let image =
        ImageRef::parse(name).map_err(|error| Stop::usage(format!("--registry: {error}")))?;
    let events = Events::new(Masker::new(), |_| {});
    let registry = environment::registry(&args.store, &[], &events, &Cancel::new())?;
    let found = match registry.manifest(&image) {
        Ok(_) => Ok(Some(image.to_string())),
        Err(error) => Err(No::new(
            chain(&error),
            error
                .help()
                .unwrap_or_else(|| "look at the name, the network and the login".to_owned()),
        )),
    };
    Ok(Ability::new("registry", "the registry gives the image", found))
}

fn as_json(diagnosis: &Diagnosis) -> String {
    let document = json!({
        "version": 1,
        "rbuild": VERSION,
        "isolated": diagnosis.isolated,
        "ids": diagnosis.ids,
        "abilities": diagnosis.abilities,
    });
    format!("{document:#}\n")
}

fn as_text(diagnosis: &Diagnosis, store: &std::path::Path) -> String {
    let mut text = match (diagnosis.isolated, diagnosis.ids) {
        (true, Some(ids)) => {
            let ids = match ids {
                "root" => "as root, with every id",
                "range" => "with a range of ids",
                _ => "with a single id",
            };
            format!("steps run isolated, {ids}; the store is {}\n\n", store.display())
        }
        _ => "no step can be isolated here: what is `no!` below is needed\n\n".to_owned(),
    };
    let width = diagnosis.abilities.iter().map(|ability| ability.id.len()).max().unwrap_or(0);
    for ability in &diagnosis.abilities {
        let mark = match (ability.works, ability.needed) {
            (true, _) => "yes",
            (false, false) => "no",
            (false, true) => "no!",
        };
        let mut line = format!("{mark:4}{:width$}  {}", ability.id, ability.title);
        if let Some(detail) = &ability.detail {
            line.push_str(&format!(": {detail}"));
        }
        text.push_str(&format!("{}\n", printable(&line)));
        for (word, said) in [("cause", &ability.cause), ("cure", &ability.cure)] {
            if let Some(said) = said {
                let line = printable(&format!("{:width$}      {word}: {said}", ""));
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis() -> Diagnosis {
        let yes = Ability::new("a", "the first", Ok(Some("7".into())));
        let no = Ability::new("bc", "the second", Err(No::new("it is off", "switch it on")));
        Diagnosis { ids: Some("single"), isolated: true, abilities: vec![yes, no] }
    }

    #[test]
    fn the_text_names_cause_and_cure() {
        expect_test::expect![[r#"
            steps run isolated, with a single id; the store is /s

            yes a   the first: 7
            no  bc  the second
                    cause: it is off
                    cure: switch it on
        "#]]
        .assert_eq(&as_text(&diagnosis(), std::path::Path::new("/s")));
    }

    #[test]
    fn the_json_has_a_version() {
        let value: serde_json::Value = serde_json::from_str(&as_json(&diagnosis())).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["abilities"][0]["detail"], "7");
        assert_eq!(value["abilities"][1]["cause"], "it is off");
        assert!(value["abilities"][0].get("cause").is_none());
    }
}
