//! Reads the layers of an image several at a time.
//!
//! It changes no result: what is read here is what reading each layer in its turn would give, and
//! whoever goes through the image in order takes it up. What only the order decides (an image whose
//! tables are too large), and what takes more memory than is good several times at once, is left
//! out, and read in its turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::pass::{Seen, Way};
use crate::facts::{Budget, Needles};
use crate::input::{BaseError, Finished, FinishedLayer};
use crate::layer::Bounds;

/// What tells a layer that has to be read from those that were: bytes that are claimed to be
/// compressed otherwise are read anew.
pub(super) type Name<'a> = (&'a str, Option<u8>);

/// Returns the name of a layer.
pub(super) fn name(layer: &FinishedLayer) -> Name<'_> {
    (layer.path(), layer.format.map(|format| format as u8))
}

/// Layers that are read at once, whatever the number of jobs.
const MOST: usize = 8;

/// What reading a layer takes besides its table: a file whose text is kept on its way, a window of
/// zstd, buffers. Taken off what the tables may cost.
const BESIDE: u64 = 96 << 20;

/// The window of zstd that each of them may have: 8 MiB, what level 19 and below use. Those with a larger
/// one, up to 128 MiB, are read one at a time.
const WINDOW: u32 = 23;

/// Reads layers, at most `jobs` at once, whose tables together cost no more than `room`; with one
/// job, or one layer, none.
pub(super) fn read<'a>(
    image: &'a Finished<'_>,
    needles: &Needles,
    room: u64,
    jobs: usize,
) -> BTreeMap<Name<'a>, Result<Seen, BaseError>> {
    let mut names = BTreeSet::new();
    let layers: Vec<usize> =
        (0..image.layers.len()).filter(|at| names.insert(name(&image.layers[*at]))).collect();
    let workers = jobs.min(MOST).min(layers.len());
    if workers < 2 {
        return BTreeMap::new();
    }
    let beside = (workers as u64 * BESIDE).min(room / 2);
    let budget = Arc::new(Budget::new(room - beside));
    let way = |bounds, again| {
        let budget = Arc::clone(&budget);
        Way { needles, budget, bounds, apart: true, gives_up: true, again }
    };
    let narrow = way(Bounds { window: WINDOW, ..Bounds::default() }, true);
    let wide = Mutex::new(way(Bounds::default(), false));
    let look = |index: usize| -> Result<Seen, BaseError> {
        let seen = Seen::of(image, index, &narrow)?;
        if seen.is_whole() || budget.is_spent() {
            return Ok(seen);
        }
        budget.give_back(seen.cost);
        drop(seen);
        let wide = wide.lock().unwrap_or_else(PoisonError::into_inner);
        Seen::of(image, index, &wide)
    };
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let work = || {
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(index) = layers.get(at) else { return };
                    let seen = look(*index);
                    // What comes after an error is not asked for, and what is not whole is no use.
                    if seen.is_err() || budget.is_spent() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    if !budget.is_spent() {
                        done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, seen);
                    }
                }
            };
            // Without a thread all is read in its turn.
            if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The tables of those behind a gap would stand beside that of one which is read in its turn, and
    // may take all the room there is.
    let done = done.into_iter().enumerate().take_while(|(place, (at, _))| place == at);
    done.map(|(_, (at, seen))| (name(&image.layers[layers[at]]), seen)).collect()
}
