//! The last step: layers, config and history to an image.

use std::sync::PoisonError;

use super::stack::Stack;
use super::stage::Execution;
use super::{Built, BuiltLayer, Failure};
use crate::image::{Config, HistoryEntry, Image};
use crate::plan::Stage;

impl Execution<'_> {
    /// Waits for all layers of the target and puts the image together; its config and manifest go
    /// into the store.
    pub(super) fn assemble(&self, stack: &Stack) -> Result<Built, Failure> {
        let stage = &self.plan.stages[self.plan.target];
        let mut layers = Vec::new();
        let squashed = if self.squash { self.squash(stack)? } else { None };
        for (index, cell) in stack.iter().enumerate() {
            if squashed.is_some() && cell.step().is_some() {
                continue;
            }
            let layer = self.packed(stack, index)?;
            let size = cell.step().is_some().then_some(cell.done()?.size);
            layers.push(BuiltLayer { layer, step: cell.step(), size, parts: Vec::new() });
        }
        if let Some((layer, done)) = &squashed {
            let step = stack.iter().rev().find_map(super::stack::Cell::step);
            let mut parts = Vec::new();
            for cell in stack {
                if let Some(step) = cell.step() {
                    parts.push((step, cell.done()?.diff));
                }
            }
            layers.push(BuiltLayer { layer: layer.clone(), step, size: Some(done.size), parts });
        }
        for built in &layers {
            if let Some(step) = built.step {
                self.search_again(&built.layer, step)?;
            }
        }
        let config = self.config(stage, squashed.is_some());
        let refs = layers.iter().map(|built| built.layer.clone()).collect();
        let annotations: Vec<_> =
            self.options.annotations.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let image = Image::write(config, refs, &annotations);
        self.services.store.put(&image.config_bytes)?;
        self.services.store.put(&image.manifest_bytes)?;
        let mut leaks =
            std::mem::take(&mut *self.leaks.lock().unwrap_or_else(PoisonError::into_inner));
        leaks.sort();
        // Packers may still be about to keep what they find here.
        let conduct = self.conduct.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Built { image, layers, leaks, conduct })
    }

    fn config(&self, stage: &Stage, squashed: bool) -> Config {
        let created = self.options.times.created().to_string();
        let mut config = match self.plan.base_image(self.plan.target).and_then(|b| b.image.as_ref())
        {
            Some(image) => image.config.clone(),
            None => Config::empty(&stage.platform),
        };
        config.architecture.clone_from(&stage.platform.architecture);
        config.os.clone_from(&stage.platform.os);
        config.variant.clone_from(&stage.platform.variant);
        config.author.clone_from(&stage.author);
        config.created = Some(created.clone());
        config.config = stage.config.clone();
        fill_history(&mut config);
        // Of a squashed image the last entry with a layer keeps it.
        let last = stage.history.iter().rposition(|entry| entry.step.is_some());
        for (index, entry) in stage.history.iter().enumerate() {
            let has_layer = entry.step.is_some() && (!squashed || Some(index) == last);
            config.history.push(HistoryEntry {
                created: Some(created.clone()),
                created_by: Some(entry.created_by.clone()),
                comment: Some(entry.comment.clone()).filter(|comment| !comment.is_empty()),
                empty_layer: !has_layer,
                ..HistoryEntry::default()
            });
        }
        config
    }
}

/// A base whose history does not tell of all its layers (or of none) gets entries for them, so
/// that entries and layers can be matched.
fn fill_history(config: &mut Config) {
    let told = config.history.iter().filter(|entry| !entry.empty_layer).count();
    for _ in told..config.rootfs.diff_ids.len() {
        config.history.push(HistoryEntry {
            created_by: Some("(a layer of the base, without history)".to_owned()),
            ..HistoryEntry::default()
        });
    }
}
