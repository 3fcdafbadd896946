//! Waivers of a policy file: what they say, and which findings they cover.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use toml::Value;

use super::comments::Names;
use super::finding::{Finding, Report, Suppressed};
use super::glob;
use super::profile::{Policy, PolicyError, RuleName, locked};
use super::read::{is_date, known, string, strings};
use crate::base::ImageRef;
use crate::facts::ImageFacts;

const KEYS: &[&str] =
    &["rules", "files", "stages", "paths", "sha256", "images", "reason", "owner", "expires", "max"];
const SCOPES: &[&str] = &["files", "stages", "paths", "sha256", "images"];

/// A waiver in a policy file. What it says of a scope narrows it: a finding must fit all of them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Exception {
    /// The rules, with facets.
    pub rules: Vec<RuleName>,
    /// Patterns of Dockerfile paths; empty is any.
    pub files: Vec<String>,
    /// Names of stages; empty is any.
    pub stages: Vec<String>,
    /// Patterns of image paths; empty is any.
    pub paths: Vec<String>,
    /// SHA-256 in hex of files in the image; empty is any.
    pub sha256: Vec<String>,
    /// Patterns of the names of the image (`-t`, or the reference that is audited); empty is any.
    pub images: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day, `YYYY-MM-DD`.
    pub expires: String,
    /// How many findings it may cover in one run: of all moments, files and images together.
    pub max: Option<usize>,
    /// The file that says it.
    pub place: String,
    /// The day has passed: see [`Policy::end`].
    pub ended: bool,
}

/// What is judged, as far as waivers have a scope in it.
#[derive(Default)]
pub(super) struct Scope<'a> {
    /// The Dockerfile's path.
    pub(super) file: &'a str,
    /// The names of stages.
    pub(super) stages: BTreeMap<usize, String>,
    /// The names of the image.
    pub(super) names: &'a [String],
    /// The files of the image.
    pub(super) facts: Option<&'a ImageFacts>,
    /// Today, `YYYY-MM-DD`.
    pub(super) today: Option<&'a str>,
    /// What files hold, once a waiver asks.
    pub(super) contents: OnceCell<Contents<'a>>,
}

/// The sums of the files at each path, with their layers, from the bottom.
type Contents<'a> = BTreeMap<&'a str, Vec<(usize, &'a str)>>;

/// Reads an entry of `[[exceptions]]`.
pub(super) fn read(value: &Value, policy: &Policy, place: &str) -> Result<Exception, PolicyError> {
    let Value::Table(table) = value else {
        return Err(PolicyError::new(place, "an exception must be a table"));
    };
    known(table, KEYS, place, " of an exception")?;
    let list = |key: &str| -> Result<Vec<String>, PolicyError> {
        match table.get(key) {
            None => Ok(Vec::new()),
            Some(value) => strings(value).ok_or_else(|| {
                let message = format!("`{key}` of an exception must be a list of strings");
                PolicyError::new(place, message)
            }),
        }
    };
    let text = |key: &str| -> Result<String, PolicyError> {
        string(table, key, place)?
            .map(str::to_owned)
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| PolicyError::new(place, format!("an exception needs `{key}`")))
    };
    let mut rules = Vec::new();
    for name in list("rules")? {
        for name in policy.find_rules(&name, place)? {
            if policy.locked.contains(&format!("rules.{}", name.rule)) {
                return Err(locked(place, &format!("rules.{}", name.rule)));
            }
            if name.rule == "digest-mismatch" {
                let message = "no exception covers `digest-mismatch`: it tells of bytes that are not \
                               what names them";
                let help =
                    "take it out of the exception; fetch the image anew from where it was pushed";
                return Err(PolicyError::new(place, message).help(Some(help.into())));
            }
            rules.push(name);
        }
    }
    let expires = match table.get("expires") {
        Some(Value::Datetime(date)) if date.date.is_some() => date.to_string(),
        Some(Value::String(date)) if is_date(date) => date.clone(),
        _ => {
            return Err(PolicyError::new(place, "an exception needs `expires`")
                .help(Some("expires = 2027-12-31".into())));
        }
    };
    let max = match table.get("max") {
        None => None,
        Some(Value::Integer(count)) if *count > 0 => usize::try_from(*count).ok(),
        Some(_) => return Err(PolicyError::new(place, "`max` must be a number over 0")),
    };
    let mut sha256 = list("sha256")?;
    for digest in &mut sha256 {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest).to_ascii_lowercase();
        if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("`{digest}` is no SHA-256: 64 hexadecimal digits");
            return Err(PolicyError::new(place, message));
        }
        *digest = hex;
    }
    let exception = Exception {
        rules,
        files: list("files")?,
        stages: list("stages")?,
        paths: list("paths")?,
        sha256,
        images: list("images")?,
        reason: text("reason")?,
        owner: text("owner")?,
        expires: expires.get(..10).unwrap_or_default().to_owned(),
        max,
        place: place.to_owned(),
        ended: false,
    };
    if exception.rules.is_empty() {
        return Err(PolicyError::new(place, "an exception needs `rules`"));
    }
    let scoped =
        |key: &&str| table.get(*key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if !SCOPES.iter().any(scoped) {
        let message = format!("an exception needs a scope: `{}`", SCOPES.join("`, `"));
        return Err(PolicyError::new(place, message));
    }
    Ok(exception)
}

