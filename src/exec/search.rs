//! Secrets in layers: what is said when one is found, and the search of layers that the cache gave.
//!
//! A layer that a step has just made is searched while it is written. One that is taken from the store
//! may be older than a secret, and so is searched when it ships. Nothing is kept about that: what could
//! tell one secret from another would be something that is derived from its value.

use std::io::Read;
use std::sync::PoisonError;

use super::stage::Execution;
use super::{Cause, Failure};
use crate::base::{Diff, Digest, StepId};
use crate::diag::{Code, Diagnostic, Severity};
use crate::event::Event;
use crate::facts::{Leak, LeakScan};
use crate::image::LayerRef;
use crate::layer::{Bounds, Limits, Observer, Reader, decompress};

impl Execution<'_> {
    /// Notes that the layer was searched for the secrets of this build.
    pub(super) fn was_searched(&self, diff: Digest<Diff>) {
        self.searched.lock().unwrap_or_else(PoisonError::into_inner).insert(diff);
    }

    /// Searches a layer that ships, unless this build has done so.
    pub(super) fn search_again(&self, layer: &LayerRef, step: StepId) -> Result<(), Failure> {
        let searched = self.searched.lock().unwrap_or_else(PoisonError::into_inner);
        if self.needles.is_empty() || searched.contains(&layer.diff) {
            return Ok(());
        }
        drop(searched);
        let blob = self.services.store.blob(layer.descriptor.digest)?;
        let plain = decompress(blob.verified(), layer.kind.into(), Bounds::default())?;
        let mut reader = Reader::layer(plain, Limits::default());
        let mut scan = LeakScan::new(self.needles.clone());
        let mut buffer = vec![0; 64 << 10];
        while let Some(entry) = reader.next_entry()? {
            if self.cancel().is_cancelled() {
                return Err(Failure::stopped());
            }
            scan.entry(&entry);
            let mut content = reader.content();
            loop {
                match content.read(&mut buffer).map_err(crate::layer::Error::from)? {
                    0 => break,
                    read => scan.content(&buffer[..read]),
                }
            }
            scan.end();
        }
        self.report_leaks(step, &scan.finish())
    }

    /// Tells of secrets that were found in the layer of a step: as an error, or as a finding.
    pub(super) fn report_leaks(&self, step: StepId, leaks: &[Leak]) -> Result<(), Failure> {
        // The name of a file may be what was found.
        let masker = self.services.events.masker();
        let leaks: Vec<Leak> = leaks
            .iter()
            .map(|leak| Leak { path: masker.mask_text(&leak.path), ..leak.clone() })
            .collect();
        let Some(first) = leaks.first() else { return Ok(()) };
        let span = self.plan.steps[step].span;
        let more = match leaks.len() {
            1 => String::new(),
            n => format!(" (and in {} more)", n - 1),
        };
        let message =
            format!("the build secret `{}` is in the file `{}`{more}", first.secret, first.path);
        let diagnostic = Diagnostic::error(Code("build-secret-leaked"), message)
            .at(span)
            .label("this step wrote it")
            .help(
                "use the secret where it is mounted, and do not write it, nor what holds it, into the \
                 tree",
            );
        if self.options.leak_is_error {
            // The draft is dropped: the bytes never get a name in the store.
            let failure = Failure { diagnostic, ..Failure::new(Cause::Refused, "", "") };
            return Err(failure.at(step, span));
        }
        self.services.events.send(Event::Finding(Box::new(Diagnostic {
            severity: Severity::Warning,
            ..diagnostic
        })));
        let mut all = self.leaks.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(leaks.iter().map(|leak| (step, leak.clone())));
        Ok(())
    }
}
