//! One file, written aside and renamed into place, or standard output.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Error;

/// Says whether a file can be put at `dest`: not where a folder is.
pub(super) fn check(dest: &Path) -> Result<(), Error> {
    if dest.is_dir() {
        return Err(Error::Occupied { path: dest.to_owned(), what: "is a folder" });
    }
    Ok(())
}

/// The folder that holds a path.
pub(super) fn parent(dest: &Path) -> &Path {
    match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Has `fill` write to the file `dest`, which appears whole, or to standard output for `-`.
pub(super) fn write(
    dest: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
) -> Result<(), Error> {
    let io = Error::io("write", dest);
    if dest.as_os_str() == "-" {
        let mut out = BufWriter::new(io::stdout().lock());
        fill(&mut out)?;
        return out.flush().map_err(io);
    }
    check(dest)?;
    // A device or a pipe is written to; a rename would put a file in its place.
    if fs::metadata(dest).is_ok_and(|there| !there.is_file()) {
        let file = File::options().write(true).open(dest).map_err(&io)?;
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        return out.flush().map_err(io);
    }
    let parent = parent(dest);
    fs::create_dir_all(parent).map_err(&io)?;
    let mut aside = tempfile::Builder::new().prefix(".rbuild-").tempfile_in(parent).map_err(&io)?;
    fill(&mut aside)?;
    // tempfile makes files 0600; an output is for others to read.
    aside.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(&io)?;
    aside.persist(dest).map_err(|error| io(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::FileTypeExt;

    #[test]
    fn a_pipe_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let dest = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&dest).status().unwrap();
        assert!(made.success());
        let reader = std::thread::spawn({
            let dest = dest.clone();
            move || {
                let mut text = String::new();
                File::open(dest).unwrap().read_to_string(&mut text).unwrap();
                text
            }
        });
        write(&dest, |out| out.write_all(b"image").map_err(Error::io("write", &dest))).unwrap();
        assert_eq!(reader.join().unwrap(), "image");
        assert!(fs::symlink_metadata(&dest).unwrap().file_type().is_fifo());
    }
}
