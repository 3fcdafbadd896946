//! What is known of base images before anything runs.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::base::ImageRef;
use crate::diag::Sources;
use crate::image::RunConfig;
use crate::instruction::Instruction;
use crate::plan::{self, Plan};

/// What is known of a base image. `None` is "not looked up".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BaseFacts {
    /// What a container of it runs.
    pub config: Option<RunConfig>,
    /// Its operating system.
    pub os: Option<String>,
    /// Its processor.
    pub architecture: Option<String>,
    /// The variant of the processor.
    pub variant: Option<String>,
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// What the tag names now.
    pub tag_digest: Option<String>,
    /// Its signatures.
    pub signatures: Option<Vec<BaseSignature>>,
    /// The kinds of its attestations: `sbom`, `provenance`.
    pub attestations: Option<Vec<String>>,
    /// ID and VERSION_ID of its /etc/os-release.
    pub os_release: Option<BTreeMap<String, String>>,
}

/// A signature of a base image.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BaseSignature {
    /// The key's name in `signatures.trusted`.
    pub key: String,
    /// Whether it was checked and held.
    pub verified: bool,
}

/// What is known of base images, by the name in the Dockerfile (expanded).
#[derive(Clone, Debug, Default)]
pub struct Bases {
    images: BTreeMap<String, BaseFacts>,
    // Hosts that are spoken to in plain HTTP.
    insecure: Vec<String>,
    // What ONBUILD of a base has a stage do, by the number of the stage in the file.
    planned: BTreeMap<usize, Vec<Instruction>>,
    // The same by the name of the base, where nothing was planned.
    read: BTreeMap<String, Vec<Instruction>>,
}

impl Bases {
    /// Nothing is known: `lint --offline`.
    pub fn none() -> Self {
        Self::default()
    }

    /// Takes what a plan has looked up.
    pub fn of_plan(plan: &Plan) -> Self {
        let images =
            plan.bases
                .iter()
                .filter_map(|(_, base)| {
                    let config = &base.image.as_ref()?.config;
                    let facts = BaseFacts {
                        config: Some(config.config.clone()),
                        os: Some(config.os.clone()),
                        architecture: Some(config.architecture.clone()),
                        variant: config.variant.clone(),
                        created: config.created.clone().or_else(|| {
                            config.history.iter().rev().find_map(|e| e.created.clone())
                        }),
                        ..BaseFacts::default()
                    };
                    Some((base.wanted.name.clone(), facts))
                })
                .collect();
        let planned =
            plan.stages.iter().filter(|(_, stage)| matches!(stage.base, plan::Base::Image(_)));
        let planned = planned.map(|(_, stage)| {
            // Each has a text of its own.
            let foreign = |of: &&Instruction| of.span().source != stage.span.source;
            let own = stage.triggers.iter().take_while(foreign);
            (stage.index, own.cloned().collect())
        });
        let planned = planned.collect();
        Bases { images, planned, ..Bases::default() }
    }

    /// Reads the triggers of the bases that were not looked up; each gets a text of its own. What is
    /// wrong with one is told when it is planned.
    pub fn read_triggers(&mut self, sources: &mut Sources) {
        let mut room = plan::TRIGGER_LIMIT;
        for (name, facts) in &self.images {
            let texts = facts.config.iter().flat_map(|config| &config.on_build).take(room);
            let triggers: Vec<Instruction> =
                texts.filter_map(|text| plan::trigger(name, text, sources).ok()?).collect();
            room -= triggers.len();
            self.read.insert(name.clone(), triggers);
        }
    }

    /// Returns what ONBUILD of its base has a stage do: its number in the file, and the name of the base.
    pub fn triggers(&self, stage: usize, base: &str) -> &[Instruction] {
        let planned = self.planned.get(&stage).or_else(|| self.read.get(self.key(base)?));
        planned.map_or(&[], Vec::as_slice)
    }

    /// Adds a base.
    pub fn insert(&mut self, name: impl Into<String>, facts: BaseFacts) {
        self.images.insert(name.into(), facts);
    }

    /// Adds a host that is spoken to in plain HTTP.
    pub fn insecure(&mut self, host: impl Into<String>) {
        self.insecure.push(host.into());
    }

    /// Tells whether a host is spoken to in plain HTTP.
    pub fn is_insecure(&self, host: &str) -> bool {
        self.insecure.iter().any(|known| known == host)
    }

    /// Reads stand-in facts, `{"debian:12": {"config": {"User": "65532"}}}`: what `lint --bases`
    /// takes. `None` if the text is not of that form.
    pub fn from_json(text: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        let mut bases = Bases::default();
        for (name, facts) in value.as_object()? {
            if name == "@registries" {
                for (host, facts) in facts.as_object()? {
                    if facts.get("insecure").and_then(serde_json::Value::as_bool) == Some(true) {
                        bases.insecure(host.clone());
                    }
                }
                continue;
            }
            bases.insert(name.clone(), serde_json::from_value(facts.clone()).ok()?);
        }
        Some(bases)
    }

    /// Returns what is known of a base.
    pub fn get(&self, name: &str) -> Option<&BaseFacts> {
        self.images.get(self.key(name)?)
    }

    // The name by which a base is known.
    fn key<'a>(&'a self, name: &str) -> Option<&'a String> {
        let same = self.images.get_key_value(name).map(|(key, _)| key);
        same.or_else(|| {
            let wanted = ImageRef::parse(name).ok()?;
            let same = |known: &ImageRef| {
                *known == wanted
                    // `base:1` tells of `base:1@sha256:…` too.
                    || (known.digest().is_none()
                        && known.name() == wanted.name()
                        && known.tag() == wanted.tag())
            };
            self.images.keys().find(|known| ImageRef::parse(known).is_ok_and(|known| same(&known)))
        })
    }
}
