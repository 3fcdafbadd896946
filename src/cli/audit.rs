//! `rbuild audit`: finished images, judged by the rules that look at images. Nothing is unpacked,
//! nothing is kept; each layer is read once.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rbuild::base::{ImageRef, Masker, Platform, Secret};
use rbuild::build::{Known, RecipeSignature, broken, look};
use rbuild::diag::{Sources, chain};
use rbuild::event::{Cancel, Events};
use rbuild::facts::{ImageFacts, Needles};
use rbuild::input::{BaseError, Finished, FinishedSource};
use rbuild::policy::{
    DiveThresholds, FailOn, ImageInput, Overrides, Policy, Report, Told, check_image,
};
use rbuild::registry::Registry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::environment;
use super::exit::Exit;
use super::policy::{KeyFolders, effective_with_keys, known_format, rendered, stop, write_all};
use super::progress::{Format, Progress, size};
use super::shared::{PolicyArgs, Stop, StoreArgs, printable, say};

/// Judge finished images by the rules that look at images, and tell what is wasted in them.
///
/// The report goes to stdout. No layer is unpacked or kept: each is read once, as a stream, and
/// checked against its digests on the way.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Images: `DIR` or `FILE` (a layout, an archive of one or of `docker save`), `oci:DIR[:TAG]`,
    /// `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:TAG]`, `docker://REF`, or a reference
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<String>,
    /// Of an image for several platforms, this one
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<String>,
    /// A name of the image, for exceptions with `images`: one reference of a registry names itself,
    /// but of a file or folder only who asks can say whose it is
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// So many layers, from the bottom, are of the base
    #[arg(long, value_name = "N", default_value_t = 0)]
    base_layers: usize,
    /// What the image alone cannot tell, as JSON: {"attestations": ["sbom"], "secrets": {"id": "…"}}
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Compare the size with that of this image
    #[arg(long, value_name = "IMAGE")]
    compare: Option<String>,
    /// As `dive --ci`: its three thresholds are errors; they are read from `.dive-ci`
    #[arg(long)]
    ci: bool,
    /// Read them from this file
    #[arg(long, value_name = "FILE")]
    ci_config: Option<PathBuf>,
    /// The least share of bytes that are seen, for example 0.95
    #[arg(long, value_name = "SHARE", visible_alias = "lowestEfficiency")]
    lowest_efficiency: Option<String>,
    /// The most bytes that may be wasted, for example 20MB
    #[arg(long, value_name = "SIZE", visible_alias = "highestWastedBytes")]
    highest_wasted_bytes: Option<String>,
    /// The largest share that may be wasted of what is added to the first layer
    #[arg(long, value_name = "SHARE", visible_alias = "highestUserWastedPercent")]
    highest_user_wasted_percent: Option<String>,
    /// How many layers are read at once, 8 at most [default: the CPUs this process may use]
    #[arg(long, value_name = "N", env = "RBUILD_JOBS")]
    jobs: Option<usize>,
    /// The report's form: human, json, sarif, github, gitlab, junit, checkstyle or tap
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: String,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    store: StoreArgs,
}

/// The file of `--facts`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Facts {
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) attestations: Option<Vec<String>>,
    pub(super) signatures: Option<Vec<RecipeSignature>>,
    pub(super) sbom_files: Option<Vec<String>>,
    pub(super) platform: Option<String>,
}

