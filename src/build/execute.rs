//! From plan to output, with the last gate between them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Job, Prepared};
use crate::base::{Diff, Digest, ImageRef, Span, StepId};
use crate::diag::chain;
use crate::event::Event;
use crate::exec::{self, Built, BuiltLayer, Cause, Failure, Options, Services};
use crate::facts::{
    Conduct, ImageFacts, LayerFacts, LayerTable, Leak, Needles, Origin, TableObserver, Whole,
};
use crate::image::{LayerRef, validate_documents};
use crate::layer::{self, Bounds, DiffReader, Reader, decompress, observe};
use crate::output::{self, Means, Target};
use crate::policy::{
    BehaviourInput, ImageInput, Policy, Report, StepInput, check_behaviour, check_image, is_plain,
};
use crate::registry;
use crate::store::Blob;

/// All that turns a plan into files.
pub struct Work<'a> {
    /// What was asked for.
    pub job: &'a Job,
    /// What to do.
    pub prepared: &'a Prepared,
    /// What is demanded of the image.
    pub policy: &'a Policy,
    /// How.
    pub options: &'a Options,
    /// With what.
    pub services: &'a Services<'a>,
    /// Where it goes.
    pub outputs: &'a [Target],
    /// What it is called.
    pub tags: &'a [ImageRef],
}

/// An image that passed all gates and is in its places.
#[derive(Debug)]
pub struct Done {
    /// The image.
    pub built: Built,
    /// What the policy found in text and image, none of it a reason to stop.
    pub report: Report,
}

/// Why there is no image.
#[derive(Debug)]
pub enum Ended {
    /// Something failed.
    Failed(Box<Failure>),
    /// The policy refused the image; nothing was written.
    Refused(Report),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended::Failed(Box::new(failure))
    }
}

/// Runs the plan, judges the image, and writes it to all outputs.
///
/// No byte is written to an output before the image has passed; each output is replaced whole.
pub fn execute(work: &Work<'_>) -> Result<Done, Ended> {
    let built = run(work)?;
    let facts = facts(work, &built, &|layer| table(work, layer))?;
    for layer in built.layers.iter().filter(|layer| layer.step.is_none()) {
        verify(work, &layer.layer)?;
    }
    let report = judged_image(work, &built, &facts);
    if report.verdict(work.policy.fail_on).refused {
        return Err(Ended::Refused(report));
    }
    deliver(work, Judged { built, report })
}

/// An image that passed the policy's gates, and is in the store alone.
#[derive(Debug)]
pub struct Judged {
    pub(super) built: Built,
    pub(super) report: Report,
}

/// Writes an image to all outputs.
pub fn deliver(work: &Work<'_>, judged: Judged) -> Result<Done, Ended> {
    let Judged { built, report } = judged;
    // What leaves has been checked from the outside as well: a bug of ours must not ship.
    if let Some(problem) = validate_documents(&built.image).first() {
        return Err(Failure::new(
            Cause::Internal,
            "invalid-image",
            format!("internal error: the image is not valid: {problem}"),
        )
        .into());
    }
    let origins = work
        .services
        .bases
        .values()
        .filter_map(|base| Some((base.pinned.as_ref()?.image(), &base.image.layers)))
        .flat_map(|(name, layers)| {
            layers.iter().map(|layer| (layer.descriptor.digest, name.clone()))
        })
        .collect::<BTreeMap<_, _>>();
    let means = Means {
        store: work.services.store,
        registry: work.services.registry,
        id_mode: work.services.id_mode,
        origins: &origins,
    };
    for target in work.outputs {
        let what = target.write(&built.image, work.tags, &means).map_err(not_written)?;
        work.services.events.send(Event::Exported { what });
    }
    Ok(Done { built, report })
}

