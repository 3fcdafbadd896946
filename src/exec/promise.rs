//! A value that another thread will deliver: the digest of a layer that is still being packed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The deliverer failed, or gave up because the build stops; its own error tells why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// A slot that is filled once and can be waited for; clones share it.
pub(super) struct Promise<T> {
    shared: Arc<(Mutex<Slot<T>>, Condvar)>,
}

type Slot<T> = Option<Result<T, Stopped>>;

impl<T> Clone for Promise<T> {
    fn clone(&self) -> Self {
        Promise { shared: Arc::clone(&self.shared) }
    }
}

impl<T: Clone> Promise<T> {
    /// Makes an empty one.
    pub(super) fn new() -> Self {
        Promise { shared: Arc::new((Mutex::new(None), Condvar::new())) }
    }

    /// Makes one that is already kept.
    pub(super) fn kept(value: T) -> Self {
        let promise = Self::new();
        promise.settle(Ok(value));
        promise
    }

    /// Delivers; the first delivery counts.
    pub(super) fn settle(&self, value: Result<T, Stopped>) {
        let mut slot = self.lock();
        if slot.is_none() {
            *slot = Some(value);
            self.shared.1.notify_all();
        }
    }

    /// Waits for the value.
    pub(super) fn wait(&self) -> Result<T, Stopped> {
        let mut slot = self.lock();
        loop {
            if let Some(value) = slot.as_ref() {
                return value.clone();
            }
            slot = self.shared.1.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The value, if it is there.
    pub(super) fn peek(&self) -> Option<Result<T, Stopped>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Breaks the promise when dropped before [`Keeper::keep`]: a panicking or failing deliverer never
/// leaves a waiter asleep.
pub(super) struct Keeper<T: Clone>(Option<Promise<T>>);

impl<T: Clone> Keeper<T> {
    /// Guards `promise`.
    pub(super) fn new(promise: &Promise<T>) -> Self {
        Keeper(Some(promise.clone()))
    }

    /// Delivers.
    pub(super) fn keep(mut self, value: T) {
        if let Some(promise) = self.0.take() {
            promise.settle(Ok(value));
        }
    }
}

impl<T: Clone> Drop for Keeper<T> {
    fn drop(&mut self) {
        if let Some(promise) = self.0.take() {
            promise.settle(Err(Stopped));
        }
    }
}

/// Lets `n` holders in at once; the others wait.
pub(super) struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// Makes `n` slots, at least one.
    pub(super) fn new(n: usize) -> Self {
        Slots { free: Mutex::new(n.max(1)), freed: Condvar::new() }
    }

    /// Waits for a slot; it is given back when the holder is dropped.
    pub(super) fn take(&self) -> HeldSlot<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        HeldSlot(self)
    }
}

/// A held slot.
pub(super) struct HeldSlot<'a>(&'a Slots);

impl Drop for HeldSlot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiter_gets_what_is_delivered_later() {
        let promise = Promise::new();
        let keeper = Keeper::new(&promise);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| promise.wait());
            keeper.keep(7);
            assert_eq!(waiter.join().unwrap(), Ok(7));
        });
    }

    #[test]
    fn a_deliverer_that_fails_wakes_its_waiters() {
        let promise: Promise<u8> = Promise::new();
        drop(Keeper::new(&promise));
        assert_eq!(promise.wait(), Err(Stopped));
    }

    #[test]
    fn slots_bound_how_many_run_at_once() {
        let slots = Slots::new(2);
        let (running, most) = (Mutex::new(0), Mutex::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _slot = slots.take();
                    let now = {
                        let mut running = running.lock().unwrap();
                        *running += 1;
                        *running
                    };
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                    drop(most);
                    std::thread::yield_now();
                    *running.lock().unwrap() -= 1;
                });
            }
        });
        assert!(*most.lock().unwrap() <= 2);
    }
}
