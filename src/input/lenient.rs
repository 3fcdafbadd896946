//! JSON of strangers, of which a few members count: what they are not is passed over, and never kept.
//! A tree of all values (`serde_json::Value`) takes up to a hundred times the bytes of its text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A string; `None` for anything else.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Text(pub(crate) Option<String>);

/// An object; `None` for anything else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Object<T>(pub(crate) Option<T>);

/// The objects of a list that are kept; `None` for what is no list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct List<T>(pub(crate) Option<Vec<T>>);

/// What stands in a list.
pub(crate) trait Kept {
    /// How many of a list are kept.
    const MOST: usize = usize::MAX;

    /// Tells whether it says anything.
    fn is_kept(&self) -> bool;
}

/// How many members an object has; 0 for anything else.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Members(pub(crate) usize);

impl<T> Default for Object<T> {
    fn default() -> Self {
        Object(None)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List(None)
    }
}

impl Text {
    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl<T> Object<T> {
    pub(crate) fn as_ref(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> List<T> {
    pub(crate) fn as_slice(&self) -> &[T] {
        self.0.as_deref().unwrap_or_default()
    }
}

// What a visitor makes of the values that it does not want: it reads over them.
macro_rules! nothing {
    ($($method:ident $type:ty;)*) => {
        $(fn $method<E>(self, _: $type) -> Result<Self::Value, E> { Ok(Self::Value::default()) })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
        fn visit_none<E>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("a value") }
    };
}

macro_rules! no_list {
    () => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

macro_rules! no_object {
    () => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl<'de> Visitor<'de> for Wanted {
            type Value = Text;
            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }
            nothing!(visit_bool bool; visit_i64 i64; visit_u64 u64; visit_f64 f64;);
            no_list!();
            no_object!();
        }
        deserializer.deserialize_any(Wanted)
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted;
        impl<'de> Visitor<'de> for Wanted {
            type Value = Members;
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut count = 0;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Members(count))
            }
            nothing!(visit_bool bool; visit_i64 i64; visit_u64 u64; visit_f64 f64; visit_str &str;);
            no_list!();
        }
        deserializer.deserialize_any(Wanted)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Wanted<T> {
            type Value = Object<T>;
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(|found| Object(Some(found)))
            }
            nothing!(visit_bool bool; visit_i64 i64; visit_u64 u64; visit_f64 f64; visit_str &str;);
            no_list!();
        }
        deserializer.deserialize_any(Wanted(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Kept> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wanted<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Kept> Visitor<'de> for Wanted<T> {
            type Value = List<T>;
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List<T>, A::Error> {
                let mut found = Vec::new();
                while let Some(one) = list.next_element::<Object<T>>()? {
                    let room = found.len() < T::MOST;
                    found.extend(one.0.filter(|one| room && one.is_kept()));
                }
                Ok(List(Some(found)))
            }
            nothing!(visit_bool bool; visit_i64 i64; visit_u64 u64; visit_f64 f64; visit_str &str;);
            no_object!();
        }
        deserializer.deserialize_any(Wanted(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize, Default, Debug, PartialEq)]
    #[serde(default)]
    struct Paper {
        name: Text,
        inner: Object<Inner>,
        list: List<Inner>,
        digest: Members,
    }

    #[derive(Deserialize, Default, Debug, PartialEq, Clone)]
    #[serde(default)]
    struct Inner {
        name: Text,
    }

    impl Kept for Inner {
        const MOST: usize = 2;

        fn is_kept(&self) -> bool {
            self.name.0.is_some()
        }
    }

    fn check(text: &str, want: Option<Paper>) {
        let found: Option<Paper> = serde_json::from_str(text).ok();
        assert_eq!(found, want, "{text}");
    }

    #[test]
    fn what_is_not_wanted_is_passed_over() {
        let text = |text: &str| Text(Some(text.into()));
        let inner = |name: &str| Inner { name: text(name) };
        check("{}", Some(Paper::default()));
        for other in ["1", "-1", "1.5", "true", "null", "[1, {\"name\": \"x\"}]"] {
            let all =
                format!(r#"{{"name": {other}, "inner": {other}, "digest": {other}, "x": 1}}"#);
            check(&all, Some(Paper::default()));
        }
        for other in ["1", "\"x\"", "null", "{\"name\": []}"] {
            check(&format!(r#"{{"list": {other}}}"#), Some(Paper::default()));
        }
        for empty in ["[]", "[{}, {\"name\": 1}]"] {
            let list = List(Some(Vec::new()));
            check(&format!(r#"{{"list": {empty}}}"#), Some(Paper { list, ..Paper::default() }));
        }
        check(
            r#"{"inner": {"name": "a", "z": [{}]}, "name": "b", "digest": {"x": 1, "y": {}},
                "list": [1, {"name": "c"}, [], {}, null, "s", {"name": "d"}, {"name": "e"}]}"#,
            Some(Paper {
                name: text("b"),
                inner: Object(Some(inner("a"))),
                list: List(Some(vec![inner("c"), inner("d")])),
                digest: Members(2),
            }),
        );
        check(r#"{"name": "#, None);
        check(&format!(r#"{{"name": {}"#, "[".repeat(100_000)), None);
    }
}