/// Runs the plan; what the policy does not suffer of a step ends it there.
fn run(work: &Work<'_>) -> Result<Built, Ended> {
    let plan = &work.prepared.plan;
    let seen = Mutex::new(BTreeMap::new());
    let suffers = |step: StepId, conduct: &Conduct| {
        if is_plain(conduct, work.policy) {
            return true;
        }
        let one = BTreeMap::from([(step, conduct.clone())]);
        let refused = judged(work, &one).verdict(work.policy.fail_on).refused;
        if refused {
            seen.lock().unwrap_or_else(PoisonError::into_inner).extend(one);
        }
        !refused
    };
    match exec::run_judged(plan, work.options, work.services, &suffers) {
        Ok(built) => Ok(built),
        Err(failure) => {
            let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
            match failure.cause == Cause::Refused && !seen.is_empty() {
                true => Err(Ended::Refused(judged(work, &seen))),
                false => Err(failure.into()),
            }
        }
    }
}

/// What the policy says of the text, of steps and of the image.
pub(super) fn judged_image(work: &Work<'_>, built: &Built, facts: &ImageFacts) -> Report {
    let text = work.prepared.text_input(work.job);
    let mut report = judged(work, &built.conduct);
    let seen = check_image(ImageInput { facts, text: Some(text) }, work.policy);
    report.append(seen, work.policy);
    report
}

/// What the policy says of the text and of steps.
pub(super) fn judged(work: &Work<'_>, conduct: &BTreeMap<StepId, Conduct>) -> Report {
    let steps: Vec<StepInput<'_>> = conduct
        .iter()
        .map(|(id, conduct)| StepInput { span: work.prepared.plan.steps[*id].span, conduct })
        .collect();
    let text = work.prepared.text_input(work.job);
    let mut report = work.prepared.report.clone();
    let acts = check_behaviour(BehaviourInput { text, steps: &steps }, work.policy);
    report.append(acts, work.policy);
    report
}

fn not_written(error: output::Error) -> Failure {
    let text = format!("cannot write the image: {}", chain(&error));
    match error {
        output::Error::Registry(error) => {
            let cause = match error {
                registry::Error::Mismatch { .. } => Cause::Tampered,
                registry::Error::Source { .. } => Cause::Internal,
                _ => Cause::Network,
            };
            let failure = Failure::new(cause, "push", chain(&error));
            match error.help() {
                Some(help) => failure.help(help),
                None => failure,
            }
        }
        output::Error::Store(error) => error.into(),
        _ => Failure::new(Cause::Internal, "output", text),
    }
}

/// Gathers what is true of the image. Tables of own layers were made while they were packed, those
/// of unpacked base layers while they were unpacked; what is missing is read once, and kept.
pub(super) fn facts(
    work: &Work<'_>,
    built: &Built,
    table: &dyn Fn(&LayerRef) -> Result<LayerTable, Failure>,
) -> Result<ImageFacts, Failure> {
    let mut layers: Vec<LayerFacts> = Vec::with_capacity(built.layers.len());
    for layer in &built.layers {
        let leaks: Arc<[Leak]> = built
            .leaks
            .iter()
            .filter(|(step, _)| Some(*step) == layer.step)
            .map(|(_, leak)| leak.clone())
            .collect();
        let origin = match layer.step {
            Some(step) => Origin::Step(work.prepared.plan.steps[step].span),
            None => Origin::Base,
        };
        let (table, steps) = if work.options.tables {
            let mut before = layers.iter().zip(&built.layers);
            let table = match before.find(|(_, old)| old.layer.diff == layer.layer.diff) {
                Some((same, _)) => Arc::clone(&same.table),
                None => Arc::new(table(&layer.layer)?),
            };
            (table, steps(work, layer))
        } else {
            Default::default()
        };
        layers.push(LayerFacts { table, origin, leaks, steps });
    }
    let secrets = work.options.secrets.iter().map(|(id, secret)| (id.as_str(), secret.as_ref()));
    let mut facts = ImageFacts::new(
        built.image.config.clone(),
        layers,
        &work.options.annotations,
        &Needles::new(secrets),
    );
    facts.whole = whole(work, built);
    Ok(facts)
}

