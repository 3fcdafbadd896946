//! Where the files of a build come from: contexts and their ignore files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::build::{FolderFiles, NamedSource};
use rbuild::diag::chain;
use rbuild::input::{Context, Ignore};
use rbuild::output::Target;
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
        let written = self.written_files();
        let mut named = BTreeMap::new();
        for (name, source) in &self.named {
            if let NamedSource::Folder(path) = source {
                let file = Some(path.join(".dockerignore")).filter(|file| file.is_file());
                let written = if file.is_some() { written.as_slice() } else { &[] };
                named.insert(name.clone(), open(path, ignore(file.as_deref(), path, written)?)?);
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
            Some(open(path, ignore(self.ignore.as_deref(), path, &written)?)?)
        };
        Ok(Contexts { main, named })
    }

    /// The files of the main context for rules, where it is a folder.
    pub(super) fn listed(&self) -> Result<Option<Arc<FolderFiles>>, Stop> {
        let path = &self.args.context;
        if path == Path::new("-") || !path.is_dir() {
            return Ok(None);
        }
        let out = ignore(self.ignore.as_deref(), path, &self.written_files())?;
        let name = self.ignore.as_ref().and_then(|file| file.file_name());
        let name = name.map(|name| name.to_string_lossy().into_owned());
        Ok(Some(Arc::new(FolderFiles::new(path.clone(), out, name))))
    }

    /// All files and folders that this build writes outside of the store.
    fn written_files(&self) -> Vec<PathBuf> {
        let args = &self.args;
        let outputs = self.outputs.iter().flat_map(Target::paths);
        let reports = args.policy.report.iter().map(|pair| PathBuf::from(&pair.value));
        let files = args.metadata_file.iter().chain(&args.iidfile).cloned();
        outputs.chain(reports).chain(files).collect()
    }
}
