//! What papers beside an image say, as facts: kinds of statements, whether they are about this image,
//! which signatures hold.

use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde::Deserialize;

use super::audit::Known;
use crate::facts::{Attestation, Beside, Mismatch, Signature};
use crate::input::lenient::{Kept, List, Members, Object, Text};
use crate::input::{BaseError, Finished, Paper};
use crate::registry::base64;

/// What was found beside an image.
pub(super) struct Papers {
    pub(super) facts: Option<Beside>,
    pub(super) mismatches: Vec<Mismatch>,
}

/// Reads the papers of an image; what is known from elsewhere counts instead.
pub(super) fn read(image: &Finished<'_>, known: &Known) -> Result<Papers, BaseError> {
    let mut out = Papers { facts: None, mismatches: Vec::new() };
    let all = known.attestations.is_some() && known.signatures.is_some();
    let found = if all { None } else { image.papers()? };
    let digest = image.digest.map(|digest| digest.hex()).unwrap_or_default();
    let mut facts = Beside::default();
    let looked = found.is_some();
    for paper in found.into_iter().flatten() {
        match paper {
            Paper::Statement(bytes) => {
                let Ok(statement) = serde_json::from_slice::<Statement>(&bytes) else { continue };
                if !about(&statement, &digest) {
                    out.mismatches.push(Mismatch {
                        layer: None,
                        place: "attestation".to_owned(),
                        why: "it is about another image than the one that it lies beside".into(),
                    });
                    continue;
                }
                take(&statement, &mut facts);
            }
            Paper::Bom(bytes) => {
                let Ok(bom) = serde_json::from_slice::<Predicate>(&bytes) else { continue };
                add_files(&bom, &mut facts.sbom_files);
                let format = match (bom.spdx_version.as_str(), bom.bom_format.as_str()) {
                    (Some(_), _) => Some("spdx".to_owned()),
                    (_, Some(_)) => Some("cyclonedx".to_owned()),
                    _ => None,
                };
                let kind = "sbom".to_owned();
                facts.attestations.push(Attestation { kind, format, ..Attestation::default() });
            }
            Paper::Signature { payload, signature } => {
                facts.signatures.push(signed(&payload, &signature, &digest, &known.keys));
            }
            Paper::Foreign(_) => facts.signatures.push(Signature::default()),
        }
    }
    if let Some(kinds) = &known.attestations {
        let given = |kind: &String| {
            let (kind, format) = match kind.split_once(':') {
                Some(("sbom", format)) => ("sbom", Some(format.to_owned())),
                _ => (kind.as_str(), None),
            };
            Attestation { kind: kind.to_owned(), format, ..Attestation::default() }
        };
        facts.attestations = kinds.iter().map(given).collect();
    }
    if let Some(signatures) = &known.signatures {
        let given =
            |(key, verified): &(String, bool)| Signature { key: key.clone(), verified: *verified };
        facts.signatures = signatures.iter().map(given).collect();
    }
    if known.sbom_files.is_some() {
        facts.sbom_files.clone_from(&known.sbom_files);
    }
    let given = known.attestations.is_some() || known.signatures.is_some();
    out.facts = (looked || given).then_some(facts);
    Ok(out)
}