/// What is known of the image besides its layers' files. Nothing lies beside it yet.
fn whole(work: &Work<'_>, built: &Built) -> Whole {
    let mut digests = vec![
        ("config", None, built.image.config_digest().hex()),
        ("manifest", None, built.image.digest.hex()),
    ];
    for (index, layer) in built.layers.iter().enumerate() {
        digests.push(("layer's content", Some(index), layer.layer.diff.hex()));
        digests.push(("layer", Some(index), layer.layer.descriptor.digest.hex()));
    }
    let packed = built.layers.iter().map(|layer| layer.layer.descriptor.size).collect();
    Whole { digests, packed, today: work.job.today.clone(), ..Whole::default() }
}

/// Of a layer that was squashed of several: the last of their steps to make each path, but for the
/// last of all. The tables of the parts were made when the steps were done.
fn steps(work: &Work<'_>, layer: &BuiltLayer) -> BTreeMap<String, Span> {
    let mut steps = BTreeMap::new();
    for (step, diff) in &layer.parts {
        let bytes = work.services.store.facts(*diff, LayerTable::KIND);
        let Some(part) = bytes.and_then(|bytes| LayerTable::from_bytes(&bytes)) else { continue };
        let span = work.prepared.plan.steps[*step].span;
        let last = Some(*step) == layer.step;
        for file in part.files {
            match last {
                true => steps.remove(&file.path),
                false => steps.insert(file.path, span),
            };
        }
    }
    steps
}

fn table(work: &Work<'_>, layer: &LayerRef) -> Result<LayerTable, Failure> {
    if let Some(table) = known_table(work, layer) {
        return Ok(table);
    }
    let store = work.services.store;
    let blob = store.blob(layer.descriptor.digest)?;
    let (table, diff) =
        read_table(blob, layer).map_err(|error| Failure::malformed(layer, &error))?;
    // A table of other bytes would be believed of every image that has this layer.
    Failure::unless_same(layer, diff)?;
    store.note_form_of(layer.descriptor.digest, diff)?;
    store.put_facts(layer.diff, LayerTable::KIND, &table.to_bytes())?;
    Ok(table)
}

pub(super) fn known_table(work: &Work<'_>, layer: &LayerRef) -> Option<LayerTable> {
    let known = work.services.store.facts(layer.diff, LayerTable::KIND);
    known.and_then(|bytes| LayerTable::from_bytes(&bytes))
}

fn read_table(blob: Blob, layer: &LayerRef) -> Result<(LayerTable, Digest<Diff>), layer::Error> {
    let plain = decompress(blob.unchecked(), layer.kind.into(), Bounds::default())?;
    let reader = Reader::layer(DiffReader::new(plain), layer::Limits::default());
    let mut observer = TableObserver::new();
    let plain = observe(reader, &mut [&mut observer])?;
    // To the end: the caller checks the diff id of all of it.
    let (diff, _) = plain.finish()?;
    Ok((observer.finish(), diff))
}

/// Makes sure that a layer of a base is what the base's config says. A tree, or facts, of that name
/// may be known from another image, while this one's blob was never looked into.
fn verify(work: &Work<'_>, layer: &LayerRef) -> Result<(), Failure> {
    let store = work.services.store;
    if store.is_form_of(layer.descriptor.digest, layer.diff) {
        return Ok(());
    }
    let blob = store.blob(layer.descriptor.digest)?;
    let (diff, _) = decompress(blob.verified(), layer.kind.into(), Bounds::default())
        .and_then(|plain| DiffReader::new(plain).finish())
        .map_err(|error| Failure::malformed(layer, &error))?;
    Failure::unless_same(layer, diff)?;
    Ok(store.note_form_of(layer.descriptor.digest, diff)?)
}
