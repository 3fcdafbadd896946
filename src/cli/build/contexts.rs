//! Where the files of a build come from: contexts and their ignore files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::build::{FolderFiles, NamedSource};
use rbuild::diag::chain;
use rbuild::event::Events;
use rbuild::input::{Context, Ignore};
use rbuild::output::Target;

use super::super::context::ignore;
use super::super::shared::Stop;
use super::Command;
use super::brought::{Brought, Means, Origin, bring};

/// What a build reads; holds what was brought for it.
pub(super) struct Contexts {
    pub(super) main: Option<Context>,
    pub(super) named: BTreeMap<String, Context>,
    _brought: Vec<Brought>,
}

impl Command {
    /// Brings a context that is no folder, with its Dockerfile and its ignore file.
    pub(super) fn bring(&mut self, means: &Means<'_>, events: &Events) -> Result<(), Stop> {
        let Some(mut brought) = bring(&self.origin, means)? else { return Ok(()) };
        tell_pointer(&brought, events);
        let host = matches!(self.origin, Origin::Stdin | Origin::Archive(_));
        let found = brought.dockerfile(self.args.file.as_deref(), host)?;
        (self.job.name, self.job.text) = (found.name, found.text);
        let context = brought.context.take().map(|context| context.with_ignore(found.ignore));
        self.brought = Some((brought, context));
        Ok(())
    }

    pub(super) fn contexts(
        &mut self,
        means: &Means<'_>,
        events: &Events,
    ) -> Result<Contexts, Stop> {
        let open = |path: &Path, ignore: Option<Ignore>| {
            Context::open(path, ignore).map_err(|error| Stop::usage(chain(&error)))
        };
        let written = self.written_files();
        let (mut named, mut held) = (BTreeMap::new(), Vec::new());
        for (name, source) in &self.named {
            match source {
                NamedSource::Folder(path) => {
                    let file = Some(path.join(".dockerignore")).filter(|file| file.is_file());
                    let ignore = ignore(file.as_deref(), path, &written)?;
                    named.insert(name.clone(), open(path, ignore)?);
                }
                NamedSource::Address(text) => {
                    let wrong = || Stop::usage(format!("--build-context {name}: `{text}`"));
                    let origin = Origin::of_address(text).ok_or_else(wrong)??;
                    let Some(mut brought) = bring(&origin, means)? else { return Err(wrong()) };
                    tell_pointer(&brought, events);
                    let Some(context) = brought.context.take() else {
                        return Err(Stop::usage(format!(
                            "--build-context {name}: what is there is no tar"
                        )));
                    };
                    named.insert(name.clone(), context);
                    held.push(brought);
                }
                NamedSource::Image(_) => {}
            }
        }
        let main = match (&self.origin, self.brought.take()) {
            (Origin::Folder(path), _) => {
                Some(open(path, ignore(self.ignore.as_deref(), path, &written)?)?)
            }
            (_, Some((brought, context))) => {
                held.push(brought);
                context
            }
            (_, None) => None,
        };
        Ok(Contexts { main, named, _brought: held })
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
    pub(super) fn written_files(&self) -> Vec<PathBuf> {
        let args = &self.args;
        let outputs = self.outputs.iter().flat_map(Target::paths);
        let reports = args.policy.report.iter().map(|pair| PathBuf::from(&pair.value));
        let files = args.metadata_file.iter().chain(&args.iidfile).cloned();
        outputs.chain(reports).chain(files).collect()
    }
}

fn tell_pointer(brought: &Brought, events: &Events) {
    if let Some(pointer) = &brought.pointer {
        events.note(format!(
            "`{pointer}` is a pointer of Git LFS, and is copied as one: install git-lfs to have its \
             files"
        ));
    }
}