// An in-toto statement.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Statement {
    subject: List<Subject>,
    predicate_type: Text,
    predicate: Object<Predicate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Subject {
    digest: Object<Sums>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Sums {
    sha256: Text,
}

// What is read of an SBOM (SPDX, CycloneDX), a provenance (SLSA) or a scan: no two use one name in
// different ways.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Predicate {
    // cosign wraps the document once more.
    #[serde(rename = "Data")]
    data: Object<Box<Predicate>>,
    spdx_version: Text,
    bom_format: Text,
    creation_info: Object<Times>,
    metadata: Object<Times>,
    timestamp: Text,
    files: List<File>,
    components: List<Component>,
    run_details: Object<Run>,
    build_definition: Object<Definition>,
    builder: Object<Builder>,
    materials: List<Material>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Times {
    created: Text,
    timestamp: Text,
    started_on: Text,
    finished_on: Text,
    scan_finished_on: Text,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct File {
    file_name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Component {
    r#type: Text,
    name: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Run {
    builder: Object<Builder>,
    metadata: Object<Times>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Builder {
    id: Text,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Definition {
    resolved_dependencies: List<Material>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Material {
    uri: Text,
    name: Text,
    digest: Members,
}

impl Kept for Subject {
    fn is_kept(&self) -> bool {
        self.digest.as_ref().is_some_and(|sums| sums.sha256.0.is_some())
    }
}

impl Kept for File {
    const MOST: usize = FILES;

    fn is_kept(&self) -> bool {
        self.file_name.0.is_some()
    }
}

impl Kept for Component {
    const MOST: usize = FILES;

    fn is_kept(&self) -> bool {
        self.r#type.as_str() == Some("file")
    }
}

// What matters is those that are told.
impl Kept for Material {
    const MOST: usize = LACKS;

    fn is_kept(&self) -> bool {
        self.digest.0 == 0
    }
}

/// Files that SBOMs name, all together: what they name beyond that is as if they did not.
const FILES: usize = 1_000_000;
/// What a provenance lacks that is told.
const LACKS: usize = 20;

// The start of a text that is kept, and may be anything.
fn start(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

// A statement names what it is about by digest (in-toto, "Statement").
fn about(statement: &Statement, digest: &str) -> bool {
    let mut sums = statement.subject.as_slice().iter().filter_map(|one| one.digest.as_ref());
    sums.any(|sums| sums.sha256.as_str() == Some(digest))
}

fn take(statement: &Statement, facts: &mut Beside) {
    let kind = statement.predicate_type.as_str().unwrap_or("");
    let none = Predicate::default();
    let predicate = statement.predicate.as_ref().unwrap_or(&none);
    let mut found = Attestation::default();
    let time = |times: &Object<Times>, of: fn(&Times) -> &Text| {
        times.as_ref().and_then(|times| of(times).as_str()).map(|time| start(time, 64))
    };
    if kind.starts_with("https://spdx.dev/Document")
        || kind.starts_with("https://cyclonedx.org/bom")
    {
        found.kind = "sbom".into();
        let form = if kind.starts_with("https://spdx") { "spdx" } else { "cyclonedx" };
        found.format = Some(form.to_owned());
        let document = predicate.data.as_ref().map_or(predicate, |inner| inner);
        add_files(document, &mut facts.sbom_files);
        let created = time(&document.creation_info, |times| &times.created);
        found.time = created.or_else(|| time(&document.metadata, |times| &times.timestamp));
    } else if kind.starts_with("https://slsa.dev/provenance/") {
        found.kind = "provenance".into();
        found.lacks = lacks(kind, predicate);
        if let Some(run) = predicate.run_details.as_ref() {
            let finished = time(&run.metadata, |times| &times.finished_on);
            found.time = finished.or_else(|| time(&run.metadata, |times| &times.started_on));
        }
    } else if ["vuln", "openvex", "/vex"].iter().any(|word| kind.contains(word)) {
        found.kind = "scan".into();
        let finished = time(&predicate.metadata, |times| &times.scan_finished_on);
        found.time = finished.or_else(|| predicate.timestamp.as_str().map(|time| start(time, 64)));
    } else {
        found.kind = start(kind, 200);
    }
    facts.attestations.push(found);
}

// What a provenance should say and does not (SLSA, "Build: Provenance").
fn lacks(kind: &str, predicate: &Predicate) -> Vec<String> {
    let mut lacks = Vec::new();
    if !kind.starts_with("https://slsa.dev/provenance/v1") {
        lacks.push(format!("it is of the older form `{}`", start(kind, 200).escape_default()));
    }
    let run = predicate.run_details.as_ref().and_then(|run| run.builder.as_ref());
    let id = |builder: Option<&Builder>| builder.is_some_and(|one| one.id.as_str().is_some());
    let builder = if id(run) { run } else { predicate.builder.as_ref() };
    if builder.and_then(|builder| builder.id.as_str()).is_none_or(str::is_empty) {
        lacks.push("it does not name the builder".into());
    }
    let definition = predicate.build_definition.as_ref();
    let materials = definition.and_then(|definition| definition.resolved_dependencies.0.as_ref());
    let Some(materials) = materials.or(predicate.materials.0.as_ref()) else {
        lacks.push("it does not name what the image was made of".into());
        return lacks;
    };
    for material in materials {
        let name = material.uri.as_str().or(material.name.as_str()).unwrap_or("");
        let name: String = name.escape_default().take(200).collect();
        lacks.push(format!("`{name}` is named without a digest"));
    }
    lacks.truncate(LACKS);
    lacks
}

// The paths that a list of parts names (SPDX: files; CycloneDX: components of type `file`).
fn add_files(document: &Predicate, files: &mut Option<Vec<String>>) {
    let spdx = document.files.as_slice().iter().map(|file| &file.file_name);
    let parts = document.components.as_slice().iter().map(|part| &part.name);
    let mut found = spdx.chain(parts).filter_map(Text::as_str).peekable();
    if found.peek().is_none() {
        return;
    }
    let files = files.get_or_insert_default();
    let paths =
        found.map(|path| format!("/{}", path.trim_start_matches("./").trim_start_matches('/')));
    files.extend(paths.take(FILES.saturating_sub(files.len())));
}

// The text that cosign signs.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Signed {
    critical: Object<Critical>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Critical {
    image: Object<Named>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Named {
    docker_manifest_digest: Text,
}

// Who has signed: the first key under which the signature holds, over a text that names the image.
fn signed(payload: &[u8], signature: &str, digest: &str, keys: &[(String, String)]) -> Signature {
    let text: Signed = serde_json::from_slice(payload).unwrap_or_default();
    let named = text.critical.as_ref().and_then(|critical| critical.image.as_ref());
    let named = named.and_then(|named| named.docker_manifest_digest.as_str());
    let Some(bytes) = base64::decode(signature) else { return Signature::default() };
    if named != Some(&format!("sha256:{digest}")) {
        return Signature::default();
    }
    let holds = |key: &&(String, String)| verify(&key.1, payload, &bytes);
    match keys.iter().find(holds) {
        Some((name, _)) => Signature { key: name.clone(), verified: true },
        None => Signature::default(),
    }
}

// A public key in PEM: ECDSA on P-256, or Ed25519 (RFC 5480, RFC 8410: what stands before the key).
fn verify(pem: &str, text: &[u8], signature: &[u8]) -> bool {
    const P256: &[u8] = &[
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08,
        0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    const EDWARDS: &[u8] =
        &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    let lines = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let Some(der) = base64::decode(&lines.collect::<String>()) else { return false };
    if let Some(key) = der.strip_prefix(P256) {
        return UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(text, signature)
            .is_ok();
    }
    match der.strip_prefix(EDWARDS) {
        Some(key) => UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
    use serde_json::{Value, json};

    use super::*;
    use crate::base::{Blob, Digest, Platform};
    use crate::build::look;
    use crate::facts::ImageFacts;
    use crate::image::{CONFIG, Config, Descriptor, Image, Index, MANIFEST, Manifest, Selector};
    use crate::input::FinishedSource;

    const SPDX: &str = "https://spdx.dev/Document";
    const SLSA: &str = "https://slsa.dev/provenance/v1";

    struct Layout(tempfile::TempDir, Image, Vec<Descriptor>);

    impl Layout {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
            let marker = r#"{"imageLayoutVersion":"1.0.0"}"#;
            std::fs::write(folder.path().join("oci-layout"), marker).unwrap();
            let config = Config::empty(&Platform::host());
            let image = Image::write(config, Vec::new(), &[]);
            let entry = image.descriptor();
            let layout = Layout(folder, image, vec![entry]);
            layout.blob(&layout.1.config_bytes);
            layout.blob(&layout.1.manifest_bytes);
            layout
        }

        fn blob(&self, bytes: &[u8]) {
            let name = Digest::<Blob>::of(bytes).hex();
            std::fs::write(self.0.path().join("blobs/sha256").join(name), bytes).unwrap();
        }

        // A manifest with one paper; beside the image by BuildKit's annotations, or by its subject.
        fn paper(&mut self, kind: &str, bytes: &[u8], signature: Option<&str>, buildkit: bool) {
            let mut layer = Descriptor::of(kind, bytes);
            if let Some(signature) = signature {
                let key = "dev.cosignproject.cosign/signature".to_owned();
                layer.annotations.insert(key, signature.to_owned());
            }
            let mut manifest = Manifest::new(Descriptor::of(CONFIG, b"{}"), vec![layer]);
            if !buildkit {
                manifest.subject = Some(self.1.descriptor());
            }
            let document = manifest.to_bytes();
            let mut entry = Descriptor::of(MANIFEST, &document);
            if buildkit {
                let of = self.1.digest.to_string();
                let kind = "attestation-manifest".to_owned();
                entry.annotations.insert("vnd.docker.reference.type".into(), kind);
                entry.annotations.insert("vnd.docker.reference.digest".into(), of);
            }
            [bytes, b"{}", &document].into_iter().for_each(|bytes| self.blob(bytes));
            self.2.push(entry);
        }

        fn statement(&self, kind: &str, predicate: Value) -> Vec<u8> {
            let subject = json!([{"name": "x", "digest": {"sha256": self.1.digest.hex()}}]);
            let statement =
                json!({"subject": subject, "predicateType": kind, "predicate": predicate});
            statement.to_string().into_bytes()
        }

        fn facts(&self, known: &Known) -> ImageFacts {
            let index = Index::new(self.2.clone()).to_bytes();
            std::fs::write(self.0.path().join("index.json"), index).unwrap();
            let path: &Path = self.0.path();
            let selector = Selector::Digest(self.1.digest);
            let source = FinishedSource::Folder(path.to_owned(), selector);
            let image = Finished::open(&source, &Platform::host(), None).unwrap();
            look(&image, known, 1).unwrap()
        }
    }

    fn kinds(facts: &ImageFacts) -> Vec<String> {
        let beside = facts.whole.beside.as_ref().unwrap();
        beside.attestations.iter().map(|paper| paper.kind.clone()).collect()
    }

    #[test]
    fn statements_are_read_from_where_tools_put_them() {
        let mut layout = Layout::new();
        assert!(kinds(&layout.facts(&Known::default())).is_empty());
        let files = json!({"files": [{"fileName": "./usr/bin/x"}, {"fileName": "/y"}]});
        let sbom = layout.statement(SPDX, files);
        layout.paper("application/vnd.in-toto+json", &sbom, None, true);
        let dependencies = json!([{"uri": "a", "digest": {"sha256": "1"}}, {"uri": "b"}]);
        let predicate = json!({
            "buildDefinition": {"resolvedDependencies": dependencies},
            "runDetails": {"builder": {"id": ""}, "metadata": {"finishedOn": "2026-11-20T10:00:00Z"}},
        });
        let provenance = layout.statement(SLSA, predicate);
        let envelope = json!({"payloadType": "x", "payload": base64::encode(&provenance)});
        let envelope = envelope.to_string();
        layout.paper("application/vnd.dsse.envelope.v1+json", envelope.as_bytes(), None, false);
        let facts = layout.facts(&Known::default());
        assert_eq!(kinds(&facts), ["sbom", "provenance"]);
        let beside = facts.whole.beside.as_ref().unwrap();
        assert_eq!(beside.sbom_files.as_deref().unwrap(), ["/usr/bin/x", "/y"]);
        let lacks = ["it does not name the builder", "`b` is named without a digest"];
        assert_eq!(beside.attestations[1].lacks, lacks);
        assert_eq!(beside.attestations[0].format.as_deref(), Some("spdx"));
        assert_eq!(beside.attestations[1].time.as_deref(), Some("2026-11-20T10:00:00Z"));
        assert!(facts.whole.mismatches.is_empty() && facts.whole.orphans.unwrap().is_empty());

        // One that is about another image, where it says that it is about this one.
        let other = String::from_utf8(sbom).unwrap().replace(&layout.1.digest.hex(), "00");
        layout.paper("application/vnd.in-toto+json", other.as_bytes(), None, true);
        let facts = layout.facts(&Known::default());
        assert_eq!(kinds(&facts), ["sbom", "provenance"]);
        assert_eq!(facts.whole.mismatches.len(), 1);
    }

    #[test]
    fn the_form_of_an_sbom_is_known() {
        let mut layout = Layout::new();
        let bom = layout.statement("https://cyclonedx.org/bom/v1.6", json!({"components": []}));
        layout.paper("application/vnd.in-toto+json", &bom, None, true);
        layout.paper("application/spdx+json", br#"{"spdxVersion": "SPDX-2.3"}"#, None, false);
        let plain = br#"{"bomFormat": "CycloneDX"}"#;
        layout.paper("application/vnd.cyclonedx+json", plain, None, false);
        let forms = |known: &Known| -> Vec<Option<String>> {
            let beside = layout.facts(known).whole.beside.unwrap();
            beside.attestations.into_iter().map(|paper| paper.format).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let want = [some("cyclonedx"), some("spdx"), some("cyclonedx")];
        assert_eq!(forms(&Known::default()), want);
        let given = ["sbom:spdx", "sbom", "provenance"].map(str::to_owned).to_vec();
        let known = Known { attestations: Some(given), ..Known::default() };
        assert_eq!(forms(&known), [some("spdx"), None, None]);
        assert_eq!(kinds(&layout.facts(&known)), ["sbom", "sbom", "provenance"]);
    }

    #[test]
    fn signatures_hold_under_the_right_key_over_the_right_image() {
        let random = SystemRandom::new();
        let make = || {
            let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
            let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap()
        };
        // As `openssl ec -pubout` writes it.
        let pem = |key: &EcdsaKeyPair| {
            let mut der = vec![
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
                0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ];
            der.extend_from_slice(key.public_key().as_ref());
            format!(
                "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
                base64::encode(&der)
            )
        };
        let (ours, theirs) = (make(), make());
        let check = |digest: Option<&str>, signer: &EcdsaKeyPair, change: bool, want: bool| {
            let mut layout = Layout::new();
            let own = layout.1.digest.to_string();
            let text = json!({"critical": {"image": {
                "docker-manifest-digest": digest.unwrap_or(&own)
            }}});
            let text = text.to_string();
            let signature = signer.sign(&random, text.as_bytes()).unwrap();
            let signature = base64::encode(signature.as_ref());
            let text = if change { text.replace('{', "{ ") } else { text };
            let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
            layout.paper(kind, text.as_bytes(), Some(&signature), false);
            let keys = vec![("other".to_owned(), "no key".to_owned()), ("ours".into(), pem(&ours))];
            let facts = layout.facts(&Known { keys, ..Known::default() });
            let signatures = facts.whole.beside.unwrap().signatures;
            assert_eq!(signatures.len(), 1);
            assert_eq!(signatures[0].verified, want, "{signatures:?}");
            assert_eq!(signatures[0].key, if want { "ours" } else { "" });
        };
        check(None, &ours, false, true);
        check(None, &theirs, false, false);
        check(None, &ours, true, false);
        check(Some("sha256:00"), &ours, false, false);
    }
}
