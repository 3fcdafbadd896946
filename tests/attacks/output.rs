//! F. Output, signing, forensics (attacks 97 to 100).