impl Exception {
    /// Tells whether its last day has passed.
    pub(super) fn over(&self, today: Option<&str>) -> bool {
        self.ended || today.is_some_and(|today| today > self.expires.as_str())
    }

    /// Returns what the digest of the policy is of.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let rules: Vec<String> = self.rules.iter().map(ToString::to_string).collect();
        serde_json::json!({
            "rules": rules, "files": self.files, "stages": self.stages, "paths": self.paths,
            "sha256": self.sha256, "images": self.images, "reason": self.reason,
            "owner": self.owner, "expires": self.expires, "max": self.max,
        })
    }

    fn fits(&self, finding: &Finding, scope: &Scope<'_>) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.iter().any(|pattern| glob::matches(pattern, text))
        };
        let stage = finding.place.and_then(|place| place.stage);
        let image = finding.image.as_ref();
        Names::These(self.rules.clone()).name(finding)
            && (self.files.is_empty() || any(&self.files, scope.file))
            && (self.stages.is_empty()
                || stage.and_then(|stage| scope.stages.get(&stage)).is_some_and(|name| {
                    self.stages.iter().any(|known| known.eq_ignore_ascii_case(name))
                }))
            && (self.paths.is_empty() || image.is_some_and(|image| any(&self.paths, &image.path)))
            && (self.sha256.is_empty()
                || scope
                    .content(finding)
                    .is_some_and(|digest| self.sha256.iter().any(|known| known == digest)))
            && (self.images.is_empty()
                || scope.names.iter().any(|name| {
                    let full = ImageRef::parse(name).map(|name| name.to_string());
                    any(&self.images, name) || full.is_ok_and(|full| any(&self.images, &full))
                }))
    }
}

impl<'a> Scope<'a> {
    // The content of the file that a finding is about: in its layer, else in the topmost that has it.
    fn content(&self, finding: &Finding) -> Option<&'a str> {
        let image = finding.image.as_ref()?;
        let facts = self.facts?;
        let contents = self.contents.get_or_init(|| contents(facts));
        let sums = contents.get(image.path.trim_start_matches('/'))?;
        let sum = match image.layer {
            Some(layer) => sums.iter().find(|(of, _)| *of == layer),
            None => sums.last(),
        };
        sum.map(|(_, digest)| *digest).filter(|digest| !digest.is_empty())
    }
}

// Of several entries of a layer with one path the first counts.
fn contents(facts: &ImageFacts) -> Contents<'_> {
    let mut all = Contents::new();
    for (index, layer) in facts.layers.iter().enumerate() {
        for file in &layer.table.files {
            let sums = all.entry(file.path.trim_start_matches('/')).or_default();
            if sums.last().is_none_or(|(of, _)| *of != index) {
                sums.push((index, file.sha256.as_str()));
            }
        }
    }
    all
}

