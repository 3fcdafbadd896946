//! Ids that can only point at what already exists.

use std::marker::PhantomData;

/// An index into an [`Arena`] of `T`. Made by [`Arena::push`] alone, so whoever holds one can only
/// refer to something that was there before: graphs built with it have no cycles.
pub struct Id<T> {
    index: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.index.cmp(&other.index)
    }
}
impl<T> std::hash::Hash for Id<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}
impl<T> std::fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{}", self.index)
    }
}

impl<T> Id<T> {
    /// The position in the arena, from 0.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// Marks the ids of stages.
#[derive(Clone, Copy, Debug)]
pub enum StageMark {}
/// Marks the ids of steps.
#[derive(Clone, Copy, Debug)]
pub enum StepMark {}
/// Names a stage of a plan.
pub type StageId = Id<StageMark>;
/// Names a step of a plan.
pub type StepId = Id<StepMark>;

/// A growing list whose items are named by [`Id<M>`].
#[derive(Debug, Clone)]
pub struct Arena<M, T> {
    items: Vec<T>,
    of: PhantomData<fn() -> M>,
}

impl<M, T> Default for Arena<M, T> {
    fn default() -> Self {
        Arena { items: Vec::new(), of: PhantomData }
    }
}

impl<M, T> Arena<M, T> {
    /// Starts with nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an item and returns its id.
    pub fn push(&mut self, item: T) -> Id<M> {
        let index = u32::try_from(self.items.len()).expect("fewer than 2^32 items fit in memory");
        self.items.push(item);
        Id { index, of: PhantomData }
    }

    /// Returns the number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns ids and items in order of their making.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Id<M>, &T)> {
        self.items
            .iter()
            .enumerate()
            .map(|(index, item)| (Id { index: index as u32, of: PhantomData }, item))
    }

    /// Returns the id of the last item.
    pub fn last_id(&self) -> Option<Id<M>> {
        let index = self.items.len().checked_sub(1)?;
        Some(Id { index: index as u32, of: PhantomData })
    }
}

impl<M, T> std::ops::Index<Id<M>> for Arena<M, T> {
    type Output = T;
    fn index(&self, id: Id<M>) -> &T {
        &self.items[id.index()]
    }
}

impl<M, T> std::ops::IndexMut<Id<M>> for Arena<M, T> {
    fn index_mut(&mut self, id: Id<M>) -> &mut T {
        &mut self.items[id.index()]
    }
}
