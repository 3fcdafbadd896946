//! What papers beside an image say, as facts: kinds of statements, whether they are about this image,
//! which signatures hold.

use std::collections::BTreeSet;

use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde_json::Value;

use super::audit::Known;
use crate::facts::{Attestation, Beside, Mismatch, Signature};
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
                let Ok(statement) = serde_json::from_slice::<Value>(&bytes) else { continue };
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
                let Ok(bom) = serde_json::from_slice::<Value>(&bytes) else { continue };
                add_files(&bom, &mut facts.sbom_files);
                facts
                    .attestations
                    .push(Attestation { kind: "sbom".into(), ..Attestation::default() });
            }
            Paper::Signature { payload, signature } => {
                facts.signatures.push(signed(&payload, &signature, &digest, &known.keys));
            }
            Paper::Foreign(_) => facts.signatures.push(Signature::default()),
        }
    }
    if let Some(kinds) = &known.attestations {
        let given = |kind: &String| Attestation { kind: kind.clone(), ..Attestation::default() };
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

// A statement names what it is about by digest (in-toto, "Statement").
fn about(statement: &Value, digest: &str) -> bool {
    let subjects = statement["subject"].as_array().into_iter().flatten();
    subjects.into_iter().any(|subject| subject["digest"]["sha256"].as_str() == Some(digest))
}

fn take(statement: &Value, facts: &mut Beside) {
    let kind = statement["predicateType"].as_str().unwrap_or("");
    let predicate = &statement["predicate"];
    let mut found = Attestation::default();
    if kind.starts_with("https://spdx.dev/Document")
        || kind.starts_with("https://cyclonedx.org/bom")
    {
        found.kind = "sbom".into();
        // cosign wraps the document once more.
        let document = predicate.get("Data").unwrap_or(predicate);
        add_files(document, &mut facts.sbom_files);
        let created = document["creationInfo"]["created"].as_str();
        found.time = created.or(document["metadata"]["timestamp"].as_str()).map(str::to_owned);
    } else if kind.starts_with("https://slsa.dev/provenance/") {
        found.kind = "provenance".into();
        found.lacks = lacks(kind, predicate);
        let metadata = &predicate["runDetails"]["metadata"];
        let finished = metadata["finishedOn"].as_str().or(metadata["startedOn"].as_str());
        found.time = finished.map(str::to_owned);
    } else if ["vuln", "openvex", "/vex"].iter().any(|word| kind.contains(word)) {
        found.kind = "scan".into();
        let metadata = &predicate["metadata"];
        let finished = metadata["scanFinishedOn"].as_str().or(predicate["timestamp"].as_str());
        found.time = finished.map(str::to_owned);
    } else {
        found.kind = kind.to_owned();
    }
    facts.attestations.push(found);
}

// What a provenance should say and does not (SLSA, "Build: Provenance").
fn lacks(kind: &str, predicate: &Value) -> Vec<String> {
    let mut lacks = Vec::new();
    if !kind.starts_with("https://slsa.dev/provenance/v1") {
        lacks.push(format!("it is of the older form `{}`", kind.escape_default()));
    }
    let builder = &predicate["runDetails"]["builder"]["id"];
    let builder = builder.as_str().or(predicate["builder"]["id"].as_str());
    if builder.is_none_or(str::is_empty) {
        lacks.push("it does not name the builder".into());
    }
    let materials = &predicate["buildDefinition"]["resolvedDependencies"];
    let materials = materials.as_array().or(predicate["materials"].as_array());
    let Some(materials) = materials else {
        lacks.push("it does not name what the image was made of".into());
        return lacks;
    };
    for material in materials {
        if material["digest"].as_object().is_none_or(serde_json::Map::is_empty) {
            let name = material["uri"].as_str().or(material["name"].as_str()).unwrap_or("");
            let name: String = name.escape_default().take(200).collect();
            lacks.push(format!("`{name}` is named without a digest"));
        }
    }
    lacks.truncate(20);
    lacks
}

// The paths that a list of parts names (SPDX: files; CycloneDX: components of type `file`).
fn add_files(document: &Value, files: &mut Option<Vec<String>>) {
    let spdx = document["files"].as_array().into_iter().flatten();
    let spdx = spdx.filter_map(|file| file["fileName"].as_str());
    let parts = document["components"].as_array().into_iter().flatten();
    let parts =
        parts.filter(|part| part["type"] == "file").filter_map(|part| part["name"].as_str());
    let found: BTreeSet<String> = spdx
        .chain(parts)
        .map(|path| format!("/{}", path.trim_start_matches("./").trim_start_matches('/')))
        .collect();
    if !found.is_empty() {
        files.get_or_insert_default().extend(found);
    }
}

// Who has signed: the first key under which the signature holds, over a text that names the image.
fn signed(payload: &[u8], signature: &str, digest: &str, keys: &[(String, String)]) -> Signature {
    let text: Value = serde_json::from_slice(payload).unwrap_or_default();
    let named = text["critical"]["image"]["docker-manifest-digest"].as_str();
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
