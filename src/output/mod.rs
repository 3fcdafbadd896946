//! An image to a place. Nothing is written before the last gate; a place is replaced whole or not
//! at all.

mod archive;
mod layout;

use std::path::PathBuf;

use crate::base::ImageRef;
use crate::image::Image;
use crate::store::Store;

/// Where an image goes (`-o`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An OCI image layout (image specification, image-layout.md).
    Oci {
        /// A folder, or the archive's file; `-` is standard output, for an archive.
        dest: PathBuf,
        /// One tar file instead of a folder.
        tar: bool,
        /// The image's name in the index, in place of those given with `-t`.
        name: Option<String>,
    },
}

/// Why a `-o` was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What stands at the destination is neither empty nor an OCI layout.
    #[error("`{path}` is not empty and no OCI layout; nothing was touched")]
    Occupied {
        /// The destination.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {doing} `{path}`: {source}")]
    Io {
        /// A verb: `write`, `replace`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store lost a blob between packing and writing.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// The archive could not be made.
    #[error(transparent)]
    Layer(#[from] crate::layer::Error),
}

impl Target {
    /// The destination when none is asked for: the folder `./image.oci`.
    pub fn default_layout() -> Self {
        Target::Oci { dest: "image.oci".into(), tar: false, name: None }
    }

    /// Makes a target of the attributes of one `-o`: `type=oci,dest=PATH,tar=false,name=REF`.
    pub fn from_attributes(attributes: &[(String, String)]) -> Result<Self, TargetError> {
        let error = |text: String| Err(TargetError(text));
        let (mut kind, mut dest, mut tar, mut name) = (None, None, true, None);
        for (key, value) in attributes {
            match key.as_str() {
                "type" => kind = Some(value.as_str()),
                "dest" | "destination" => dest = Some(PathBuf::from(value)),
                "tar" => {
                    tar = match value.as_str() {
                        "" | "true" | "1" => true,
                        "false" | "0" => false,
                        other => return error(format!("tar=`{other}`: write true or false")),
                    }
                }
                "name" => {
                    ImageRef::parse(value).map_err(|why| TargetError(why.to_string()))?;
                    name = Some(value.clone());
                }
                other => {
                    let near = crate::diag::nearest(other, ["type", "dest", "tar", "name"]);
                    let hint =
                        near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    return error(format!("unknown key `{other}` of an output{hint}"));
                }
            }
        }
        match kind {
            Some("oci") => {}
            Some(other) => return error(format!("unknown output type `{other}`; there is `oci`")),
            None => {
                return error("an output needs `type=`, for example type=oci,dest=image.oci".into());
            }
        }
        match dest {
            Some(dest) if dest.as_os_str() == "-" && !tar => {
                error("dest=- is an archive: leave out tar=false".into())
            }
            Some(dest) => Ok(Target::Oci { dest, tar, name }),
            None if tar => Ok(Target::Oci { dest: "image.oci.tar".into(), tar, name }),
            None => Ok(Target::Oci { dest: "image.oci".into(), tar, name }),
        }
    }

    /// Tells whether standard output is the destination, so that no digest line may go there.
    pub fn is_stdout(&self) -> bool {
        match self {
            Target::Oci { dest, .. } => dest.as_os_str() == "-",
        }
    }

    /// The path of the destination, if it is a path: it is no part of the context.
    pub fn path(&self) -> Option<&std::path::Path> {
        match self {
            Target::Oci { dest, .. } if dest.as_os_str() != "-" => Some(dest),
            Target::Oci { .. } => None,
        }
    }

    /// Tells early, before the first step, that the destination cannot be written.
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Target::Oci { dest, tar: false, .. } => layout::check(dest),
            Target::Oci { .. } => Ok(()),
        }
    }

    /// Writes the image, whose blobs are in the store, and says in words where it is now.
    pub fn write(&self, image: &Image, tags: &[ImageRef], store: &Store) -> Result<String, Error> {
        match self {
            Target::Oci { dest, tar, name } => {
                let name = name.as_deref().and_then(|name| ImageRef::parse(name).ok());
                let tags = name.as_ref().map_or(tags, std::slice::from_ref);
                if *tar {
                    archive::write(dest, image, tags, store)?;
                    Ok(format!("oci archive {}", dest.display()))
                } else {
                    layout::write(dest, image, tags, store)?;
                    Ok(format!("oci layout {}", dest.display()))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &[(&str, &str)], want: Result<Target, &str>) {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let found = Target::from_attributes(&attributes);
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want),
            (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
            (found, want) => panic!("{found:?} instead of {want:?}"),
        }
    }

    #[test]
    fn attributes_become_targets() {
        let oci = |dest: &str, tar| Target::Oci { dest: dest.into(), tar, name: None };
        check(&[("type", "oci"), ("dest", "x"), ("tar", "false")], Ok(oci("x", false)));
        check(&[("type", "oci"), ("dest", "-")], Ok(oci("-", true)));
        check(&[("type", "oci"), ("dets", "x")], Err("did you mean `dest`"));
        check(&[("type", "oic")], Err("unknown output type `oic`"));
        check(&[("dest", "x")], Err("needs `type=`"));
        check(&[("type", "oci"), ("dest", "-"), ("tar", "false")], Err("archive"));
    }
}
