//! OCI layouts made by hand: a base that a test may falsify in any part.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Place, Who, busybox};

/// A layer as it is written: its bytes, its media type after `application/vnd.oci.image.layer.v1.`,
/// and its diff id.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) media: String,
    pub(crate) diff_id: String,
}

impl Layer {
    /// An uncompressed one.
    pub(crate) fn tar(tar: &[u8]) -> Layer {
        Layer::packed(tar.to_vec(), "tar", tar)
    }

    /// A gzip of it.
    pub(crate) fn gzip(tar: &[u8]) -> Layer {
        Layer::packed(gzip(tar), "tar+gzip", tar)
    }

    /// Bytes that say of themselves that they are `media` and unpack to `tar`.
    pub(crate) fn packed(bytes: Vec<u8>, media: &str, tar: &[u8]) -> Layer {
        Layer { bytes, media: media.to_owned(), diff_id: digest(tar) }
    }

    /// Its descriptor.
    pub(crate) fn descriptor(&self) -> Value {
        json!({"mediaType": format!("application/vnd.oci.image.layer.v1.{}", self.media),
               "digest": digest(&self.bytes), "size": self.bytes.len()})
    }
}

/// An image under construction: documents are plain JSON, to be bent at will.
#[derive(Clone)]
pub(crate) struct Hostile {
    pub(crate) layers: Vec<Layer>,
    pub(crate) config: Value,
    pub(crate) manifest: Value,
}

impl Hostile {
    /// An image of busybox with these layers on top; `None` without busybox.
    pub(crate) fn on_busybox(layers: impl IntoIterator<Item = Layer>) -> Option<Hostile> {
        let mut all = vec![busybox_layer()?.clone()];
        all.extend(layers);
        Some(Hostile::of(all))
    }

    /// An image of these layers.
    pub(crate) fn of(layers: Vec<Layer>) -> Hostile {
        let diffs: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let created = "2024-01-01T00:00:00Z";
        let history: Vec<_> = layers.iter().map(|_| json!({"created": created})).collect();
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux", "created": created,
            "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"]},
            "rootfs": {"type": "layers", "diff_ids": diffs}, "history": history,
        });
        let mut hostile = Hostile { layers, config, manifest: Value::Null };
        hostile.seal();
        hostile
    }

    /// Makes the manifest anew, after a change of layers or config.
    pub(crate) fn seal(&mut self) {
        let config = self.config.to_string();
        let layers: Vec<_> = self.layers.iter().map(Layer::descriptor).collect();
        self.manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": digest(config.as_bytes()), "size": config.len()},
            "layers": layers,
        });
    }

    /// Its documents and layers, by digest.
    pub(crate) fn blobs(&self) -> Vec<(String, Vec<u8>)> {
        let documents = [&self.config, &self.manifest].map(|document| document.to_string());
        let documents = documents.into_iter().map(String::into_bytes);
        let layers = self.layers.iter().map(|layer| layer.bytes.clone());
        documents.chain(layers).map(|bytes| (digest(&bytes), bytes)).collect()
    }

    /// Writes it as a layout whose one image is called `latest`.
    pub(crate) fn write(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a folder of ours");
        for (name, bytes) in self.blobs() {
            fs::write(blobs.join(&name["sha256:".len()..]), bytes).expect("a file of ours");
        }
        let manifest = self.manifest.to_string();
        let index = json!({"schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest(manifest.as_bytes()), "size": manifest.len(),
            "annotations": {"org.opencontainers.image.ref.name": "latest"},
        }]});
        fs::write(folder.join("index.json"), index.to_string()).expect("a file of ours");
        let version = r#"{"imageLayoutVersion":"1.0.0"}"#;
        fs::write(folder.join("oci-layout"), version).expect("a file of ours");
    }
}

/// The one layer of `harness::busybox`; `None` without busybox.
pub(crate) fn busybox_layer() -> Option<&'static Layer> {
    static LAYER: OnceLock<Option<Layer>> = OnceLock::new();
    let made = || {
        let place = Place::new(Who::usual());
        let folder = busybox(&place.at("busybox"))?;
        let read = |name: &Value| -> Vec<u8> {
            let hex = &name.as_str().expect("a digest")["sha256:".len()..];
            fs::read(folder.join("blobs/sha256").join(hex)).expect("a blob")
        };
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).expect("JSON");
        let index = parse(&fs::read(folder.join("index.json")).expect("an index"));
        let manifest = parse(&read(&index["manifests"][0]["digest"]));
        let config = parse(&read(&manifest["config"]["digest"]));
        Some(Layer {
            bytes: read(&manifest["layers"][0]["digest"]),
            media: "tar+gzip".to_owned(),
            diff_id: config["rootfs"]["diff_ids"][0].as_str().expect("a diff id").to_owned(),
        })
    };
    LAYER.get_or_init(made).as_ref()
}

/// `sha256:…` of the bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).expect("memory");
    packed.finish().expect("memory")
}
