//! Where the files of a build come from: contexts and their ignore files.

use std::collections::BTreeMap;
use std::path::Path;

use rbuild::build::NamedSource;
use rbuild::diag::chain;
use rbuild::input::{Context, Ignore};
use rbuild::store::Store;

use super::super::context::ignore;
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
                let file = Some(path.join(".dockerignore")).filter(|file| file.is_file());
                let outputs = if file.is_some() { self.outputs.as_slice() } else { &[] };
                named.insert(name.clone(), open(path, ignore(file.as_deref(), path, outputs)?)?);
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
            let path = &self.args.context;
            Some(open(path, ignore(self.ignore.as_deref(), path, &self.outputs)?)?)
        };
        Ok(Contexts { main, named })
    }
}