/// Marks what the waivers of the policy fit, and has them cover it as far as this report goes.
pub(super) fn apply(report: &mut Report, policy: &Policy, scope: &Scope<'_>) {
    for (at, exception) in policy.exceptions.iter().enumerate() {
        if exception.over(scope.today) {
            continue;
        }
        for finding in &mut report.findings {
            if finding.suppressed.is_none() && !finding.firm && exception.fits(finding, scope) {
                finding.waivers.fit.push(at);
            }
        }
    }
    settle(&mut [(report, policy)]);
}

/// See [`Report::settle`]. What was settled before, of fewer reports, is taken back first.
pub(super) fn settle(reports: &mut [(&mut Report, &Policy)]) {
    for finding in reports.iter_mut().flat_map(|(report, _)| &mut report.findings) {
        if !finding.waivers.fit.is_empty() {
            finding.suppressed = None;
        }
        if let Some(help) = finding.waivers.help.take() {
            finding.help = help;
        }
    }
    // Two files of a command may have policies of their own, with the same exception of one file.
    let policies: Vec<&Policy> = reports.iter().map(|(_, policy)| *policy).collect();
    let mut known: Vec<&Exception> = Vec::new();
    for policy in policies {
        for exception in &policy.exceptions {
            if !known.contains(&exception) {
                known.push(exception);
            }
        }
    }
    for exception in known {
        let mut covered: Vec<&mut Finding> = Vec::new();
        for (report, policy) in reports.iter_mut() {
            let mine = |at: &usize| policy.exceptions.get(*at) == Some(exception);
            covered.extend(report.findings.iter_mut().filter(|finding| {
                finding.suppressed.is_none() && finding.waivers.fit.iter().any(mine)
            }));
        }
        let count = covered.len();
        let failed = exception.max.filter(|max| count > *max);
        for finding in covered {
            // More than was agreed on: the exception covers none of them, and that is told.
            if let Some(max) = failed {
                let told = format!(
                    "the waiver `{}` covers at most {max} of these, and there are {count}",
                    exception.reason
                );
                let help = finding.help.clone();
                finding.help = Some(match &help {
                    Some(help) => format!("{help}; {told}"),
                    None => told,
                });
                finding.waivers.help.get_or_insert(help);
                continue;
            }
            finding.suppressed = Some(Suppressed {
                kind: "external",
                justification: format!("{} ({})", exception.reason, exception.owner),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Blob, Digest, ImagePath, Platform};
    use crate::facts::{LayerFacts, Mismatch, Needles, Origin, TableObserver};
    use crate::image::Config;
    use crate::layer::{Entry, EntryKind, Observer};
    use crate::policy::{ImageInput, Overrides, check_image};

    const TAIL: &str = "reason = \"r\"\nowner = \"o\"\nexpires = 2027-01-01\n";

    fn policy(scope: &str) -> Result<Policy, String> {
        let text = format!("[[exceptions]]\nrules = [\"setuid-file\"]\n{scope}\n{TAIL}");
        Policy::read(&text, "p.toml", &mut |_| None).map_err(|error| error.to_string())
    }

    // Of two setuid files, which are covered.
    fn check(scope: &str, want: [bool; 2]) {
        named(&[], scope, want);
    }

    // The same, of an image that has names.
    fn named(names: &[&str], scope: &str, want: [bool; 2]) {
        let mut table = TableObserver::new();
        for name in ["a", "b"] {
            let path = ImagePath::from_entry(format!("bin/{name}").as_bytes()).unwrap();
            table.entry(&Entry::new(path, EntryKind::File { size: 1 }, 0o4755));
            table.content(name.as_bytes());
            table.end();
        }
        let layer = LayerFacts {
            table: table.finish().into(),
            origin: Origin::Foreign(String::new()),
            leaks: Default::default(),
            steps: BTreeMap::new(),
        };
        let needles = Needles::new(std::iter::empty());
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        let mut facts = ImageFacts::new(config, vec![layer], &BTreeMap::new(), &needles);
        facts.whole.names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut policy = policy(scope).unwrap();
        let only = Overrides { only: vec!["setuid-file".into()], ..Overrides::default() };
        policy.apply(&only).unwrap();
        let report = check_image(ImageInput { facts: &facts, text: None }, &policy);
        let found: Vec<bool> = report.findings.iter().map(|f| f.suppressed.is_some()).collect();
        assert_eq!(found, want, "{scope}: {:?}", report.findings);
        let told = report.findings[0].help.as_ref().is_some_and(|help| help.contains("at most 1"));
        assert_eq!(told, scope.contains("max = 1"), "{scope}");
    }

    #[test]
    fn scopes_narrow() {
        let of = |text: &str| Digest::<Blob>::of(text.as_bytes()).hex();
        let (a, b) = (of("a"), of("b").to_uppercase());
        check("paths = [\"/bin/*\"]", [true, true]);
        check("paths = [\"/bin/a\"]", [true, false]);
        check(&format!("sha256 = [\"{a}\"]"), [true, false]);
        check(&format!("sha256 = [\"sha256:{b}\"]"), [false, true]);
        check(&format!("paths = [\"/bin/a\"]\nsha256 = [\"{b}\"]"), [false, false]);
        check("paths = [\"/bin/*\"]\nmax = 2", [true, true]);
        check("paths = [\"/bin/*\"]\nmax = 1", [false, false]);
        // Of an image without a name or a text, nothing can be said by these.
        check("images = [\"**\"]", [false, false]);
        check("stages = [\"a\"]", [false, false]);
        // One that was asked for by its name has that.
        named(&["registry.corp.example/init:2"], "images = [\"**/init:*\"]", [true, true]);
        named(&["registry.corp.example/app:2"], "images = [\"**/init:*\"]", [false, false]);
    }

    // How many findings of two files are covered, of three that an exception with this `max` fits.
    fn settled(max: &str, places: [&str; 2], want: [usize; 2]) {
        let text =
            format!("[[exceptions]]\nrules = [\"setuid-file\"]\nfiles = [\"**\"]\n{max}\n{TAIL}");
        let read = |place: &str| Policy::read(&text, place, &mut |_| None).unwrap();
        let policies = places.map(read);
        let report = |count: usize, policy: &Policy| {
            let finding =
                Finding { rule: "setuid-file", ..Finding::new(crate::policy::Moment::Static, "") };
            let mut report = Report { findings: vec![finding; count], ..Report::default() };
            apply(&mut report, policy, &Scope { file: "a/Dockerfile", ..Scope::default() });
            report
        };
        let mut one = report(1, &policies[0]);
        assert!(one.findings[0].suppressed.is_some(), "alone it is covered");
        let mut two = report(2, &policies[1]);
        let covered =
            |report: &Report| report.findings.iter().filter(|f| f.suppressed.is_some()).count();
        // Again and again comes out the same.
        for _ in 0..2 {
            Report::settle(&mut [(&mut one, &policies[0]), (&mut two, &policies[1])]);
            assert_eq!([covered(&one), covered(&two)], want, "{max}");
        }
        let told = one.findings[0].help.as_deref().unwrap_or("");
        assert_eq!(told.matches("covers at most").count(), usize::from(want[0] == 0), "{told}");
    }

    #[test]
    fn max_counts_over_all_that_a_command_judges() {
        settled("", ["p.toml", "p.toml"], [1, 2]);
        settled("max = 3", ["p.toml", "p.toml"], [1, 2]);
        settled("max = 2", ["p.toml", "p.toml"], [0, 0]);
        // What another file grants is another exception.
        settled("max = 2", ["p.toml", "q.toml"], [1, 2]);
    }

    #[test]
    fn max_counts_over_all_moments() {
        let mut policy = policy("paths = [\"**\"]\nmax = 1").unwrap();
        policy.exceptions[0].paths.clear();
        let report = || {
            let finding =
                Finding { rule: "setuid-file", ..Finding::new(crate::policy::Moment::Static, "") };
            let mut report = Report { findings: vec![finding], ..Report::default() };
            apply(&mut report, &policy, &Scope::default());
            report
        };
        let mut all = report();
        all.append(report(), &policy);
        assert_eq!(all.findings.len(), 2);
        assert!(all.findings.iter().all(|finding| finding.suppressed.is_none()), "{all:?}");
        assert!(all.findings.iter().all(|f| f.help.as_ref().unwrap().contains("there are 2")));
    }

    #[test]
    fn names_of_the_image_are_patterns_of_either_form() {
        let finding =
            Finding { rule: "setuid-file", ..Finding::new(crate::policy::Moment::Static, "") };
        for (pattern, want) in [
            ("app:*", true),
            ("docker.io/library/app:1", true),
            ("docker.io/*", false),
            ("docker.io/**", true),
            ("web:*", false),
        ] {
            let policy = policy(&format!("images = [\"{pattern}\"]")).unwrap();
            let names = ["app:1".to_owned()];
            let scope = Scope { names: &names, ..Scope::default() };
            assert_eq!(policy.exceptions[0].fits(&finding, &scope), want, "{pattern}");
        }
    }

    #[test]
    fn other_bytes_than_the_digest_names_are_never_covered() {
        let text =
            format!("[[exceptions]]\nrules = [\"digest-mismatch\"]\npaths = [\"**\"]\n{TAIL}");
        let error = Policy::read(&text, "p.toml", &mut |_| None).unwrap_err();
        assert!(error.to_string().contains("no exception covers `digest-mismatch`"), "{error}");
        assert!(error.help.is_some());
        // Nor by one that got in some other way.
        let config = Config::empty(&Platform::new("linux", "amd64", None));
        let needles = Needles::default();
        let mut facts = ImageFacts::new(config, Vec::new(), &BTreeMap::new(), &needles);
        let mismatch = |place: &str| Mismatch { layer: None, place: place.into(), why: "x".into() };
        facts.whole.mismatches = vec![mismatch("manifest"), mismatch("attestation")];
        let mut policy = policy("paths = [\"**\"]").unwrap();
        policy.exceptions[0].rules[0].rule = "digest-mismatch";
        let report = check_image(ImageInput { facts: &facts, text: None }, &policy);
        let found = report.findings.iter().filter(|finding| finding.rule == "digest-mismatch");
        assert_eq!(found.filter(|finding| finding.counts()).count(), 2);
        assert!(report.verdict(policy.fail_on).refused);
    }

    #[test]
    fn what_an_exception_needs_is_named() {
        for (scope, want) in [
            ("", "an exception needs a scope: `files`, `stages`, `paths`, `sha256`, `images`"),
            (
                "files = []",
                "an exception needs a scope: `files`, `stages`, `paths`, `sha256`, `images`",
            ),
            ("sha256 = [\"abc\"]", "`abc` is no SHA-256: 64 hexadecimal digits"),
            ("file = [\"a\"]", "unknown key `file` of an exception"),
            ("files = [\"a\"]\nmax = 0", "`max` must be a number over 0"),
        ] {
            assert_eq!(policy(scope).unwrap_err(), format!("p.toml: {want}"));
        }
        for key in ["reason", "owner", "expires"] {
            let text = format!("[[exceptions]]\nrules = [\"DL3007\"]\nfiles = [\"a\"]\n{TAIL}");
            let text: String = text
                .lines()
                .filter(|line| !line.starts_with(key))
                .map(|line| format!("{line}\n"))
                .collect();
            let error = Policy::read(&text, "p.toml", &mut |_| None).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn each_part_of_an_exception_is_in_the_digest() {
        let digest = |scope: &str| policy(scope).unwrap().digest();
        let mut all = vec![
            digest("files = [\"a\"]"),
            digest("stages = [\"a\"]"),
            digest("images = [\"a\"]"),
            digest("files = [\"a\"]\nmax = 1"),
            digest(&format!("sha256 = [\"{}\"]", "a".repeat(64))),
        ];
        let facet = |name: &str| {
            let text = format!("[[exceptions]]\nrules = [\"{name}\"]\nfiles = [\"a\"]\n{TAIL}");
            Policy::read(&text, "p.toml", &mut |_| None).unwrap().digest()
        };
        all.extend([facet("DL3008"), facet("package-version-unpinned")]);
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
