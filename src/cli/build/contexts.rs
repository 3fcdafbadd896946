//! Where the files of a build come from: contexts and their ignore files.

use std::collections::BTreeMap;
use std::path::Path;

use rbuild::build::NamedSource;
use rbuild::diag::chain;
use rbuild::input::{Context, Ignore};
use rbuild::output::Target;
use rbuild::store::Store;

use super::super::shared::Stop;
use super::Command;

pub(super) struct Contexts {
    pub(super) main: Option<Context>,
    pub(super) named: BTreeMap<String, Context>,
}

impl Command {
    pub(super) fn contexts(&self, store: &Store) -> Result<Contexts, Stop> {
        let open = |path: &Path, ignore: Option<Ignore>| {
            Context::open(path, ignore).map_err(|error| Stop::usage(chain(&error)))
        };
        let mut named = BTreeMap::new();
        for (name, source) in &self.named {
            if let NamedSource::Folder(path) = source {
                let file = path.join(".dockerignore");
                let ignore =
                    if file.is_file() { Some(self.read_ignore(&file, path)?) } else { None };
                named.insert(name.clone(), open(path, ignore)?);
            }
        }
        let main = if self.args.context == Path::new("-") {
            if self.args.file.is_none() {
                None // the Dockerfile came from there
            } else {
                let context =
                    Context::from_tar(std::io::stdin().lock(), store).map_err(|error| {
                        Stop::usage(format!("the context on standard input: {}", chain(&error)))
                    })?;
                Some(context)
            }
        } else {
            let ignore = match &self.ignore {
                Some(file) => Some(self.read_ignore(file, &self.args.context)?),
                None => self.own_outputs_ignored(&self.args.context),
            };
            Some(open(&self.args.context, ignore)?)
        };
        Ok(Contexts { main, named })
    }

    /// Reads an ignore file; the destinations of this build in the context are added to it.
    fn read_ignore(&self, file: &Path, context: &Path) -> Result<Ignore, Stop> {
        let name = file.display().to_string();
        let text = std::fs::read(file)
            .map_err(|error| Stop::usage(format!("cannot read `{name}`: {error}")))?;
        let mut text = String::from_utf8_lossy(&text).into_owned();
        text.push_str(&self.outputs_inside(context));
        Ignore::parse(text.as_bytes()).map_err(|error| Stop::usage(format!("`{name}`: {error}")))
    }

    fn own_outputs_ignored(&self, context: &Path) -> Option<Ignore> {
        let inside = self.outputs_inside(context);
        if inside.is_empty() { None } else { Ignore::parse(inside.as_bytes()).ok() }
    }

    /// The destinations that lie in the context, as ignore patterns: what a build writes is no part
    /// of what the next one reads.
    fn outputs_inside(&self, context: &Path) -> String {
        let Ok(context) = std::path::absolute(context) else { return String::new() };
        let mut text = String::new();
        for path in self.outputs.iter().flat_map(Target::paths) {
            let Ok(path) = std::path::absolute(path) else { continue };
            if let Ok(inside) = path.strip_prefix(&context)
                && let Some(inside) = inside.to_str()
                && !inside.is_empty()
            {
                let escaped: String = inside
                    .chars()
                    .flat_map(|c| if "*?[\\".contains(c) { vec!['\\', c] } else { vec![c] })
                    .collect();
                text.push_str(&format!("\n/{escaped}"));
            }
        }
        text
    }
}