impl Facts {
    /// What an image alone cannot tell, with the keys that count.
    pub(super) fn known(self, base_layers: usize, keys: Vec<(String, String)>) -> Known {
        let secrets = self.secrets.into_iter();
        let secrets: Vec<(String, Secret)> =
            secrets.map(|(id, value)| (id, Secret::new(value.into_bytes()))).collect();
        Known {
            base_layers,
            needles: Needles::new(secrets.iter().map(|(id, secret)| (id.as_str(), secret))),
            attestations: self.attestations,
            signatures: self
                .signatures
                .map(|list| list.into_iter().map(|one| (one.key, one.verified)).collect()),
            sbom_files: self.sbom_files,
            keys,
            today: Some(environment::today()),
            ..Known::default()
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match audit(&args) {
        Ok(exit) => exit,
        Err(stop) => stop.tell(),
    }
}

fn audit(args: &Args) -> Result<Exit, Stop> {
    known_format(&args.format)?;
    if !args.tag.is_empty() && args.images.len() > 1 {
        return Err(Stop::usage("--tag names one image, and there are several")
            .help("audit them one by one"));
    }
    let (policy, folders) = demanded(args)?;
    let given = match &args.facts {
        None => Facts::default(),
        Some(path) => serde_json::from_str(&read(path)?)
            .map_err(|error| Stop::usage(format!("`{}`: {error}", path.display())))?,
    };
    let platform = match args.platform.as_ref().or(given.platform.as_ref()) {
        Some(text) => Platform::parse(text).map_err(|error| Stop::usage(error.to_string()))?,
        None => Platform::host(),
    };
    let sources = args
        .images
        .iter()
        .chain(&args.compare)
        .map(|text| named(text))
        .collect::<Result<Vec<_>, _>>()?;
    let registry = match sources.iter().any(|one| matches!(one, FinishedSource::Registry(_))) {
        true => Some(client(args)?),
        false => None,
    };
    let mut known = given.known(args.base_layers, keys(&policy, &folders)?);
    if let (Some(_), Some(source)) = (&args.compare, sources.last()) {
        let before = Finished::open(source, &platform, registry.as_ref()).map_err(failed)?;
        known.before = stored(before.layers.iter().map(|layer| layer.blob.map(|(_, size)| size)));
        if known.before.is_none() {
            say(&format!(
                "note: `{}` does not tell the sizes of its layers: nothing is compared\n",
                printable(args.compare.as_deref().unwrap_or(""))
            ));
        }
    }

    let jobs = environment::jobs(args.jobs);
    let mut judged: Vec<(&str, Report, String)> = Vec::new();
    let mut images = Vec::new();
    let mut exit = Exit::Success;
    // One image that cannot be had does not hide what is wrong with another.
    let mut stops = Vec::new();
    for (name, source) in args.images.iter().zip(&sources) {
        known.names.clone_from(&args.tag);
        if let FinishedSource::Registry(reference) = source {
            known.names.push(reference.familiar());
        }
        let seen = judged_as(source, &platform, registry.as_ref(), &known, &policy, jobs);
        let Seen { facts, digest, report } = match seen {
            Ok(seen) => seen,
            Err(stop) => {
                stops.push(stop);
                continue;
            }
        };
        let mut about = format!("{}\n", printable(name));
        if !facts.whole.broken {
            images.push(summary(name, digest.as_deref(), &facts));
            about = overview(name, digest.as_deref(), &facts);
        }
        judged.push((name, report, about));
    }
    // An exception may cover so many findings in all of them together.
    let mut reports: Vec<(&mut Report, &Policy)> =
        judged.iter_mut().map(|(_, report, _)| (report, &policy)).collect();
    Report::settle(&mut reports);
    for (_, report, _) in &judged {
        let counts = |finding: &&rbuild::policy::Finding| finding.counts();
        let tampered =
            report.findings.iter().filter(counts).any(|found| found.rule == "digest-mismatch");
        exit = exit.and(match report.verdict(policy.fail_on).refused {
            _ if tampered && policy.fail_on != FailOn::Never => Exit::Tampered,
            true => Exit::Refused,
            false => Exit::Success,
        });
    }
    if judged.is_empty() {
        return Ok(stops.iter().fold(exit, |exit, stop| exit.and(stop.tell())));
    }
    let texts = Sources::new();
    let all: Vec<Told<'_>> = judged
        .iter()
        .map(|(name, report, _)| Told { name, report, sources: &texts, policy: &policy })
        .collect();
    let text = match args.format.as_str() {
        "human" => {
            let colour = super::build::colour();
            let report = |(one, (_, _, about)): (&Told<'_>, &(&str, Report, String))| {
                Ok(format!("{about}{}", rendered("human", std::slice::from_ref(one), colour)?))
            };
            let blocks: Result<Vec<String>, Stop> = all.iter().zip(&judged).map(report).collect();
            blocks?.join("\n")
        }
        "json" => {
            let mut report = Told::json(&all, environment::VERSION);
            report["images"] = json!(images);
            format!("{report:#}\n")
        }
        other => rendered(other, &all, false)?,
    };
    // A closed pipe (`rbuild audit | head`) is the reader's choice.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    stops.extend(write_all(&args.policy, &all).err());
    Ok(stops.iter().fold(exit, |exit, stop| exit.and(stop.tell())))
}

/// The policy, with the thresholds of the command line and of `.dive-ci`.
fn demanded(args: &Args) -> Result<(Policy, KeyFolders), Stop> {
    let (mut policy, folders) = effective_with_keys(&args.policy, &args.store, Path::new("."))?;
    let usual = Path::new(".dive-ci");
    let file = match &args.ci_config {
        Some(path) => Some(path.as_path()),
        None => Some(usual).filter(|path| args.ci && path.is_file()),
    };
    let mut thresholds = match file {
        Some(path) => {
            DiveThresholds::read(&read(path)?, &path.display().to_string()).map_err(stop)?
        }
        None => DiveThresholds::default(),
    };
    let flags =
        [&args.lowest_efficiency, &args.highest_wasted_bytes, &args.highest_user_wasted_percent];
    for (index, value) in flags.into_iter().enumerate() {
        if let Some(value) = value {
            thresholds.set(index, value);
        }
    }
    let set = thresholds.overrides(args.ci);
    if !set.is_empty() {
        policy.apply(&Overrides { set, ..Overrides::default() }).map_err(stop)?;
    }
    Ok((policy, folders))
}

/// Reads the name of an image. What lies there is taken before what might be in a registry.
fn named(text: &str) -> Result<FinishedSource, Stop> {
    let registry = |name: &str| {
        ImageRef::parse(name)
            .map(FinishedSource::Registry)
            .map_err(|error| Stop::usage(error.to_string()))
    };
    for prefix in ["docker://", "docker-image://"] {
        if let Some(name) = text.strip_prefix(prefix) {
            return registry(name);
        }
    }
    let layout = |text: &str| -> Result<FinishedSource, Stop> {
        let source = super::push::Source::parse(text)?;
        Ok(match source.archive {
            true => FinishedSource::Archive(source.path, source.selector),
            false => FinishedSource::Folder(source.path, source.selector),
        })
    };
    if let Some(rest) = text.strip_prefix("docker-archive:") {
        return layout(&format!("oci-archive:{rest}"));
    }
    if let Some(rest) = text.strip_prefix("oci-layout://") {
        return layout(&format!("oci:{rest}"));
    }
    if text.starts_with("oci:") || text.starts_with("oci-archive:") {
        return layout(text);
    }
    let front = text.split('@').next().unwrap_or(text);
    let short = front.rsplit_once(':').map_or(front, |(path, _)| path);
    match [text, front, short].into_iter().find(|path| Path::new(path).exists()) {
        // `FILE:TAG` needs to be told that it is an archive.
        Some(path) if path != text && Path::new(path).is_file() => {
            layout(&format!("oci-archive:{text}"))
        }
        Some(path) if Path::new(path).is_dir() || Path::new(path).is_file() => layout(text),
        Some(path) => Err(Stop::usage(format!("`{path}` is neither a folder nor a file"))),
        None if text.starts_with(['.', '/']) => {
            Err(Stop::usage(format!("cannot read `{text}`: no such file or folder")))
        }
        None => registry(text),
    }
}

fn client(args: &Args) -> Result<Registry, Stop> {
    let progress = Arc::new(Progress::new(Format::parse("none").map_err(Stop::usage)?, false));
    let events = Events::new(Masker::new(), move |event| progress.show(&event, &Sources::new()));
    environment::registry(&args.store, &[], &events, &Cancel::new())
}

/// Public keys of `[signatures] trusted`, by name. Nobody asks for them where no rule does.
pub(super) fn keys(policy: &Policy, folders: &KeyFolders) -> Result<Vec<(String, String)>, Stop> {
    if !policy.is_on("signature-missing") {
        return Ok(Vec::new());
    }
    let files = folders.files(policy)?;
    files.into_iter().map(|(name, path)| Ok((name, read(&path)?))).collect()
}

/// The bytes of all layers, as stored; `None` if one does not tell (an archive of `docker save`).
fn stored(mut sizes: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    sizes.try_fold(0u64, |sum, size| Some(sum.saturating_add(size?)))
}

/// An image that was looked at, and what the rules say of it.
pub(super) struct Seen {
    facts: ImageFacts,
    digest: Option<String>,
    pub(super) report: Report,
}

/// Looks at an image and judges it: what this command does with each, and `policy test` with a case.
pub(super) fn judged_as(
    source: &FinishedSource,
    platform: &Platform,
    registry: Option<&Registry>,
    known: &Known,
    policy: &Policy,
    jobs: usize,
) -> Result<Seen, Stop> {
    let (facts, digest) = gather(source, platform, registry, known, jobs)?;
    let report = check_image(ImageInput { facts: &facts, text: None }, policy);
    Ok(Seen { facts, digest, report })
}

fn gather(
    source: &FinishedSource,
    platform: &Platform,
    registry: Option<&Registry>,
    known: &Known,
    jobs: usize,
) -> Result<(ImageFacts, Option<String>), Stop> {
    let found = Finished::open(source, platform, registry)
        .and_then(|image| Ok((look(&image, known, jobs)?, image.digest)));
    match found {
        Ok((facts, digest)) => Ok((facts, digest.map(|digest| digest.to_string()))),
        // Bytes that are not what names them are a finding, and the first of all.
        Err(error) if error.is_mismatch() => Ok((broken("manifest", &chain(&error)), None)),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: BaseError) -> Stop {
    let exit = match &error {
        BaseError::Registry(_) => Exit::Network,
        BaseError::Select { .. } | BaseError::Document { .. } => Exit::Network,
        _ => Exit::Usage,
    };
    Stop { exit, text: chain(&error), help: error.help() }
}

fn read(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path)
        .map_err(|error| Stop::usage(format!("cannot read `{}`: {error}", path.display())))
}

/// What a person should know of an image before its findings: layers, sizes, what is wasted.
fn overview(name: &str, digest: Option<&str>, facts: &ImageFacts) -> String {
    let waste = facts.waste(&|_| false, false);
    let sizes: Vec<u64> = (0..facts.layers.len()).map(|index| facts.layer_size(index)).collect();
    let packed: u64 = facts.whole.packed.iter().sum();
    let mut out = format!(
        "{}  {}  {}\n",
        printable(name),
        digest.unwrap_or("(without a digest)"),
        facts.config.platform()
    );
    let mut made = facts.config.history.iter().filter(|entry| !entry.empty_layer);
    for (index, size_of) in sizes.iter().enumerate() {
        let text = made.next().and_then(|entry| entry.created_by.as_deref()).unwrap_or("");
        let text: String = printable(text).chars().take(70).collect();
        out.push_str(&format!("  layer {index:<3} {:>10}  {text}\n", size(*size_of)));
    }
    out.push_str(&format!(
        "  {} in files, {} stored; efficiency {:.1} %, {} in files that layers replace or remove\n",
        size(sizes.iter().sum()),
        size(packed),
        waste.efficiency * 100.0,
        size(waste.wasted)
    ));
    for (bytes, path, layer) in &waste.worst {
        out.push_str(&format!("    {:>10}  {} (layer {layer})\n", size(*bytes), printable(path)));
    }
    out.push('\n');
    out
}

/// The same for machines.
fn summary(name: &str, digest: Option<&str>, facts: &ImageFacts) -> Value {
    let waste = facts.waste(&|_| false, false);
    let mut made = facts.config.history.iter().filter(|entry| !entry.empty_layer);
    let layers: Vec<Value> = (0..facts.layers.len())
        .map(|index| {
            json!({
                "size": facts.layer_size(index),
                "stored": facts.whole.packed.get(index),
                "diff_id": facts.config.rootfs.diff_ids.get(index),
                "created_by": made.next().and_then(|entry| entry.created_by.as_deref()),
            })
        })
        .collect();
    let worst: Vec<Value> = waste
        .worst
        .iter()
        .map(|(bytes, path, layer)| json!({"path": path, "bytes": bytes, "layer": layer}))
        .collect();
    json!({
        "name": name,
        "digest": digest,
        "platform": facts.config.platform().to_string(),
        "layers": layers,
        "efficiency": waste.efficiency,
        "wasted": waste.wasted,
        "worst": worst,
    })
}

#[cfg(test)]
mod tests {
    use rbuild::image::Selector;

    use super::*;

    #[test]
    fn keys_are_read_where_a_rule_asks_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pub");
        std::fs::write(&file, "PEM").unwrap();
        let check = |level: &str, key: &Path| {
            let text = format!(
                "extends = \"none\"\n[rules]\nsignature-missing = \"{level}\"\n[signatures]\n\
                 trusted = [{{ name = \"ours\", key = '{}' }}]\n",
                key.display()
            );
            let policy = Policy::read(&text, "p.toml", &mut |_| None).unwrap();
            keys(&policy, &KeyFolders::default())
        };
        assert_eq!(check("error", &file).unwrap(), [("ours".to_owned(), "PEM".to_owned())]);
        let none = folder.path().join("none.pub");
        assert!(check("error", &none).unwrap_err().text.contains("none.pub"));
        assert!(check("error", Path::new("Cargo.toml")).is_err(), "the current folder is nobody's");
        assert_eq!(check("off", &none).unwrap(), []);
    }

    #[test]
    fn sizes_that_are_not_told_are_no_zeros() {
        assert_eq!(stored([Some(1), Some(2)].into_iter()), Some(3));
        assert_eq!(stored([Some(1), None].into_iter()), None);
        assert_eq!(stored([Some(u64::MAX), Some(2)].into_iter()), Some(u64::MAX));
    }

    #[test]
    fn names_of_images() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(at("layout")).unwrap();
        std::fs::write(at("a.tar"), "").unwrap();
        let tag = |tag: &str| Selector::Tag(tag.to_owned());
        let check = |text: &str, want: FinishedSource| {
            assert_eq!(named(text).unwrap(), want, "{text}");
        };
        let in_folder = |selector| FinishedSource::Folder(at("layout").into(), selector);
        let in_file = |selector| FinishedSource::Archive(at("a.tar").into(), selector);
        check(&at("layout"), in_folder(Selector::Only));
        check(&format!("oci:{}", at("layout")), in_folder(Selector::Only));
        check(&format!("oci-layout://{}:1", at("layout")), in_folder(tag("1")));
        check(&at("layout:1"), in_folder(tag("1")));
        check(&at("a.tar"), in_file(Selector::Only));
        check(&at("a.tar:v2"), in_file(tag("v2")));
        check(&format!("docker-archive:{}", at("a.tar")), in_file(Selector::Only));
        let there = |name: &str| FinishedSource::Registry(ImageRef::parse(name).unwrap());
        check("debian:12", there("debian:12"));
        check("docker://debian:12", there("debian:12"));
        check(
            "docker-image://a.example/b@sha256:3333333333333333333333333333333333333333333333333333333333333333",
            there(
                "a.example/b@sha256:3333333333333333333333333333333333333333333333333333333333333333",
            ),
        );
        for bad in ["./nonesuch", "/dev/null", "docker://", "oci:"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }
}
