//! Base images: from a name to layers in the store.
